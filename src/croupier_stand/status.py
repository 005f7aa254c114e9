"""What a stand looks like from outside, as one JSON document and as lines of text."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from croupier.report.format import table
from croupier_stand.home import Home, StandRecord
from croupier_stand.stats import PlayersStats, read_stats


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
    stats = read_stats(home.players_stats)
    if stats is not None:
        said += ["", *players_lines(stats)]
    return said


def players_lines(stats: PlayersStats) -> list[str]:
    """Rates and failures as the players saw them."""
    said = [
        f"{stats.distinct_players:,} players in {stats.seconds:,.0f} s; "
        f"{stats.rate('deposit'):.1f} deposits/s, {stats.rate('bet'):.1f} bets/s, "
        f"{stats.requests_per_second:.0f} requests/s"
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
