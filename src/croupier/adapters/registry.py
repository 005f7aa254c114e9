"""Which back ends there are, by port and kind. ``bootstrap`` asks; nobody else chooses a back end.

A new back end is a settings class, a function and a line in its port's table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue, ValidationError

from croupier.adapters.metrics.scrape import ScrapeMetrics
from croupier.adapters.traffic.envoy import EnvoyTraffic
from croupier.adapters.workloads.processes import ProcessWorkloads
from croupier.errors import UnknownName, UsageError
from croupier.model.base import Value
from croupier.model.service import Platform
from croupier.ports.clock import Clock
from croupier.ports.metrics import Metrics
from croupier.ports.traffic import Traffic
from croupier.ports.workloads import Workloads

BackEnd = TypeVar("BackEnd")
Settings = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Place:
    """What a back end is put into. Relative paths start at ``base``; ``closing`` closes what holds connections."""

    base: Path
    platform: Platform
    clock: Clock
    closing: AsyncExitStack


Factory = Callable[[Settings, Place], BackEnd]


class EnvoySettings(Value):
    """``traffic: {kind: envoy, …}``."""

    directory: Path
    admin: str
    """URL of Envoy's admin interface."""
    log: Path | None = None
    """Envoy's log file; without it a refused change is reported without Envoy's reason."""


class ProcessesSettings(Value):
    """``workloads: {kind: processes, …}``."""

    directory: Path
    versions: Path


class ScrapeSettings(Value):
    """``metrics: {kind: scrape, …}``."""

    urls: tuple[str, ...]


def _envoy(settings: Settings, place: Place) -> Traffic:
    given = EnvoySettings.model_validate(settings)
    log = None if given.log is None else place.base / given.log
    traffic = EnvoyTraffic(place.base / given.directory, given.admin, place.platform, place.clock, log=log)
    place.closing.push_async_callback(traffic.aclose)
    return traffic


def _processes(settings: Settings, place: Place) -> Workloads:
    given = ProcessesSettings.model_validate(settings)
    return ProcessWorkloads(place.base / given.directory, place.base / given.versions, place.clock)


def _scrape(settings: Settings, place: Place) -> Metrics:
    metrics = ScrapeMetrics(ScrapeSettings.model_validate(settings).urls, place.clock)
    place.closing.push_async_callback(metrics.aclose)
    return metrics


TRAFFIC: Mapping[str, Factory[Traffic]] = {"envoy": _envoy}
WORKLOADS: Mapping[str, Factory[Workloads]] = {"processes": _processes}
METRICS: Mapping[str, Factory[Metrics]] = {"scrape": _scrape}


def make(port: str, kinds: Mapping[str, Factory[BackEnd]], settings: Settings, place: Place) -> BackEnd:
    """Make the back end that ``settings`` name by ``kind``; the other keys are its own.

    Args:
        port: what it is for, for messages (``traffic``).
        kinds: the port's table above.

    Raises:
        UnknownName: for a kind that is not in the table.
        UsageError: for settings that the kind does not take.
    """
    kind = str(settings.get("kind", ""))
    if kind not in kinds:
        raise UnknownName(f"kind of {port}", kind, list(kinds))
    try:
        return kinds[kind]({key: value for key, value in settings.items() if key != "kind"}, place)
    except ValidationError as error:
        complaints = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise UsageError(f"settings of {port} {kind}: {'; '.join(complaints)}") from error
