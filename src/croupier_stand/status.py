"""What a stand looks like from outside, as one JSON document and as lines of text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from croupier.adapters.clock import SystemClock
from croupier.report.format import clock, duration, table
from croupier_stand import faults
from croupier_stand.faults import StandFault
from croupier_stand.home import Home, StandRecord
from croupier_stand.stats import PlayersStats, read_stats

_PAST_FAULTS = 5


def document(home: Home, record: StandRecord) -> dict[str, Any]:
    """Fields: see docs/reference/json.md. ``players`` is None until they have written their first figures."""
    stats = read_stats(home.players_stats)
    return {
        "name": record.name,
        "phase": record.phase,
        "home": str(home.root),
        "startedAt": record.started_at,
        "supervisorPid": record.supervisor_pid,
        "ports": dict(record.ports),
        "resting": list(record.resting),
        "faults": [fault.model_dump(mode="json", by_alias=True) for fault in faults.listed(record)],
        "processes": [
            {"name": each.name, "pid": each.pid, "ready": each.ready, "restarts": each.restarts}
            for each in record.processes
        ],
        "pods": _pods(home),
        "players": None if stats is None else _players(stats),
    }


def lines(home: Home, record: StandRecord) -> list[str]:
    """For people."""
    pods = {pod["name"]: pod for pod in _pods(home)}
    said = [f"Stand {record.name!r} is {record.phase}; files in {home.root}", ""]
    rows = [("PROCESS", "STATE", "RESTARTS", "PORT", "PID")]
    for each in record.processes:
        pod = pods.pop(each.name, None)
        port = pod["port"] if pod else record.ports.get({"envoy": "edge"}.get(each.name, each.name), "")
        state = "ready" if each.ready else (pod["reason"] if pod else "not ready")
        rows.append((each.name, state, str(each.restarts), str(port), str(each.pid)))
    for name, pod in pods.items():
        rows.append((name, pod["reason"] or pod["phase"], str(pod["restarts"]), str(pod["port"]), "–"))
    rows += [(name, "resting", "–", "–", "–") for name in record.resting]
    said += table(rows, right=(2, 3, 4))
    if known := fault_lines(faults.listed(record), SystemClock().now()):
        said += ["", *known]
    stats = read_stats(home.players_stats)
    if stats is not None:
        said += ["", *players_lines(stats)]
    return said


def fault_lines(known: Sequence[StandFault], now: float) -> list[str]:
    """Which partners and parts are ill, and the last times they were. Pure."""
    lasting = faults.in_force(known, now)
    said = [f"{suffers(each)} until {clock(each.until)} UTC, {duration(each.until - now)} more" for each in lasting]
    past = [each for each in known if each not in lasting]
    said += [
        f"{suffers(each, over=True)} at {clock(each.began_at)} UTC"
        if each.began_at == each.until
        else f"{suffers(each, over=True)} from {clock(each.began_at)} to {clock(each.until)} UTC"
        for each in past[-_PAST_FAULTS:]
    ]
    return said


def suffers(fault: StandFault, *, over: bool = False) -> str:
    """``psp-a is down``, ``tally gave nan``. Pure."""
    says = fault.part == "tally" and fault.kind != "stopped"
    verb = ("gave" if over else "gives") if says else ("was" if over else "is")
    return f"{fault.part} {verb} {fault.kind}"


def players_lines(stats: PlayersStats) -> list[str]:
    """Rates and failures as the players saw them."""
    money = [f"{stats.rate(kind):.1f} {kind}s/s, " for kind in ("deposit", "bet") if kind in stats.operations]
    said = [
        f"{stats.distinct_players:,} players in {stats.seconds:,.0f} s; "
        f"{''.join(money)}{stats.requests_per_second:.0f} requests/s"
    ]
    rows = [("OPERATION", "DONE", "DECLINED", "FAILED", "PER SECOND")]
    for name, done in stats.operations.items():
        rows.append((name, f"{done.done:,}", f"{done.declined:,}", f"{done.failed:,}", f"{stats.rate(name):.1f}"))
    said += table(rows, right=(1, 2, 3, 4))
    if stats.failed_requests:
        said += ["", "  failed requests by cause:"]
        said += [f"    {count:>6,}  {cause}" for cause, count in stats.failed_requests.items()]
    return said


def _players(stats: PlayersStats) -> dict[str, Any]:
    return {
        "distinct": stats.distinct_players,
        "seconds": stats.seconds,
        "requestsPerSecond": stats.requests_per_second,
        "operations": {
            name: {"done": done.done, "declined": done.declined, "failed": done.failed, "perSecond": stats.rate(name)}
            for name, done in stats.operations.items()
        },
        "failedRequests": dict(stats.failed_requests),
        "cpuSeconds": stats.cpu_seconds,
    }


def _pods(home: Home) -> list[dict[str, Any]]:
    with suppress(FileNotFoundError):
        pods: list[dict[str, Any]] = json.loads(home.observed.read_bytes())["pods"]
        return pods
    return []
