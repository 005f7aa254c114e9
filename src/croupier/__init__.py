"""croupier, the release desk for iGaming platforms. ARCHITECTURE.md is the map."""

__version__ = "0.1.0"
