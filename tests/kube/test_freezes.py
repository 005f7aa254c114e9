"""Freeze windows on a real cluster, with the rights of the manifests (S12.3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.operated import Casino

from croupier.model.release_calendar import OVERRIDE_FREEZE, FreezeOverride

pytestmark = pytest.mark.timeout(900)


def calendar(**fields: str) -> dict[str, Any]:
    """One window around now."""
    now = datetime.now(UTC)
    starts, ends = ((now + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M") for hours in (-1, 12))
    window = {"name": "cup-final", "title": "Cup final", "starts": starts, "ends": ends, "zone": "UTC", **fields}
    return {
        "apiVersion": "croupier.dev/v1alpha1",
        "kind": "ReleaseCalendar",
        "metadata": {"name": "football"},
        "spec": {"freezes": [window]},
    }


def test_a_version_waits_for_a_freeze_and_starts_when_it_is_lifted_or_overridden(
    casino: Casino, tmp_path: Path
) -> None:
    """Prevents: a calendar that the operator may not read, so that a release meets the final."""
    for fields in ({"ends": "2020-01-01T00:00"}, {"starts": "2020-02-31T00:00"}):
        with pytest.raises(AssertionError, match="a freeze starts and ends on days that there are|day out of range"):
            casino.cluster.apply(calendar(**fields), namespace=casino.namespace)
    casino.open()
    with casino.players(tmp_path / "players.log") as players:
        casino.cluster.apply(calendar(), namespace=casino.namespace)
        casino.commit(BUILD="2")
        casino.until("it waits", lambda: _is_frozen(casino))
        assert (
            "waits for the end of the freeze cup-final (Cup final) until" in casino.condition("Reconciling")["message"]
        )
        casino.cluster.kubectl("delete", "cal", "football", "--namespace", casino.namespace)
        run = casino.outcome("it is released once the freeze is lifted")
        assert run["status"]["outcome"] == "promoted", run["status"]
        casino.cluster.apply(calendar(), namespace=casino.namespace)
        casino.commit(BUILD="3")
        casino.until("the next one waits", lambda: _is_frozen(casino))
        said = FreezeOverride(version=casino.status()["wanted"], who="ann", reason="deposits fail without it")
        note = f"{OVERRIDE_FREEZE}={said.model_dump_json(by_alias=True)}"
        casino.cluster.kubectl("annotate", "rp", "payments-api", note, "--namespace", casino.namespace)
        run = casino.outcome("it is released in spite of the freeze")
        totals = players.stop()
    assert run["status"]["outcome"] == "promoted", run["status"]
    assert totals["failed"] == 0, totals["causes"]


def _is_frozen(casino: Casino) -> bool:
    found = casino.condition("Reconciling")
    return (found.get("status"), found.get("reason")) == ("True", "Freeze")
