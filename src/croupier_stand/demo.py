"""``croupier demo``: a good release promoted, a bad one taken back, on a stand of its own, and the money counted.

Talk (what happens, line by line) goes to stderr, the table at the end to stdout. Whatever happens, the stand is taken
down again, unless ``--keep`` says otherwise; its journal and logs stay until the next demo.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click

from croupier.adapters.clock import SystemClock
from croupier.cli.options import EXIT_NO, Output, output_option, print_json, say
from croupier.errors import Conflict
from croupier.model.base import Value
from croupier.report.format import duration, short_duration, table
from croupier_stand import control, money, scenarios
from croupier_stand.home import Home
from croupier_stand.load import Load
from croupier_stand.process import wait_for
from croupier_stand.scenarios import Scenario, Told
from croupier_stand.stats import read_stats

NAME = "demo"
LEAST_PLAYERS = 2_000
LEAST_DEPOSITS_PER_SECOND = 20.0
"""With fewer the demo shows less than it says: the machine is too slow, or too busy."""
_QUIET_SECONDS = 5.0
"""After the players have left, what is under way comes to its end."""


class Journal(Value):
    """Where the journal is, and what ``journal verify`` said of it."""

    path: str
    sound: bool
    entries: int | None
    said: str


class Money(Value):
    """The audit: violations by kind before the reconciliation, what was mended, violations after it."""

    before: dict[str, int]
    mended: dict[str, int]
    after: dict[str, int]


class Rates(Value):
    """What the players did and measured, on average over the whole demo."""

    distinct: int = 0
    seconds: float = 0.0
    requests_per_second: float = 0.0
    deposits_per_second: float = 0.0
    bets_per_second: float = 0.0
    failed_requests: dict[str, int]
    """Cause -> count."""


class Demo(Value):
    """What the demo found. Fields: see docs/reference/json.md."""

    right: bool
    problems: tuple[str, ...]
    seconds: float
    scenarios: tuple[Told, ...]
    money: Money
    journal: Journal
    players: Rates


@click.command()
@click.option("--keep", is_flag=True, help="Leave the stand running at the end, to look around.")
@click.option("--seed", type=int, default=1, show_default=True, help="Decides who plays what, and when.")
@output_option
def demo(*, keep: bool, seed: int, output: Output) -> None:
    """A good release promoted, a bad one taken back.

    Starts a small casino with thousands of players on this machine, releases a healthy version of payments-api and
    then one that loses 3 % of deposits while it answers every request with 200, and counts everybody's money at the
    end. Takes less than ten minutes. Exits 0 only when all came out right.
    """
    found = run((scenarios.HEALTHY, scenarios.DEPOSIT_LOSS), seed=seed, keep=keep)
    if output == "json":
        print_json(found.model_dump(mode="json", by_alias=True))
    else:
        for line in lines(found):
            click.echo(line)
    if not found.right:
        raise click.exceptions.Exit(EXIT_NO)


def run(wanted: Sequence[Scenario], *, seed: int, keep: bool) -> Demo:
    """Bring a stand up, play the scenarios, count the money, take it down.

    Raises ``CroupierError`` when the stand does not come up, or its desk refuses a release.
    """
    home = Home.of(NAME)
    if home.running() is not None:
        raise Conflict("a demo is running already", hint=f"end it: croupier stand down --name {NAME}")
    began = time.monotonic()
    control.down(home)
    control.erase(home)
    say(f"Starting a stand in {home.root}")
    with control.ended_with(home, keep=keep):
        control.up(home, Load(seed=seed), lambda line: say(f"  {line}"))
        # The reconciler would mend what the bad version loses as it happens. It waits, so that the audit can show it.
        control.rest(home, ["reconciler"])
        scenarios.watch_stable(home, say)
        told = []
        for scenario in wanted:
            say(f"\nReleasing {scenario.service} {scenario.label!r}; it should be {scenario.expected}")
            told.append(scenarios.play(home, scenario, lambda line: say(f"  {line}")))
        say("\nPlayers leave; auditing everybody's money")
        control.rest(home, ["reconciler", "players"])
        left_at = SystemClock().now()
        wait_for(lambda: SystemClock().now() > left_at + _QUIET_SECONDS, 2 * _QUIET_SECONDS, pause_seconds=0.5)
        reckoning = money.reckon(home, everything=True)
        for line in money.lines(reckoning):
            say(f"  {line}")
        journal = verify_journal(home.root)
        if keep:
            control.rest(home, [])
        else:
            say("Taking the stand down")
    problems = [f"{each.run} {problem}" for each in told for problem in each.problems]
    problems += [f"after reconciliation: {each.kind} {each.subject}: {each.detail}" for each in reckoning.remaining]
    if not journal.sound:
        problems.append(f"journal: {journal.said}")
    players = rates(home)
    problems += too_few(players)
    return Demo(
        right=not problems,
        problems=tuple(problems),
        seconds=time.monotonic() - began,
        scenarios=tuple(told),
        money=Money(
            before=dict(reckoning.before.by_kind),
            mended=dict(reckoning.mended),
            after=money.by_kind(reckoning.remaining),
        ),
        journal=journal,
        players=players,
    )


def rates(home: Home) -> Rates:
    """The players' figures; zeros when they left none."""
    stats = read_stats(home.players_stats)
    if stats is None or not stats.seconds:
        return Rates(failed_requests={})
    ended = {name: each.done + each.declined + each.failed for name, each in stats.operations.items()}
    return Rates(
        distinct=stats.distinct_players,
        seconds=stats.seconds,
        requests_per_second=stats.requests / stats.seconds,
        deposits_per_second=ended.get("deposit", 0) / stats.seconds,
        bets_per_second=ended.get("bet", 0) / stats.seconds,
        failed_requests=dict(stats.failed_requests),
    )


