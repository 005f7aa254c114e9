"""``croupier gate``: what the gates saw, and what they would have said. Works on files, so it needs no running desk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from croupier.cli.journal import Where, evidence_of, place_options, reader_of, runs_of
from croupier.cli.options import EXIT_NO, Output, output_option, print_value, say
from croupier.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from croupier.model.backtest import BacktestRun
    from croupier.model.evidence import Sample
    from croupier.model.release import GatePolicy


@click.group()
def gate() -> None:
    """Ask the gates: why a verdict fell, and what other gates would have said.

    These commands read the journal and the evidence of a stand; they work while its desk runs and when it is down.
    """


@gate.command()
@click.argument("run")
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.svg",
    help="Draw it too: one picture that any viewer or browser shows.",
)
@place_options
@output_option
def explain(*, run: str, picture: Path | None, output: Output, **where: Unpack[Where]) -> None:
    """Tell why a run's verdict fell, in words and in one picture.

    Per gate: the evidence over time against its bar, the failures of both versions, when it fell, and what would have
    been needed for another answer. Everything is judged again from the recorded evidence.
    """
    from croupier.adapters.files import PUBLIC, replace_file
    from croupier.core.explain import explain as explained
    from croupier.report.explain import explanation_text
    from croupier.report.picture import draw

    if picture is not None and not picture.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {picture.absolute().parent}", hint="make it, or name another --picture")
    with reader_of(where) as reader:
        runs_of(reader, run)
        entries = list(reader.read(subject=run))
    told = explained(entries, evidence_of(where).read(run))
    if output == "json":
        print_value(told)
    else:
        click.echo(explanation_text(told))
    if picture is not None:
        replace_file(picture.absolute(), draw(told).encode(), mode=PUBLIC)
        say(f"\ndrawn: {picture}")
    elif output == "text":
        say(f"\nTo see it: croupier gate explain {run} --picture {run}.svg")


def _moment(_ctx: click.Context, _param: click.Parameter, value: str | None) -> float | None:
    from datetime import UTC, datetime

    if value is None:
        return None
    try:
        when = datetime.fromisoformat(value)
    except ValueError as error:
        raise click.BadParameter("give a time like 2026-03-01T03:14:00Z") from error
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


@gate.command()
@click.argument("runs", nargs=-1, metavar="[RUN]…")
@click.option(
    "--policy",
    "policy_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Gates to judge by, as in a release file. Default: each release's own.",
)
@click.option(
    "--judge",
    "judge_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Read a range of a Prometheus instead of evidence: its settings, as for `croupier judge`.",
)
@click.option("--service", metavar="NAME", help="With --judge: which service.")
@click.option("--canary", default="", metavar="REVISION", help="With --judge: what $canary stands for.")
@click.option("--stable-revision", "stable_revision", default="", metavar="REVISION", help="The same for $stable.")
@click.option("--since", callback=_moment, metavar="TIME", help="With --judge: when the release began (UTC).")
@click.option("--until", "end", callback=_moment, metavar="TIME", help="With --judge: when it ended.")
@place_options
@output_option
def backtest(
    *,
    runs: tuple[str, ...],
    policy_file: Path | None,
    judge_file: Path | None,
    service: str | None,
    canary: str,
    stable_revision: str,
    since: float | None,
    end: float | None,
    output: Output,
    **where: Unpack[Where],
) -> None:
    """Judge past releases by other gates: all of a stand, RUNs, or a range of a Prometheus.

    Says which would have been promoted, rolled back or held, when, and how many failures players of the canary would
    have met. Exit code 1 when one would have ended otherwise than it did.
    """
    from croupier.core.backtest import in_all
    from croupier.report.backtest import backtest_text
    from croupier.spec.documents import load_policy

    policy = load_policy(policy_file) if policy_file is not None else None
    if judge_file is None:
        if service or canary or stable_revision or since is not None or end is not None:
            raise UsageError("--service, --canary, --stable-revision, --since and --until go with --judge")
        done = _of_runs(runs, policy, where)
    else:
        if runs:
            raise UsageError("with --judge there are no runs: give --service, --since and --until")
        if service is None or since is None or end is None or end <= since:
            raise UsageError("--judge needs --service, --since and a later --until")
        if canary and canary == stable_revision:
            raise UsageError(f"--canary and --stable-revision are both {canary}: nothing to compare")
        done = _of_range(judge_file, service, {"canary": canary, "stable": stable_revision}, (since, end), policy)
    answer = in_all("as they were" if policy_file is None else str(policy_file), done)
    if output == "json":
        print_value(answer)
    else:
        click.echo(backtest_text(answer))
    if answer.otherwise:
        raise click.exceptions.Exit(EXIT_NO)


def _of_runs(runs: tuple[str, ...], policy: GatePolicy | None, where: Where) -> list[BacktestRun]:
    from croupier.core.backtest import backtest as tested
    from croupier.core.backtest import past_of
    from croupier.core.run import fold

    evidence = evidence_of(where)
    done = []
    with reader_of(where) as reader:
        wanted = [name for run in runs for name in runs_of(reader, run)] if runs else runs_of(reader, None)
        for name in wanted:
            state = fold(reader.read(subject=name))
            if state is None:
                continue
            found = tested(past_of(state), evidence.read(name), policy or state.plan.release.policy)
            if found is not None:
                done.append(found)
            else:
                say(f"{name}: nothing was counted on its canary")
    return done


def _of_range(
    file: Path, name: str, revisions: dict[str, str], span: tuple[float, float], policy: GatePolicy | None
) -> list[BacktestRun]:
    import asyncio

    from croupier.adapters.metrics.prometheus_api import PrometheusApi
    from croupier.adapters.metrics.ranges import RangedCounters
    from croupier.core.backtest import Past
    from croupier.core.backtest import backtest as tested
    from croupier.spec.documents import load_judge

    settings = load_judge(file)
    declared = {each.name: each for each in settings.services}
    if name not in declared:
        raise UnknownName("service", name, list(declared))
    service = declared[name]

    async def read() -> Sequence[Sample]:
        api = PrometheusApi(settings.prometheus)
        counters = RangedCounters(api, pod_label=settings.pod_label, scrape_seconds=settings.scrape_seconds)
        try:
            return await counters.read(service, revisions, *map(counters.grid, span))
        finally:
            await api.aclose()

    past = Past(
        run=revisions["canary"] or "range",
        service=name,
        scrape_seconds=settings.scrape_seconds,
        dispersion={},
        deadline_seconds=span[1] - span[0],
        back_at_deadline=False,
    )
    found = tested(past, asyncio.run(read()), policy or service.policy)
    return [] if found is None else [found]
