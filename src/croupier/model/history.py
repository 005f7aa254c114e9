"""What is kept of how a service usually does, so that a desk that starts again need not learn it anew (S4.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from croupier.model.base import ServiceName, Value

Amount = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class Chapter(NamedTuple):
    """Sums over a quarter of an hour of one window of a dispersion (``core.gates.dispersion``)."""

    seconds: Amount
    excess: Amount
    failures: Amount
    degrees: Amount


class Stretch(NamedTuple):
    """Sums over half a minute of traffic (``core.gates.recent``). Times are seconds since the epoch."""

    began_at: Amount
    ended_at: Amount
    seconds: Amount
    attempts: Amount
    failures: Amount


class SeriesRecord(Value):
    """One series of the stable arm."""

    players: bool
    """Whether players are its unit."""
    windows: Mapping[str, tuple[Chapter, ...]]
    """Length of a window in seconds (``15``) -> its chapters, the oldest first."""
    recent: tuple[Stretch, ...]
    """The last quarter of an hour that was watched, the oldest first."""
    pods: Annotated[int, Field(ge=0)] = 0
    """Seen in its newest interval; 0: not known."""


class HistoryRecord(Value):
    """One service's history at one moment."""

    format: Literal[1] = 1
    service: ServiceName
    saved_at: Amount
    series: Mapping[str, SeriesRecord]
