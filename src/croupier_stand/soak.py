"""``croupier stand soak``: every defect, every fault and the healthy version again and again, an A/A run of healthy
ones, and drills: what a desk must refuse or outlive.

Failed runs are listed and never repeated. The results file is written anew after every run, so that a soak that is cut
off still tells what it saw.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from croupier.adapters.files import replace_file
from croupier.cli.client import DeskClient
from croupier.errors import Conflict, CroupierError, UnknownName
from croupier.model.base import Value
from croupier.model.replay import Replay
from croupier.report.format import UNKNOWN, duration, table
from croupier_stand import control, drills, money, scenarios
from croupier_stand.demo import Journal, scenario_table, verify_journal
from croupier_stand.drills import DRILLS, DrillResult
from croupier_stand.home import Home
from croupier_stand.load import Load
from croupier_stand.scenarios import DEFECTS, FAULTS, HEALTHY, Say, Scenario, Told

NAME = "soak"
REPEATED = (*DEFECTS, *FAULTS, HEALTHY)
LABELS = (*(scenario.label for scenario in REPEATED), *DRILLS)
"""All that can be chosen by name."""
FORECAST_BAR = (0.5, 2.0)
"""Between which the median of forecast ÷ actual time to the verdict must be, where enough runs have both."""
FORECAST_RUNS = 10
"""The time to one verdict is mostly chance; a median of fewer says nothing of the forecast."""
_PATIENCE_SECONDS = 900.0
"""A release is refused while stable itself fails too much; in so long the desk forgets a bad time that is over."""


class Replayed(Value):
    """What ``journal replay`` said. ``verdicts``: how many were judged again; ``differing``: what did not come out."""

    ok: bool
    verdicts: int
    differing: tuple[str, ...]

    @property
    def said(self) -> str:
        if self.ok:
            return f"{self.verdicts} verdicts come out as they were written"
        return f"of {self.verdicts} verdicts: {'; '.join(self.differing)}"


class Soak(Value):
    """``aa_runs``: healthy releases at the end, one after the other; ``aa_rolled_back``: how many were taken back.

    ``forecast_ratio``: median of forecast ÷ actual time to the verdict over the runs that have both; None: none has.
    """

    right: bool
    seconds: float
    runs: tuple[Told, ...]
    aa_runs: int
    aa_rolled_back: int
    forecast_ratio: float | None
    drills: tuple[DrillResult, ...]
    violations_after: int
    """Of the money audit, after reconciliation."""
    journal: Journal | None
    replay: Replayed | None


def run(*, repeat: int, healthy: int, only: Collection[str], seed: int, results: Path, say: Say) -> Soak:
    """Bring a stand up, play every scenario ``repeat`` times, then ``healthy`` healthy releases, then every drill as
    often as a scenario, once at least.

    Args:
        only: labels of the scenarios and drills to play; empty: all.

    Raises ``UnknownName`` for a label, ``CroupierError`` when the stand does not come up; a run that goes wrong is
    told, not raised. The stand is down afterwards.
    """
    for label in only:
        if label not in LABELS:
            raise UnknownName("scenario", label, LABELS)
    home = Home.of(NAME)
    if home.running() is not None:
        raise Conflict("a soak is running already", hint=f"end it: croupier stand down --name {NAME}")
    results.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    control.down(home)
    control.erase(home)
    repeated = [scenario for scenario in REPEATED if not only or scenario.label in only]
    runs: list[Told] = []
    drilled: list[DrillResult] = []
    violations = 0
    journal: Journal | None = None
    replay: Replayed | None = None

    def found() -> Soak:
        aa = runs[repeat * len(repeated) :]
        return Soak(
            right=all(each.is_right for each in runs)
            and not forecast_problem(runs)
            and all(each.is_right for each in drilled)
            and not violations
            and (journal is None or journal.sound)
            and (replay is None or replay.ok),
            seconds=time.monotonic() - began,
            runs=tuple(runs),
            aa_runs=len(aa),
            aa_rolled_back=sum(each.outcome == "rolled-back" for each in aa),
            forecast_ratio=forecast_ratio(runs),
            drills=tuple(drilled),
            violations_after=violations,
            journal=journal,
            replay=replay,
        )

    def write() -> Soak:
        so_far = found()
        replace_file(results, so_far.model_dump_json(by_alias=True, indent=1).encode())
        return so_far

    with control.ended_with(home, keep=False):
        control.up(home, Load(seed=seed), say)
        scenarios.watch_stable(home, say)
        for number, scenario in enumerate(_order(repeated, repeat, healthy), 1):
            say(f"\nRun {number}: {scenario.label}")
            runs.append(_play(home, scenario, say))
            write()
        for label in drill_order(repeat, only):
            say(f"\n{label}")
            drilled.append(drills.drill(home, label, say))
            write()
        control.rest(home, ["players"])
        violations = len(money.reckon(home, everything=True).remaining)
        journal = verify_journal(home.root)
        replay = replay_journal(home.root)
    return write()


def forecast_ratio(runs: Sequence[Told]) -> float | None:
    """Median of forecast ÷ actual time to the verdict; None when no run has both. Pure."""
    ratios = _forecast_ratios(runs)
    return statistics.median(ratios) if ratios else None


def forecast_problem(runs: Sequence[Told]) -> str:
    """What is wrong with the forecasts as a whole; "" where they are right, or too few to tell. Pure."""
    ratios = _forecast_ratios(runs)
    low, high = FORECAST_BAR
    if len(ratios) < FORECAST_RUNS or low <= statistics.median(ratios) <= high:
        return ""
    return f"forecasts: the median of forecast ÷ actual is {statistics.median(ratios):.2f}, not {low:g} to {high:g}"


def _forecast_ratios(runs: Sequence[Told]) -> list[float]:
    return [
        each.forecast_seconds / each.actual_seconds
        for each in runs
        if each.forecast_seconds is not None and each.actual_seconds
    ]


def replay_journal(home: Path) -> Replayed:
    """What ``croupier journal replay`` says of every run, asked as anybody would."""
    command = [sys.executable, "-m", "croupier.cli", "journal", "replay", "--home", str(home), "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
    try:
        answer = Replay.model_validate_json(done.stdout)
    except ValidationError:
        return Replayed(ok=False, verdicts=0, differing=(done.stderr.strip(),))
    differing = [f"entry {each.entry}: {each.problem}" for run in answer.runs for each in run.differences]
    return Replayed(
        ok=done.returncode == 0, verdicts=sum(run.verdicts for run in answer.runs), differing=tuple(differing)
    )


def lines(soak: Soak) -> list[str]:
    """The tables at the end, for people."""
    rows: list[tuple[str, ...]] = [("scenario", "runs", "right", "rolled back", "promoted", "caught by")]
    for label in dict.fromkeys(each.label for each in soak.runs):
        of_label = [each for each in soak.runs if each.label == label]
        outcomes = [each.outcome for each in of_label]
        counts = (len(of_label), sum(each.is_right for each in of_label), outcomes.count("rolled-back"))
        caught_by = ", ".join(sorted({each.caught_by for each in of_label if each.caught_by})) or UNKNOWN
        rows.append((label, *map(str, counts), str(outcomes.count("promoted")), caught_by))
    said = [*scenario_table(soak.runs), "", *table(rows, right=(1, 2, 3, 4), indent=""), ""]
    if soak.aa_runs:
        said.append(f"A/A: {soak.aa_rolled_back} of {soak.aa_runs} healthy releases were taken back")
    if soak.forecast_ratio is not None:
        said.append(f"Forecast ÷ actual time to the verdict: median {soak.forecast_ratio:.2f}")
    said += [f"{each.label}: {each.said}" for each in soak.drills]
    said.append(f"Money: {soak.violations_after or 'no'} violations after reconciliation")
    if soak.journal is not None:
        said.append(f"Journal: {soak.journal.said}, {soak.journal.entries} entries")
    if soak.replay is not None:
        said.append(f"Replay: {soak.replay.said}")
    said += [f"FAILED {each.run} {each.label}: {'; '.join(each.problems)}" for each in soak.runs if each.problems]
    said += [f"FAILED {each.label}: {'; '.join(each.problems)}" for each in soak.drills if each.problems]
    if problem := forecast_problem(soak.runs):
        said.append(f"FAILED {problem}")
    said.append(f"{len(soak.runs)} runs in {duration(soak.seconds)}")
    return said


def _order(repeated: Sequence[Scenario], repeat: int, healthy: int) -> Iterator[Scenario]:
    for _ in range(repeat):
        yield from repeated
    for _ in range(healthy):
        yield HEALTHY


def drill_order(repeat: int, only: Collection[str]) -> list[str]:
    """Labels of the drills in the order they are tried. ``only``: these; empty: all. Pure."""
    return [label for label in DRILLS if not only or label in only] * max(repeat, 1)


def _play(home: Home, scenario: Scenario, say: Say) -> Told:
    try:
        told = scenarios.play(home, scenarios.not_serving(home, scenario), say, patience_seconds=_PATIENCE_SECONDS)
        if told.outcome is None and told.run != scenarios.NO_RUN:
            with DeskClient.of(home.name) as desk:
                desk.command(told.run, "abort", "the soak goes on")
            scenarios.wait_until_ended(home, told.run)
    except CroupierError as error:
        return scenarios.unplayed(scenario, str(error), None, problem=str(error))
    return told
