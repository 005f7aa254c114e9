"""Players for the example: paced traffic through a gateway, bounded in time, every failure counted with its cause.

    python3 players.py http://127.0.0.1:18080 --host casino.example --rate 40 --seconds 60

Requests are sent on a timetable, whether or not earlier ones were answered; a player's deposits carry its name. At the
end, also after SIGTERM or SIGINT, the totals are printed as JSON. The standard library only.
"""

from __future__ import annotations

import argparse
import collections
import http.client
import json
import os
import random
import signal
import sys
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

MOST_RATE = 500.0
MOST_SECONDS = 7200.0
TIMEOUT_SECONDS = 10.0
FAILURES_TOLD = 100


@dataclass
class Totals:
    """What happened so far. Times are seconds since the start."""

    requests: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)
    causes: collections.Counter[str] = field(default_factory=collections.Counter)
    versions: collections.Counter[str] = field(default_factory=collections.Counter)
    """Version that answered -> how often; "" when the answer did not tell."""
    seconds: list[float] = field(default_factory=list)
    late_seconds: float = 0.0
    """How far behind its timetable a request was sent, at most."""

    def summary(self) -> dict[str, Any]:
        ordered = sorted(self.seconds)

        def quantile(share: float) -> float:
            return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000, 1) if ordered else 0.0

        return {
            "requests": self.requests,
            "failed": sum(self.causes.values()),
            "causes": dict(self.causes),
            "failures": self.failures,
            "versions": dict(self.versions),
            "p50Ms": quantile(0.5),
            "p99Ms": quantile(0.99),
            "maxMs": quantile(1.0),
            "lateSeconds": round(self.late_seconds, 3),
        }


class Players:
    """Sends the traffic from a few threads, each with its own kept connection and its share of the timetable."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.netloc = urllib.parse.urlsplit(options.url).netloc
        self.totals = Totals()
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.began_at = time.monotonic()

    def run(self) -> dict[str, Any]:
        """Run until the time is over or somebody ends it; returns the totals."""
        count = self.options.connections
        workers = [threading.Thread(target=self._work, args=(number,)) for number in range(count)]
        for worker in workers:
            worker.start()
        self._report_until_over()
        for worker in workers:
            worker.join()
        return self.totals.summary() | {"runSeconds": round(self._elapsed(), 1)}

    def _report_until_over(self) -> None:
        with Path(self.options.log or os.devnull).open("a") as file:
            while self._elapsed() < self.options.seconds and not self.over.wait(1.0):
                file.write(json.dumps(self._line()) + "\n")
                file.flush()
        self.over.set()

    def _line(self) -> dict[str, Any]:
        with self.lock:
            totals = self.totals
            return {
                "at": round(time.time(), 3),
                "requests": totals.requests,
                "failed": sum(totals.causes.values()),
                "causes": dict(totals.causes),
                "versions": dict(totals.versions),
            }

    def _work(self, number: int) -> None:
        dice = random.Random(f"{self.options.seed}/{number}")
        connection = http.client.HTTPConnection(self.netloc, timeout=TIMEOUT_SECONDS)
        turn = 0
        while True:
            due = (number + turn * self.options.connections) / self.options.rate
            turn += 1
            if due > self.options.seconds or self.over.wait(max(0.0, due - self._elapsed())):
                break
            self._send(connection, dice, late=self._elapsed() - due)
        connection.close()

    def _send(self, connection: http.client.HTTPConnection, dice: random.Random, *, late: float) -> None:
        player = f"player-{dice.randrange(self.options.players):05d}"
        method, path = ("POST", "/deposits") if dice.random() < self.options.deposits else ("GET", "/")
        headers = {"x-player": player} | ({"host": self.options.host} if self.options.host else {})
        began_at, version, cause = time.monotonic(), "", ""
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status == 200:
                version = str(json.loads(body).get("version", ""))
            else:
                cause = f"status {answer.status}: {body[:80].decode(errors='replace').strip()}"
        except (OSError, http.client.HTTPException, ValueError) as error:
            cause = f"{type(error).__name__}: {error}"[:120]
            connection.close()
        took = time.monotonic() - began_at
        with self.lock:
            totals = self.totals
            totals.requests += 1
            totals.seconds.append(took)
            totals.late_seconds = max(totals.late_seconds, late)
            if cause:
                totals.causes[cause] += 1
                if len(totals.failures) < FAILURES_TOLD:
                    at = round(self._elapsed(), 3)
                    told = {"at": at, "tookMs": round(took * 1000, 1), "request": f"{method} {path}", "cause": cause}
                    totals.failures.append(told)
            else:
                totals.versions[version] += 1

    def _elapsed(self) -> float:
        return time.monotonic() - self.began_at


def main() -> None:
    """Parse the command line, run, print the totals."""
    parser = argparse.ArgumentParser(description="Paced, player-keyed traffic; totals as JSON at the end.")
    parser.add_argument("url", help="base address of the gateway")
    parser.add_argument("--host", default="", help="host name to ask for, where the gateway routes by it")
    parser.add_argument("--rate", type=float, default=40.0, help=f"requests a second, at most {MOST_RATE:g}")
    parser.add_argument("--seconds", type=float, default=60.0, help=f"for how long, at most {MOST_SECONDS:g}")
    parser.add_argument("--players", type=int, default=2000, help="how many different players")
    parser.add_argument("--deposits", type=float, default=0.75, help="share of requests that are deposits, 0-1")
    parser.add_argument("--connections", type=int, default=8, help="kept connections, at most 64")
    parser.add_argument("--seed", default="1", help="for the same players in the same order")
    parser.add_argument("--log", default="", help="file to which one line of JSON a second is added")
    options = parser.parse_args()
    options.rate = min(max(options.rate, 0.1), MOST_RATE)
    options.seconds = min(options.seconds, MOST_SECONDS)
    options.connections = min(max(options.connections, 1), 64)
    players = Players(options)

    def end(_number: int, _frame: FrameType | None) -> None:
        players.over.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    json.dump(players.run(), sys.stdout)
    print()


if __name__ == "__main__":
    main()
