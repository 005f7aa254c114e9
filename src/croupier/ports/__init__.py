"""What the engine needs from the world, one Protocol a file. Adapters live in ``croupier.adapters``."""