def too_few(players: Rates) -> list[str]:
    """What was too little for a casino at work. Pure."""
    found = []
    if players.distinct < LEAST_PLAYERS:
        found.append(f"{players.distinct:,} players played, fewer than {LEAST_PLAYERS:,}")
    if players.deposits_per_second < LEAST_DEPOSITS_PER_SECOND:
        found.append(
            f"{players.deposits_per_second:.1f} deposits/s, fewer than {LEAST_DEPOSITS_PER_SECOND:g}: "
            "this machine is too slow, or does something else"
        )
    return found


def verify_journal(home: Path) -> Journal:
    """What ``croupier journal verify`` says, asked as anybody would."""
    command = [sys.executable, "-m", "croupier.cli", "journal", "verify", "--home", str(home), "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = {"entries": None, "problem": done.stderr.strip()}
    return Journal(
        path=str(home / "desk" / "journal.sqlite"),
        sound=done.returncode == 0,
        entries=answer.get("entries"),
        said=answer.get("problem") or "sound",
    )


def lines(found: Demo) -> list[str]:
    """The table at the end, for people."""
    said = ["", *scenario_table(found.scenarios), ""]
    money = found.money
    said.append(f"Money before reconciliation  {_counted(money.before) or 'no violations'}")
    if money.before:
        said.append(f"      mended                 {_counted(money.mended) or 'nothing'}")
    said.append(f"      after reconciliation   {_counted(money.after) or 'no violations'}")
    players = found.players
    said.append(
        f"Players                      {players.distinct:,} played; on average {players.deposits_per_second:.1f} "
        f"deposits/s, {players.bets_per_second:.1f} bets/s, {players.requests_per_second:.0f} requests/s"
    )
    failed = sum(players.failed_requests.values())
    said.append(f"      failed requests        {_counted(players.failed_requests) if failed else 'none'}")
    journal = found.journal
    said.append(f"Journal                      {journal.path}")
    said.append(f"      journal verify         {journal.said}, {journal.entries} entries")
    said += ["", *(f"NOT RIGHT: {problem}" for problem in found.problems)]
    said.append(
        f"All came out right in {duration(found.seconds)}." if found.right else "Something did not come out right."
    )
    return said


def scenario_table(told: Sequence[Told]) -> list[str]:
    """One line a scenario."""
    rows = [
        ("", "", "time to verdict", "", "bad deposits", "bad requests", "no players", "failed requests"),
        ("scenario", "outcome", "forecast", "actual", "served", "served", "after", "by splits / all"),
    ]
    for each in told:
        rows.append(
            (
                each.label,
                each.outcome or "undecided",
                short_duration(each.forecast_seconds),
                short_duration(each.actual_seconds),
                f"{each.served.bad_deposits} of {each.served.deposits:,}",
                f"{each.served.bad_requests} of {each.served.requests:,}",
                f"{each.zero_seconds:.1f} s" if each.zero_seconds is not None else "–",
                f"{each.failed_by_splits} / {sum(each.failed_requests.values())}",
            )
        )
    return table(rows, right=(2, 3, 4, 5, 6, 7), indent="")


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
