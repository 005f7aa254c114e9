"""``croupier stand soak``: every defect and the healthy version again and again, then an A/A run of healthy ones.

Failed runs are listed and never repeated. The results file is written anew after every run, so that a soak that is cut
off still tells what it saw.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from croupier.adapters.files import replace_file
from croupier.cli.client import DeskClient
from croupier.errors import Conflict, CroupierError
from croupier.model.base import Value
from croupier.report.format import duration, table
from croupier_stand import control, money, scenarios
from croupier_stand.demo import Journal, scenario_table, verify_journal
from croupier_stand.home import Home
from croupier_stand.load import Load
from croupier_stand.scenarios import DEFECTS, HEALTHY, STABLE, Say, Scenario, Served, Told

NAME = "soak"


class Soak(Value):
    """``aa_runs``: healthy releases at the end, one after the other; ``aa_rolled_back``: how many were taken back."""

    right: bool
    seconds: float
    runs: tuple[Told, ...]
    aa_runs: int
    aa_rolled_back: int
    violations_after: int
    """Of the money audit, after reconciliation."""
    journal: Journal | None


def run(*, repeat: int, healthy: int, seed: int, results: Path, say: Say) -> Soak:
    """Bring a stand up and play every scenario ``repeat`` times, then ``healthy`` healthy releases; take it down.

    Raises ``CroupierError`` when the stand does not come up; a run that goes wrong is told, not raised.
    """
    home = Home.of(NAME)
    if home.running() is not None:
        raise Conflict("a soak is running already", hint=f"end it: croupier stand down --name {NAME}")
    results.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    control.down(home)
    control.erase(home)
    runs: list[Told] = []
    violations = 0
    journal: Journal | None = None

    def found() -> Soak:
        aa = runs[-healthy:] if healthy and len(runs) > repeat * (len(DEFECTS) + 1) else []
        return Soak(
            right=all(each.is_right for each in runs) and not violations and (journal is None or journal.sound),
            seconds=time.monotonic() - began,
            runs=tuple(runs),
            aa_runs=len(aa),
            aa_rolled_back=sum(each.outcome == "rolled-back" for each in aa),
            violations_after=violations,
            journal=journal,
        )

    with control.ended_with(home, keep=False):
        control.up(home, Load(seed=seed), say)
        scenarios.watch_stable(home, say)
        for number, scenario in enumerate(_order(repeat, healthy), 1):
            say(f"\nRun {number}: {scenario.label}")
            runs.append(_play(home, scenario, say))
            replace_file(results, found().model_dump_json(by_alias=True, indent=1).encode())
        control.rest(home, ["players"])
        violations = len(money.reckon(home, everything=True).remaining)
        journal = verify_journal(home.root)
    ended = found()
    replace_file(results, ended.model_dump_json(by_alias=True, indent=1).encode())
    return ended


def lines(soak: Soak) -> list[str]:
    """The tables at the end, for people."""
    rows: list[tuple[str, ...]] = [("scenario", "runs", "right", "rolled back", "promoted")]
    for label in dict.fromkeys(each.label for each in soak.runs):
        of_label = [each for each in soak.runs if each.label == label]
        outcomes = [each.outcome for each in of_label]
        counts = (len(of_label), sum(each.is_right for each in of_label), outcomes.count("rolled-back"))
        rows.append((label, *map(str, counts), str(outcomes.count("promoted"))))
    said = [*scenario_table(soak.runs), "", *table(rows, right=(1, 2, 3, 4), indent=""), ""]
    if soak.aa_runs:
        said.append(f"A/A: {soak.aa_rolled_back} of {soak.aa_runs} healthy releases were taken back")
    said.append(f"Money: {soak.violations_after or 'no'} violations after reconciliation")
    said += [f"FAILED {each.run} {each.label}: {'; '.join(each.problems)}" for each in soak.runs if each.problems]
    said.append(f"{len(soak.runs)} runs in {duration(soak.seconds)}")
    return said


def _order(repeat: int, healthy: int) -> Iterator[Scenario]:
    for _ in range(repeat):
        yield from DEFECTS
        yield HEALTHY
    for _ in range(healthy):
        yield HEALTHY


def _play(home: Home, scenario: Scenario, say: Say) -> Told:
    try:
        if scenario is HEALTHY:
            scenario = _other_healthy(home)
        told = scenarios.play(home, scenario, say)
        if told.outcome is None:
            with DeskClient.of(home.name) as desk:
                desk.command(told.run, "abort", "the soak goes on")
            scenarios.wait_until_ended(home, told.run)
    except CroupierError as error:
        return failed(scenario, str(error))
    return told


def _other_healthy(home: Home) -> Scenario:
    """A sound version that does not serve now: releasing the one that serves would be no release."""
    with DeskClient.of(home.name) as desk:
        serving = next(each.stable for each in desk.services() if each.name == HEALTHY.service)
    return STABLE if serving is not None and serving.label == HEALTHY.label else HEALTHY


def failed(scenario: Scenario, why: str) -> Told:
    """A run that did not come about."""
    return Told(
        label=scenario.label,
        run="–",
        expected=scenario.expected,
        outcome=None,
        reason=why,
        peak_weight=0,
        seconds=0.0,
        forecast_seconds=None,
        actual_seconds=None,
        zero_seconds=None,
        served=Served(),
        failed_requests={},
        failed_by_splits=0,
        split_changes=0,
        problems=(why,),
    )
