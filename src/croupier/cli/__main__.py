"""``python -m croupier.cli``: the same as ``croupier``, with the very interpreter that runs it."""

from croupier.cli.main import main

main()
