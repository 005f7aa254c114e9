"""Where players' data of each market is, beside where it may be (S10.14, S11): what an audit asks for."""

from __future__ import annotations

from typing import Literal

from croupier.model.base import Value

What = Literal["primary", "replica", "disaster", "backup", "disaster backup", "keys", "logs", "traces", "provider"]


class Whereabout(Value):
    """Data of one class in one place. What is in the same place for the same reason is one."""

    data: str
    """Its class, as the market names it; ``what is sent`` to a provider."""
    what: What
    """``disaster``: where it is moved to in one."""
    where: str
    """Region; of a provider where it handles what it is sent, as it is declared."""
    allowed: tuple[str, ...] | None = None
    """Where the market lets it be. None: the market says nothing."""
    of: tuple[str, ...]
    """Whose it is: ``wallet.ledger in acme-mt-west``, a service and its store; of logs and traces the service alone; of
    what a provider is sent the service and the provider."""


class MarketWhereabouts(Value):
    """All that is kept in the cells of one market."""

    market: str
    title: str
    place: str
    """Where it is declared, ``file:line:column``."""
    source: str | None = None
    """The law, licence condition or decision, as the platform names it. None: it names none, and nothing is asked."""
    reviewed_on: str | None = None
    """Day of the last review. None: nobody has read it."""
    places: tuple[Whereabout, ...]
    """By class and what it is."""


class Whereabouts(Value):
    markets: tuple[MarketWhereabouts, ...]
