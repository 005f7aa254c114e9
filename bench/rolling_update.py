"""What players notice when the pods of a service are replaced one by one, with and without a grace period (S16.1).

    python -m bench.rolling_update [--rounds 3] [--json FILE]

A stand of its own, with its usual load. The four pods of ``payments-api`` are ended one at a time, as a rolling update
with ``maxUnavailable: 1`` does, and the next one only when the last is ready again:

- *with*: SIGTERM. The pod says that it is not ready, goes on serving until the edge has seen that, finishes what is in
  flight and leaves (``croupier_kit.service``).
- *without*: SIGKILL, which is what a grace period of zero, or one that is over, comes to.

Printed for each: pods ended, requests of all players meanwhile, and those that failed, by cause. Bar: none with a grace
period.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from croupier.adapters.clock import SystemClock
from croupier_stand import control
from croupier_stand.home import Home, ProcessRecord
from croupier_stand.load import Load
from croupier_stand.process import wait_for
from croupier_stand.stats import PlayersStats, read_stats

SERVICE = "payments-api"
WAYS = {"with": signal.SIGTERM, "without": signal.SIGKILL}
QUIET_SECONDS = 20.0
"""Before the first pod is ended: every pod has served, and everybody's connections are open."""
TAIL_SECONDS = 10.0
"""A player waits eight seconds for an answer."""
CLOCK = SystemClock()


@dataclass(frozen=True)
class Update:
    """``failed``: cause -> count, of the requests that began or ended meanwhile."""

    pods_ended: int
    seconds: float
    requests: int
    failed: Mapping[str, int]


def main() -> None:
    parser = argparse.ArgumentParser(description="Replace pods with and without a grace period")
    parser.add_argument("--rounds", type=int, default=3, help="how often all pods are replaced, each way")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    home = Home.of("rolling-update")
    with control.ended_with(home, keep=False):
        control.up(home, Load(), print, with_desk=False)
        pause(home, QUIET_SECONDS)
        found = {name: update(home, number, given.rounds) for name, number in WAYS.items()}
    for name, each in found.items():
        failed = ", ".join(f"{count} {cause}" for cause, count in each.failed.items()) or "none"
        print(
            f"{name:<8} a grace period: {each.pods_ended} pods ended in {each.seconds:.0f} s, "
            f"{each.requests:,} requests, failed: {failed}"
        )
    if given.json:
        given.json.write_text(json.dumps({name: asdict(each) for name, each in found.items()}, indent=1))
    if found["with"].failed:
        sys.exit("MISSED: requests failed although every pod was given time to leave")


def update(home: Home, number: signal.Signals, rounds: int) -> Update:
    before, began = stats(home), CLOCK.now()
    ended = 0
    for _ in range(rounds):
        for name in sorted(pods(home)):
            replace(home, name, number)
            ended += 1
    seconds = CLOCK.now() - began
    pause(home, TAIL_SECONDS)
    after = stats(home)
    failed = Counter(each.cause for each in after.failures if each.at >= began)
    return Update(ended, seconds, after.requests - before.requests, dict(failed))


def replace(home: Home, name: str, number: signal.Signals) -> None:
    old = pods(home)[name].pid
    os.kill(old, number)

    def is_back() -> bool:
        pod = pods(home).get(name)
        return pod is not None and pod.pid != old and pod.ready

    if not wait_for(is_back, 60.0):
        sys.exit(f"{name} did not come back")


def pods(home: Home) -> dict[str, ProcessRecord]:
    """Those that run, by name."""
    return {each.name: each for each in home.require().processes if each.name.startswith(f"{SERVICE}-")}


def stats(home: Home) -> PlayersStats:
    found = read_stats(home.players_stats)
    assert found is not None, "the players have not counted yet"
    return found


def pause(home: Home, seconds: float) -> None:
    """Until the players have counted for so long."""
    until = CLOCK.now() + seconds

    def has_counted() -> bool:
        found = read_stats(home.players_stats)
        return found is not None and found.at > until

    if not wait_for(has_counted, 3 * seconds, pause_seconds=0.5):
        sys.exit("the players do not count")


if __name__ == "__main__":
    main()
