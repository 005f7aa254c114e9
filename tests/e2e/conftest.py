"""One stand for all tests in a row that ask: real Envoy, PostgreSQL, casino and players, driven by the command line."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from croupier.cli.client import DeskClient
from croupier.cli.root import cli
from croupier.errors import Unauthorized, Unreachable
from croupier.model.view import RunView
from croupier_stand import control, money
from croupier_stand.home import Home
from croupier_stand.load import Load
from croupier_stand.process import wait_for
from croupier_stand.scenarios import SPLIT_SECONDS, near_changes, split_times
from croupier_stand.stats import PlayersStats, read_stats

LOAD = Load(seed=11, players=3000, deposits_per_second=20.0, bets_per_second=8.0)

RELEASE = """\
service: payments-api
digest: {digest}
steps: [25, 100]
dwellSeconds: {dwell}
deadlineSeconds: 600
bakeSeconds: 5
policy:
  gates:
    - signal: deposits
      role: required
      importance: 3
      margin: {{points: {points}}}
      strata: [{{by: provider, of: [psp-a, psp-b]}}]
    - {{signal: errors, role: required, margin: {{points: 4}}}}
    - {{signal: latency, margin: {{ratio: 3}}}}
  latencyEdges: [0.4, 1.0]
"""
"""Short: wide margins need few players. What is promised stays the same: worse than the margin goes back."""


@dataclass(frozen=True)
class Bench:
    """The stand, and the front door to its desk."""

    home: Home

    def croupier(self, *words: str, **environment: str) -> Result:
        """Run ``croupier`` with these words."""
        return CliRunner().invoke(cli, words, env={"CROUPIER_STAND": self.home.name} | environment)

    def json(self, *words: str) -> Any:
        done = self.croupier(*words, "--output", "json")
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    def digest(self, label: str) -> str:
        """Digest of the version of payments-api that people call so."""
        listed = self.json("stand", "versions", "--name", self.home.name)
        return str(next(v["digest"] for v in listed if (v["service"], v["label"]) == ("payments-api", label)))

    def sound(self) -> str:
        """Digest of a sound version of payments-api that does not serve now."""
        with DeskClient.of(self.home.name) as desk:
            stable = next(each.stable for each in desk.services() if each.name == "payments-api")
        assert stable is not None
        return self.digest("stable" if stable.label == "healthy" else "healthy")

    def start(self, digest: str, directory: Path, *, points: int = 5, dwell: int = 5) -> str:
        """Start a short release through the command line; gives the run.

        ``points``: margin of the deposits. ``dwell``: seconds that a step lasts at least.
        """
        file = directory / "release.yaml"
        file.write_text(RELEASE.format(digest=digest, points=points, dwell=dwell))
        said: list[Result] = []

        def has_history() -> bool:
            """A desk that has just begun to watch refuses, and says so."""
            said[:] = [self.croupier("release", "start", "-f", str(file), "--yes", "--output", "json")]
            return "has watched" not in said[0].stderr

        assert wait_for(has_history, 90, pause_seconds=2.0), said[0].stderr
        assert said[0].exit_code == 0, said[0].stderr
        return str(json.loads(said[0].stdout)["run"])

    def runs(self) -> list[str]:
        with DeskClient.of(self.home.name) as desk:
            return [view.run for view in desk.runs()]

    def look(self, run: str) -> RunView | None:
        """The run; None while no desk answers."""
        try:
            with DeskClient.of(self.home.name) as desk:
                return desk.run(run)
        except (Unreachable, Unauthorized):
            return None

    def wait(self, run: str, condition: Any, *, seconds: float = 200.0) -> RunView:
        """Wait until the run is so."""
        last: list[RunView] = []

        def holds() -> bool:
            view = self.look(run)
            if view is not None:
                last[:] = [view]
            return view is not None and bool(condition(view))

        assert wait_for(holds, seconds, pause_seconds=0.3), f"after {seconds} s: {last}"
        return last[0]

    def wait_for_end(self, run: str, *, seconds: float = 240.0) -> RunView:
        return self.wait(run, lambda view: view.ended_at is not None, seconds=seconds)

    def kill(self, *processes: str) -> None:
        """kill -9 processes of the stand at once; wait until the supervisor has started all of them again."""
        with self.killed(*processes) as pids:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)

    @contextmanager
    def killed(self, *processes: str) -> Iterator[list[int]]:
        """Gives their ids; after the block, waits until the supervisor has started all of them again."""
        before = {each.name: each.pid for each in self.home.require().processes if each.name in processes}
        assert set(before) == set(processes)
        yield list(before.values())

        def are_back() -> bool:
            now = [each for each in self.home.require().processes if each.name in processes]
            return len(now) == len(before) and all(each.pid != before[each.name] and each.ready for each in now)

        assert wait_for(are_back, 60), f"{', '.join(processes)} did not come back"

    def fault(self, *words: str) -> Any:
        """``stand fault``: what it answers."""
        return self.json("stand", "fault", *words, "--name", self.home.name)

    def pods(self, digest: str) -> list[str]:
        """Names of the pods of a version of payments-api that run."""
        begin = f"payments-api-{digest.removeprefix('sha256:')[:12]}-"
        return [process.name for process in self.home.require().processes if process.name.startswith(begin)]

    def labels_serving(self) -> set[str]:
        with DeskClient.of(self.home.name) as desk:
            return {each.label for each in desk.versions("payments-api") if each.serving}


@dataclass
class Held:
    """The stand of this process, while there is one."""

    bench: Bench | None = None
    end: ExitStack = field(default_factory=ExitStack)


HELD = pytest.StashKey[Held]()


def pytest_configure(config: pytest.Config) -> None:
    held = config.stash[HELD] = Held()
    config.add_cleanup(held.end.close)


@pytest.fixture
def bench(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """One for all tests in a row that ask for it."""
    held = pytestconfig.stash[HELD]
    if held.bench is None:
        held.bench = held.end.enter_context(_stand(tmp_path_factory.mktemp("croupier")))
    return held.bench


@contextmanager
def _stand(folder: Path) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROUPIER_HOME", str(folder))
        home = Home.of("e2e")
        control.up(home, LOAD, print)
        try:
            yield Bench(home)
        finally:
            control.down(home)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """The stand ends with the last test in a row that asks for it: it keeps a core busy, which others can use."""
    yield
    if nextitem is None or "bench" not in getattr(nextitem, "fixturenames", ()):
        held = item.config.stash[HELD]
        held.bench = None
        held.end.close()


@pytest.fixture
def nobody_notices(bench: Bench) -> Iterator[None]:
    """S8.7: afterwards, no request of a player has failed around a change of the split of the runs begun meanwhile."""
    before = set(bench.runs())
    yield
    with DeskClient.of(bench.home.name) as desk:
        runs = [view.run for view in desk.runs() if view.run not in before]
        changed_at = sorted(at for run in runs for at in split_times(desk.journal(run)))
    assert changed_at, runs

    def stats() -> PlayersStats:
        found = read_stats(bench.home.players_stats)
        assert found is not None
        return found

    assert wait_for(lambda: stats().at > changed_at[-1] + SPLIT_SECONDS[1], 40, pause_seconds=0.5)
    counted = stats()
    assert counted.forgotten_until < changed_at[0] - SPLIT_SECONDS[0]
    assert near_changes(counted.failures, changed_at) == []


def lost_money(home: Home) -> list[str]:
    """What is wrong after the last reconciliation, while the players rest; many deposits were looked at."""
    control.rest(home, ["players", "reconciler"])
    try:
        reckoning = money.reckon(home, everything=True)
    finally:
        control.rest(home, [])
    assert reckoning.before.checked["captures"] > 100
    return [str(violation) for violation in reckoning.remaining]
