from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from croupier.adapters.clock import SystemClock
from croupier.adapters.registry import METRICS, TRAFFIC, WORKLOADS, Place, make
from croupier.errors import UnknownName
from croupier.model.service import Platform
from croupier.model.settings import EnvoySettings, ProcessesSettings, ScrapeSettings

ENVOY = EnvoySettings(kind="envoy", directory=Path("edge"), admin="http://127.0.0.1:1")


@pytest.fixture
def place() -> Place:
    return Place(Platform(services=()), SystemClock(), AsyncExitStack())


async def test_every_kind_is_made_from_its_settings(place: Place) -> None:
    processes = ProcessesSettings(kind="processes", directory=Path("workloads"), versions=Path("versions"))
    async with place.closing:
        assert make("traffic", TRAFFIC, ENVOY, place).capabilities.sticky
        make("workloads", WORKLOADS, processes, place)
        make("metrics", METRICS, ScrapeSettings(kind="scrape", urls=("http://127.0.0.1:1/metrics",)), place)


def test_an_unknown_kind_lists_those_known(place: Place) -> None:
    """There is no default that ships to production by accident."""
    with pytest.raises(UnknownName) as caught:
        make("traffic", TRAFFIC, ENVOY.model_copy(update={"kind": "envoi"}), place)
    assert caught.value.hint == "did you mean envoy? known: envoy"
