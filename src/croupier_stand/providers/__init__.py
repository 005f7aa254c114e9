"""Partners of the casino as processes of their own: two payment service providers and a game provider.

Their books are the truth about what happened outside the house. Nothing here knows of arms or releases.
"""
