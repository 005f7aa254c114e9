"""A small real casino: identity, wallet, payments and bets, each a service of its own on ``croupier_kit``.

It knows nothing of croupier. A version of a service is the code here plus the changes its build descriptor names.
"""
