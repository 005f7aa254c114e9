"""What is left for an Envoy that is too slow to confirm: of a way back the way back, of anything else what was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.support.world import VirtualClock

from croupier.adapters.traffic import envoy, envoy_config
from croupier.adapters.traffic.envoy import EnvoyTraffic
from croupier.adapters.traffic.envoy_admin import EnvoyAdmin
from croupier.errors import Unreachable
from croupier.model.digest import short
from croupier.model.service import Platform, Service
from croupier.model.traffic import ArmBackend, Endpoint, ObservedSplit, Split

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
HOSTS = {OLD: Endpoint(host="127.0.0.1", port=8_001), NEW: Endpoint(host="127.0.0.1", port=8_002)}
PLATFORM = Platform(
    services=(
        Service(name="bets", replicas=1, routes=("/bets/",)),
        Service(name="wallet", replicas=1, routes=("/wallet/",)),
    )
)


def split(service: str, weight: int, revision: int) -> Split:
    stable, canary = (
        ArmBackend(digest=digest, weight=share, endpoints=(HOSTS[digest],))
        for digest, share in ((OLD, 100 - weight), (NEW, weight))
    )
    return Split(service=service, run="r-0001", revision=revision, stable=stable, canary=canary, offset=3_819)


class Envoy(EnvoyAdmin):
    """Reads its files at once, unless it is slow; then it goes on with what it had. ``refuses``: all updates."""

    def __init__(self, directory: Path) -> None:
        super().__init__("http://127.0.0.1:1")
        self._watched = directory / "d"
        self._running: dict[str, str] = {}
        self.is_slow = False
        self.refuses = False

    async def hosts(self) -> dict[str, dict[Endpoint, bool]]:
        return {
            envoy_config.cluster_name(service.name, digest): {host: True}
            for service in PLATFORM.services
            for digest, host in HOSTS.items()
        }

    async def route_versions(self) -> dict[str, str]:
        if not self.is_slow and not self.refuses:
            for listener in envoy_config.LISTENERS:
                found = json.loads((self._watched / f"rds-{listener}.json").read_bytes())
                self._running[listener] = found["version_info"]
        return dict(self._running)

    async def routes(self) -> dict[str, dict[str, ObservedSplit]]:
        return {}  # as far as anybody asks: nothing that was wanted runs

    async def refusals(self) -> dict[str, int]:
        return {}

    async def refusal_since(self, before: Mapping[str, int]) -> str:
        return "http.public.rds.public" if self.refuses else ""


@pytest.fixture
async def edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[EnvoyTraffic, Envoy]:
    """Half of the players of ``bets`` are on the new version."""
    monkeypatch.setattr(envoy, "CONFIRM_SECONDS", 0.05)
    monkeypatch.setattr(envoy, "RESTORE_SECONDS", 0.02)
    traffic = EnvoyTraffic(tmp_path, "http://127.0.0.1:1", PLATFORM, VirtualClock())
    admin = Envoy(tmp_path)
    monkeypatch.setattr(traffic, "_admin", admin)
    traffic.write_files([split("bets", 0, 1), split("wallet", 0, 1)])
    await traffic.set_split(split("bets", 50, 2))
    return traffic, admin


def written(directory: Path, service: str) -> dict[str, int]:
    """Weights in the file that an Envoy which restarts reads."""
    table = json.loads((directory / "d" / "rds-public.json").read_bytes())["resources"][0]
    (route,) = (each for each in table["virtual_hosts"][0]["routes"] if each["name"] == service)
    weights: dict[str, int] = {}
    for each in route["route"]["weighted_clusters"]["clusters"]:
        digest = each["name"].partition("~")[2]
        weights[digest] = weights.get(digest, 0) + each["weight"]
    return weights


async def test_a_way_back_that_envoy_is_slow_to_confirm_is_not_undone(
    edge: tuple[EnvoyTraffic, Envoy], tmp_path: Path
) -> None:
    """Prevents: players who stay on a bad version because it keeps the machine so busy that Envoy is slow."""
    traffic, admin = edge
    admin.is_slow = True
    with pytest.raises(Unreachable, match="did not confirm in time"):
        await traffic.set_split(split("bets", 0, 3))
    assert written(tmp_path, "bets") == {short(OLD): 10_000}
    with pytest.raises(Unreachable):
        await traffic.set_split(split("wallet", 5, 2))
    assert written(tmp_path, "bets") == {short(OLD): 10_000}, "nor by a change of another service"
    admin.is_slow = False
    await traffic.set_split(split("bets", 0, 3))
    await traffic.set_split(split("wallet", 5, 2))
    assert written(tmp_path, "bets") == {short(OLD): 10_000}


async def test_a_step_up_that_envoy_is_slow_to_confirm_is_undone(
    edge: tuple[EnvoyTraffic, Envoy], tmp_path: Path
) -> None:
    traffic, admin = edge
    admin.is_slow = True
    with pytest.raises(Unreachable, match="did not confirm in time"):
        await traffic.set_split(split("bets", 100, 3))
    assert written(tmp_path, "bets") == {short(OLD): 5_000, short(NEW): 5_000}


async def test_a_way_back_that_envoy_refuses_is_undone(edge: tuple[EnvoyTraffic, Envoy], tmp_path: Path) -> None:
    """With it Envoy would not start again."""
    traffic, admin = edge
    admin.refuses = True
    with pytest.raises(Unreachable, match="Envoy refused the change"):
        await traffic.set_split(split("bets", 0, 3))
    assert written(tmp_path, "bets") == {short(OLD): 5_000, short(NEW): 5_000}
