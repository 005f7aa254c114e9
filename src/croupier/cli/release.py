"""``croupier release``: plan, start, watch and steer releases through the desk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from croupier.cli.options import (
    EXIT_NO,
    EXIT_WAITING,
    Output,
    may_ask,
    no_input_option,
    output_option,
    print_json,
    print_value,
    say,
    stand_option,
)
from croupier.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Unpack

    from croupier.cli.client import DeskClient
    from croupier.model.release import Release, ReleaseFile
    from croupier.model.view import CommandName, RunView


@click.group()
def release() -> None:
    """Plan, start, watch and steer releases.

    A release moves players to a new version step by step. Gates compare what happens to them with what happens to
    players of the present version, and take the release back when it harms.
    """


# --- what to release --------------------------------------------------------------------------------------------------


def desk_of(stand: str) -> DeskClient:
    """The desk of a stand. Says at once when there is none, before anything heavy is imported."""
    from croupier.cli.address import address_of

    address_of(stand)
    from croupier.cli.client import DeskClient

    return DeskClient.of(stand)


class Asked(TypedDict):
    """The options of ``release_options``, as typed; None where not given."""

    service: str | None
    wanted: str | None
    file: Path | None
    steps: tuple[int, ...] | None
    dwell: float | None
    deadline: float | None
    bake: float | None


def _percents(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    try:
        return tuple(int(part.strip().removesuffix("%")) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter("give whole percents with commas between: 5,10,25,50,100") from error


def release_options(command: Callable[..., None]) -> Callable[..., None]:
    """What ``plan`` and ``start`` have in common."""
    for option in reversed(
        (
            click.argument("service", required=False),
            click.option("--version", "wanted", metavar="DIGEST", help="sha256:… in full, or 12 digits or more."),
            click.option(
                "-f",
                "--file",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="A release file instead of SERVICE and --version.",
            ),
            click.option("--steps", callback=_percents, metavar="P,P,…", help="Percent of players, rising to 100."),
            click.option("--dwell", type=float, metavar="S", help="Least seconds at each step."),
            click.option("--deadline", type=float, metavar="S", help="Longest seconds at a step without a pass."),
            click.option("--bake", type=float, metavar="S", help="Seconds the old version is kept after 100 %."),
        )
    ):
        command = option(command)
    return command


def _written(asked: Asked) -> ReleaseFile | None:
    """The release file, read before anybody is asked anything; None when the release is given in words."""
    if asked["file"] is None:
        if not asked["service"] or not asked["wanted"]:
            raise UsageError("say what to release: SERVICE --version sha256:…", hint="or give a file: -f release.yaml")
        return None
    if any(value is not None for name, value in asked.items() if name != "file"):
        raise UsageError("a release file says everything: no SERVICE and no other options beside it")
    from croupier.spec.documents import load_release

    return load_release(asked["file"])


def _complete(client: DeskClient, asked: Asked, written: ReleaseFile | None) -> Release:
    """The release with the gates of its service and its version by the full digest."""
    from croupier.cli.choice import chosen_digest, chosen_service, complete_release

    if written is not None:
        return written.complete(chosen_service(client, written.service).default_policy)
    given = {
        field: value
        for field, value in (
            ("steps", asked["steps"]),
            ("dwell_seconds", asked["dwell"]),
            ("deadline_seconds", asked["deadline"]),
            ("bake_seconds", asked["bake"]),
        )
        if value is not None
    }
    service = chosen_service(client, asked["service"] or "")
    return complete_release(service, chosen_digest(client, service.name, asked["wanted"] or ""), given)


@release.command()
@release_options
@stand_option
@output_option
def plan(*, stand: str, output: Output, **asked: Unpack[Asked]) -> None:
    """Show steps, gates and forecast of a release; start nothing.

    Exit code 1 when the plan would be refused.
    """
    written = _written(asked)
    desk = desk_of(stand)
    from croupier.cli.choice import next_command
    from croupier.report.plan import plan_text

    with desk as client:
        preview = client.plan(_complete(client, asked, written))
    if output == "json":
        print_value(preview)
    else:
        click.echo(plan_text(preview))
        if preview.forecast.decidable:
            say(f"\nTo start it: {next_command(stand, 'release', 'start', *_same_words(asked))}")
    if not preview.forecast.decidable:
        raise click.exceptions.Exit(EXIT_NO)


def _same_words(asked: Asked) -> list[str]:
    """The release options as they would be typed again."""
    words = [asked["service"]] if asked["service"] else []
    if asked["wanted"]:
        words += ["--version", asked["wanted"]]
    if asked["file"]:
        words += ["-f", str(asked["file"])]
    if asked["steps"]:
        words += ["--steps", ",".join(map(str, asked["steps"]))]
    for flag, seconds in (("--dwell", asked["dwell"]), ("--deadline", asked["deadline"]), ("--bake", asked["bake"])):
        if seconds is not None:
            words += [flag, f"{seconds:g}"]
    return words


@release.command()
@release_options
@click.option("-y", "--yes", is_flag=True, help="Start without asking.")
@click.option("--wait", is_flag=True, help="Stay to the end: exit 0 promoted, 1 rolled back, 3 held.")
@no_input_option
@stand_option
@output_option
def start(*, yes: bool, wait: bool, no_input: bool, stand: str, output: Output, **asked: Unpack[Asked]) -> None:
    """Start a release.

    Shows the plan and asks first; scripts give --yes.
    """
    written = _written(asked)
    desk = desk_of(stand)
    from croupier.cli.choice import next_command
    from croupier.report.format import version
    from croupier.report.plan import plan_text

    with desk as client:
        wished = _complete(client, asked, written)
        if not yes:
            if not may_ask(no_input):
                raise UsageError("nobody is there to confirm the start", hint="add --yes")
            click.echo(plan_text(client.plan(wished)), err=True)
            click.confirm("\nStart it?", abort=True, err=True)
        run = client.start(wished)
    if not wait:
        if output == "json":
            print_value(run)
            return
        click.echo(f"{run.run} started: {run.service} {version(run.stable)} → {version(run.canary)}")
        say(f"Watch it:     {next_command(stand, 'release', 'watch', run.run)}")
        say(f"Take it back: {next_command(stand, 'release', 'abort', run.run)}")
        return
    _follow(stand, run.run, output, until_held=True)


# --- looking ----------------------------------------------------------------------------------------------------------


@release.command("list")
@click.option("--live", is_flag=True, help="Only those that have not ended.")
@stand_option
@output_option
def list_(*, live: bool, stand: str, output: Output) -> None:
    """List releases, newest first."""
    desk = desk_of(stand)
    from croupier.report.run import list_text

    with desk as client:
        runs: Sequence[RunView] = [run for run in client.runs() if not live or run.ended_at is None]
    if output == "json":
        print_json({"runs": [run.model_dump(mode="json", by_alias=True) for run in runs]})
    else:
        click.echo(list_text(runs))


@release.command()
@click.argument("run", required=False)
@stand_option
@output_option
def status(*, run: str | None, stand: str, output: Output) -> None:
    """Show one release: gates, numbers, what it waits for, what is safe to do.

    RUN is a run (r-0001) or a service; without it, the live release, else the newest.
    """
    desk = desk_of(stand)
    from croupier.cli.choice import chosen_run, next_command
    from croupier.report.run import status_text

    with desk as client:
        view = chosen_run(client, run, live_only=False)
    if output == "json":
        print_value(view)
        return
    click.echo(status_text(view))
    for command in view.commands:
        say(f"  {next_command(stand, 'release', command, view.run)}")


@release.command()
@click.argument("run", required=False)
@stand_option
@output_option
def watch(*, run: str | None, stand: str, output: Output) -> None:
    """Watch a release live until it ends.

    A screen on a terminal, one line a change elsewhere, one JSON object a line with --output json. Ctrl-C stops the
    watching, not the release. Exit code 0 promoted, 1 rolled back, 3 stopped before the end.
    """
    desk = desk_of(stand)
    from croupier.cli.choice import chosen_run

    with desk as client:
        view = chosen_run(client, run, live_only=False)
    _follow(stand, view.run, output, until_held=False, stream_json=True)


def _follow(stand: str, run: str, output: Output, *, until_held: bool, stream_json: bool = False) -> None:
    """Show a run until it ends (or is held), then exit with what came of it."""
    from croupier.cli.choice import next_command
    from croupier.cli.watch import show_run
    from croupier.report.run import ending_text

    last = show_run(stand, run, output, until_held=until_held, stream_json=stream_json)
    if output == "json" and not stream_json and last is not None:
        print_value(last)
    if last is None or last.ended_at is None:
        if output == "text":
            say(f"{run} goes on. Look again: {next_command(stand, 'release', 'watch', run)}")
        raise click.exceptions.Exit(EXIT_WAITING)
    if output == "text":
        click.echo(ending_text(last))
        say(f"Report: {next_command(stand, 'release', 'report', run)}")
    if last.outcome != "promoted":
        raise click.exceptions.Exit(EXIT_NO)


@release.command()
@click.argument("run", required=False)
@click.option("--markdown", is_flag=True, help="Markdown, for a change record.")
@stand_option
@output_option
def report(*, run: str | None, markdown: bool, stand: str, output: Output) -> None:
    """Report on a release: outcome, why, numbers, forecast against fact, who did what."""
    desk = desk_of(stand)
    from croupier.cli.choice import chosen_run
    from croupier.report.final import report_markdown, report_of, report_text

    if markdown and output == "json":
        raise UsageError("give either --markdown or --output json")
    with desk as client:
        view = chosen_run(client, run, live_only=False)
        told = report_of(view, client.journal(view.run))
    if output == "json":
        print_value(told)
    else:
        click.echo(report_markdown(told) if markdown else report_text(told))


# --- steering ---------------------------------------------------------------------------------------------------------


def _steer(command: CommandName, run: str, *, reason: str, stand: str, output: Output) -> None:
    """Give a command, wait for the round that carries it out, and say what has changed."""
    desk = desk_of(stand)
    from croupier.cli.choice import chosen_run, next_command
    from croupier.cli.follow import carried_out
    from croupier.report.run import PHASE_WORDS, players_text

    with desk as client:
        target = chosen_run(client, run, live_only=True)
        view = client.command(target.run, command, reason)
        changed = carried_out(client, target)
    if output == "json":
        print_value(changed or view)
        return
    if changed is None:
        click.echo(
            f"{view.run} {view.service}: {command} is written down, and will be carried out; {PHASE_WORDS[view.phase]}"
        )
    else:
        click.echo(f"{changed.run} {changed.service}: {PHASE_WORDS[changed.phase]}, {players_text(changed)}")
        click.echo(f"Next: {changed.next}")
    then = "resume" if command == "pause" else "watch"
    say(f"{'Go on' if command == 'pause' else 'Watch it'}: {next_command(stand, 'release', then, view.run)}")


_reason = click.option("--reason", default="", metavar="TEXT", help="Why; goes into the journal.")


@release.command()
@click.argument("run")
@_reason
@stand_option
@output_option
def pause(*, run: str, reason: str, stand: str, output: Output) -> None:
    """Stop going up. Gates go on watching and still take the release back."""
    _steer("pause", run, reason=reason, stand=stand, output=output)


@release.command()
@click.argument("run")
@_reason
@stand_option
@output_option
def resume(*, run: str, reason: str, stand: str, output: Output) -> None:
    """Go on after a pause."""
    _steer("resume", run, reason=reason, stand=stand, output=output)


@release.command()
@click.argument("run")
@_reason
@click.option("-y", "--yes", is_flag=True, help="Do it without asking.")
@no_input_option
@stand_option
@output_option
def promote(*, run: str, reason: str, yes: bool, no_input: bool, stand: str, output: Output) -> None:
    """Skip the dwell of this step; of a held release, overrule gates that cannot decide.

    A failing gate still takes the release back, and nothing passes without data.
    """
    if not yes:
        if not may_ask(no_input):
            raise UsageError("nobody is there to confirm the promotion", hint="add --yes")
        click.confirm(
            f"Promote {run} to its next step as soon as its gates allow, without the dwell?", abort=True, err=True
        )
    _steer("promote", run, reason=reason, stand=stand, output=output)


@release.command()
@click.argument("run")
@_reason
@stand_option
@output_option
def abort(*, run: str, reason: str, stand: str, output: Output) -> None:
    """Take the release back now. Always safe; asks nothing."""
    _steer("abort", run, reason=reason, stand=stand, output=output)
