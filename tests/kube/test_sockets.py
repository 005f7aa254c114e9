"""WebSockets through a real gateway, while a release moves players (S5.1)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.operated import Casino
from tests.support.websocket import opened

pytestmark = pytest.mark.timeout(900)

DRAIN_SECONDS = 20


def test_an_open_socket_stays_with_its_version_through_a_release_and_has_the_drain_seconds_after_it(
    casino: Casino, tmp_path: Path
) -> None:
    """Prevents: a change of the split, or a promotion, that cuts the sockets which players hold to the old version."""
    casino.open(drainSeconds=DRAIN_SECONDS)
    old = casino.status()["stable"]
    gateway = casino.cluster.gateway.url
    with casino.players(tmp_path / "players.log") as players, opened(gateway, host=casino.host) as socket:
        casino.until("the socket speaks", lambda: bool(socket.said))
        casino.commit(BUILD="2")
        run = casino.outcome("the new version is promoted")
        assert run["status"]["outcome"] == "promoted", run["status"]
        note = casino.get("deployment", f"payments-api-{old}")["metadata"]["annotations"]["croupier.dev/retire-at"]
        with opened(gateway, host=casino.host) as later:
            casino.until("a later socket speaks", lambda: bool(later.said))
            assert later.versions == {run["status"]["canary"]}
        casino.until("the old version ends, and its socket with it", lambda: socket.closed_at is not None)
        totals = players.stop()
    assert socket.versions == {old}
    assert socket.closed_at is not None
    assert socket.closed_at >= float(note), "it was cut before its drainSeconds were over"
    assert totals["failed"] == 0, totals["causes"]
