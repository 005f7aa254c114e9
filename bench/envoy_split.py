"""How fast a split takes effect in a real Envoy, and whether requests fail while it changes.

    python -m bench.envoy_split [--changes 100] [--rate 1000] [--json FILE]

Sixteen connections send requests at ``--rate`` a second (0: as fast as they can) to one service with two versions of
two pods, while the split is changed again and again through ``EnvoyTraffic``, as the desk does it. Load and pods run in
one process, the desk's side in another, Envoy in a third. The stamp on each answer tells which split served it.
Printed, in milliseconds, over all changes:

- *first after the call*: from calling ``set_split`` to the first answer that the new split served;
- *first after the rename*: from the rename of the public routes to that answer;
- *last of the old*: from the rename to the last request sent that the old split still served;
- *confirmed*: how long ``set_split`` took, which is when the desk may rely on it.

Bars: first after the call at most 20 ms in 95 of 100, 0 failed requests. All of it shares one machine: run it on one
that has nothing else to do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import ClientError, ClientSession
from tests.support.edge import Edge, Pod, running_edge

from croupier.adapters.traffic import envoy
from croupier.adapters.traffic.envoy_config import JsonObject
from croupier.adapters.traffic.envoy_files import EnvoyFiles
from croupier.model.traffic import Endpoint

BAR_MS = 20.0
CONNECTIONS = 16
WEIGHTS = (5, 10, 25, 50, 100, 0)
PAUSE_SECONDS = 0.05


@dataclass
class Seen:
    """What the load saw. Times are ``perf_counter`` seconds, which all processes of a machine share.

    ``first``: revision -> time of its first answer. ``last_sent``: revision -> when the last request that it served was
    sent.
    """

    answers: int = 0
    failures: list[str] = field(default_factory=list)
    first: dict[str, float] = field(default_factory=dict)
    last_sent: dict[str, float] = field(default_factory=dict)


# --- the process of load and pods --------------------------------------------------------------------------------


async def play(public_port: int, pod_ports: Sequence[int], rate: float) -> Seen:
    """Serve and send until standard input is closed."""
    seen = Seen()
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        for port in pod_ports:
            pod = Pod("bench")
            pod.endpoint = Endpoint(host="127.0.0.1", port=port)
            await pod.start()
            stack.push_async_callback(pod.stop)
        client = await stack.enter_async_context(ClientSession())
        url = f"http://127.0.0.1:{public_port}/payments/x"
        async with asyncio.TaskGroup() as group:
            await asyncio.to_thread(sys.stdin.readline)
            for number in range(CONNECTIONS):
                group.create_task(connection(client, url, number, rate, seen, stop))
            await asyncio.to_thread(sys.stdin.readline)
            stop.set()
    return seen


async def connection(  # noqa: PLR0917
    client: ClientSession, url: str, number: int, rate: float, seen: Seen, stop: asyncio.Event
) -> None:
    due = time.perf_counter() + number / (rate or 1.0)  # in turn: together they would all miss the moment of a change
    player = 0
    while not stop.is_set():
        player = (player + 1) % 500
        if rate:
            due += CONNECTIONS / rate
            await asyncio.sleep(due - time.perf_counter())
        sent = time.perf_counter()
        try:
            async with client.get(url, headers={"x-player": f"p{number}-{player}"}) as answer:
                body = await answer.json(content_type=None)
                failure = "" if answer.status == 200 else f"status {answer.status}"
        except (ClientError, OSError, ValueError) as error:
            failure = repr(error)
        if failure:
            seen.failures.append(failure)
            continue
        seen.answers += 1
        revision = body["headers"]["x-croupier-arm"].rpartition("/")[2]
        seen.first.setdefault(revision, time.perf_counter())
        seen.last_sent[revision] = max(sent, seen.last_sent.get(revision, 0.0))


# --- the desk's side ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    revision: int
    called_at: float
    renamed_at: float
    confirmed_at: float


class StampedFiles(EnvoyFiles):
    """Remembers when the public routes were renamed into place."""

    renamed_at = 0.0

    def put(self, name: str, content: JsonObject) -> bool:
        is_new = super().put(name, content)
        if name == "rds-public.json" and is_new:
            StampedFiles.renamed_at = time.perf_counter()
        return is_new


async def measure(changes: int, rate: float) -> tuple[list[Change], Seen, float]:
    envoy.EnvoyFiles = StampedFiles  # type: ignore[misc]
    made: list[Change] = []
    with tempfile.TemporaryDirectory(prefix="envoy-split-") as directory:
        async with running_edge(Path(directory)) as edge, playing(edge, rate) as player:
            await edge.traffic.set_split(edge.split(None))
            await tell(player, "go")
            await asyncio.sleep(0.5)
            began = time.perf_counter()
            for revision in range(1, changes + 1):
                called_at = time.perf_counter()
                await edge.traffic.set_split(edge.split(WEIGHTS[revision % len(WEIGHTS)], revision, offset=9_000))
                made.append(Change(revision, called_at, StampedFiles.renamed_at, time.perf_counter()))
                await asyncio.sleep(PAUSE_SECONDS)
            seconds = time.perf_counter() - began
            await tell(player, "stop")
            assert player.stdout is not None
            seen = Seen(**json.loads(await player.stdout.readline()))
    return made, seen, seconds


@asynccontextmanager
async def playing(edge: Edge, rate: float) -> AsyncIterator[asyncio.subprocess.Process]:
    """Pods and load in a process of their own."""
    ports = [pod.endpoint.port for pods in edge.pods.values() for pod in pods]
    for pod in (pod for pods in edge.pods.values() for pod in pods):
        await pod.stop()
    words = ["-m", "bench.envoy_split", "--rate", str(rate), "--play", str(edge.public), *map(str, ports)]
    pipe = asyncio.subprocess.PIPE
    player = await asyncio.create_subprocess_exec(sys.executable, *words, stdin=pipe, stdout=pipe)
    try:
        yield player
    finally:
        if player.returncode is None:
            player.terminate()
        await player.wait()


async def tell(player: asyncio.subprocess.Process, word: str) -> None:
    assert player.stdin is not None
    player.stdin.write(f"{word}\n".encode())
    await player.stdin.drain()


# --- figures -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figures:
    changes: int
    changes_seen: int
    answers: int
    answers_per_second: int
    failed: int
    failures: Sequence[str]
    milliseconds: Mapping[str, Mapping[str, float]]

    @property
    def is_good(self) -> bool:
        lag = self.milliseconds["first after the call"]["p95"]
        return not self.failed and self.changes_seen == self.changes and lag <= BAR_MS


def figures(made: Sequence[Change], seen: Seen, seconds: float) -> Figures:
    served = [(each, seen.first[str(each.revision)]) for each in made if str(each.revision) in seen.first]
    old = [(each, seen.last_sent.get(str(each.revision - 1), 0.0)) for each in made]
    lags = {
        "first after the call": [first - each.called_at for each, first in served],
        "first after the rename": [first - each.renamed_at for each, first in served],
        "last of the old": [max(0.0, last - each.renamed_at) for each, last in old],
        "confirmed": [each.confirmed_at - each.called_at for each in made],
    }
    return Figures(
        changes=len(made),
        changes_seen=len(served),
        answers=seen.answers,
        answers_per_second=round(seen.answers / seconds),
        failed=len(seen.failures),
        failures=seen.failures[:10],
        milliseconds={name: summary([1000 * lag for lag in values]) for name, values in lags.items()},
    )


def summary(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    at = {"median": statistics.median(ordered), "p95": ordered[int(0.95 * (len(ordered) - 1))], "max": ordered[-1]}
    return {name: round(value, 2) for name, value in at.items()}


def show(found: Figures) -> None:
    print(f"{found.changes} changes, {found.answers} answers ({found.answers_per_second}/s), {found.failed} failed")
    print(f"{'milliseconds':<24}{'median':>10}{'p95':>10}{'max':>10}")
    for name, row in found.milliseconds.items():
        print(f"{name:<24}{row['median']:>10.2f}{row['p95']:>10.2f}{row['max']:>10.2f}")
    held = "held" if found.is_good else "MISSED"
    print(f"bar: p95 of the first after the call at most {BAR_MS:g} ms, 0 failed: {held}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--rate", type=float, default=1000.0, help="requests a second; 0: as fast as they can")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--play", type=int, nargs="+", metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.play:
        public_port, *pod_ports = options.play
        print(json.dumps(vars(asyncio.run(play(public_port, pod_ports, options.rate)))), flush=True)
        return 0
    found = figures(*asyncio.run(measure(options.changes, options.rate)))
    show(found)
    if options.json:
        options.json.write_text(json.dumps(vars(found), indent=1) + "\n")
    return 0 if found.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
