"""Which back ends there are, by port and kind. ``bootstrap`` asks; nobody else chooses a back end.

A new back end is a settings class (``croupier.model.settings``), a function here and a line in its port's table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol, TypeVar

from croupier.adapters.metrics.scrape import ScrapeMetrics
from croupier.adapters.traffic.envoy import EnvoyTraffic
from croupier.adapters.workloads.processes import ProcessWorkloads
from croupier.errors import UnknownName
from croupier.model.service import Platform
from croupier.model.settings import EnvoySettings, ProcessesSettings, ScrapeSettings
from croupier.ports.clock import Clock
from croupier.ports.metrics import Metrics
from croupier.ports.traffic import Traffic
from croupier.ports.workloads import Workloads


@dataclass(frozen=True, slots=True)
class Place:
    """What a back end is put into. ``closing`` closes those that hold connections."""

    platform: Platform
    clock: Clock
    closing: AsyncExitStack


class Settings(Protocol):
    @property
    def kind(self) -> str: ...


Given = TypeVar("Given", bound=Settings)
BackEnd = TypeVar("BackEnd")


def _envoy(settings: EnvoySettings, place: Place) -> Traffic:
    traffic = EnvoyTraffic(settings.directory, settings.admin, place.platform, place.clock, log=settings.log)
    place.closing.push_async_callback(traffic.aclose)
    return traffic


def _processes(settings: ProcessesSettings, place: Place) -> Workloads:
    return ProcessWorkloads(settings.directory, settings.versions, place.clock)


def _scrape(settings: ScrapeSettings, place: Place) -> Metrics:
    metrics = ScrapeMetrics(settings.urls, place.clock)
    place.closing.push_async_callback(metrics.aclose)
    return metrics


TRAFFIC: Mapping[str, Callable[[EnvoySettings, Place], Traffic]] = {"envoy": _envoy}
WORKLOADS: Mapping[str, Callable[[ProcessesSettings, Place], Workloads]] = {"processes": _processes}
METRICS: Mapping[str, Callable[[ScrapeSettings, Place], Metrics]] = {"scrape": _scrape}


def make(port: str, kinds: Mapping[str, Callable[[Given, Place], BackEnd]], settings: Given, place: Place) -> BackEnd:
    """Make the back end of the kind that ``settings`` name.

    Args:
        port: what it is for, for the message (``traffic``).
        kinds: the port's table above.
        settings: of that kind; paths are absolute.
        place: what it is put into.

    Raises:
        UnknownName: for a kind that is not in the table; lists those that are.
    """
    if settings.kind not in kinds:
        raise UnknownName(f"kind of {port}", settings.kind, list(kinds))
    return kinds[settings.kind](settings, place)
