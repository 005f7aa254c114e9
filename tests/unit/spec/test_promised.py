"""What is promised of a service although no layer says so, and where that comes from (S1.5-S1.8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from croupier.spec.explain import explained
from croupier.spec.platform import load_described

BASE = Path(__file__).parents[2] / "spec" / "base" / "base.yaml"
CELL = "acme-mt-west"
SERVICE = "  - {{name: cashier, layer: service, routes: [/cashier/], journeys: [logins, deposits]{more}}}\n"


def _promised(folder: Path, more: str = "", under: str = "") -> dict[str, float | None]:
    """Objectives of the service: signal -> its bound. ``more``: of the service; ``under``: more of the file."""
    text = BASE.read_text().replace("\nlayers:\n", f"\n{SERVICE.format(more=more)}\nlayers:\n{under}", 1)
    (folder / "x.yaml").write_text(text)
    (service,) = (each for each in load_described(folder).cell(CELL).services if each.name == "cashier")
    return {each.signal: each.success_ratio or each.p95_seconds for each in service.objectives}


@pytest.mark.parametrize(
    ("more", "promised"),
    [
        pytest.param("", {"logins": 0.999, "deposits": 0.9985, "latency": 0.4}, id="nobody-says-anything"),
        pytest.param(
            ", objectives: [{signal: errors, successRatio: 0.99}, {signal: latency, p95Seconds: 0.25}]",
            {"errors": 0.99, "latency": 0.25, "logins": 0.999, "deposits": 0.9985},
            id="a-list-takes-nothing-away-that-it-does-not-name",
        ),
        pytest.param(", objectives: {remove: [latency]}", {"logins": 0.999, "deposits": 0.9985}, id="taken-away"),
        pytest.param(
            ", internal: true", {"logins": 0.999, "deposits": 0.9985}, id="no-player-waits-for-what-none-reaches"
        ),
        pytest.param(
            ", traffic: websocket, sockets: 9, edge: {sticky: {by: nothing}}",
            {"logins": 0.999, "deposits": 0.9985, "roundTrips": 0.12},
            id="websockets-have-round-trips",
        ),
        pytest.param(
            ", tier: money, objectives: [{signal: deposits, successRatio: 0.9, why: a bank that is often away}]",
            {"deposits": 0.9, "logins": 0.999, "latency": 0.4},
            id="money-may-be-promised-less-with-a-reason",
        ),
    ],
)
def test_what_nobody_says_otherwise_is_promised(tmp_path: Path, more: str, promised: dict[str, float]) -> None:
    assert _promised(tmp_path, more) == promised


def test_a_layer_takes_a_promise_away_where_it_applies_and_is_not_called_idle(tmp_path: Path) -> None:
    under = "  - at: {region: west, service: cashier}\n    set: {objectives: {remove: [logins]}}\n"
    assert _promised(tmp_path, under=under) == {"deposits": 0.9985, "latency": 0.4}


def test_explain_names_the_preset_whether_it_decides_or_is_outweighed(tmp_path: Path) -> None:
    _promised(tmp_path, ", objectives: [{signal: deposits, successRatio: 0.9999}]")
    (told,) = explained(load_described(tmp_path), CELL, "cashier.objectives")
    said = [each.layer.label for each in told.chain]
    assert said == [
        "croupier's preset journey=deposits",
        "service",
        "croupier's preset journey=logins",
        "croupier's preset traffic=http",
    ]
    assert all(
        f"{each.layer.label}  croupier/promised.yaml:" in told.as_text() for each in told.chain if each.layer.is_own
    )
