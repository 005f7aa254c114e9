"""``croupier release``: plan, start, watch and steer releases through the desk."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from croupier.cli.checklist import check, waive
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
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeGuard, Unpack

    from croupier.cli.client import DeskClient
    from croupier.model.release import Release, ReleaseFile
    from croupier.model.view import CommandName, GroupView, RunView


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
    files: tuple[Path, ...]
    steps: tuple[int, ...] | None
    dwell: float | None
    deadline: float | None
    bake: float | None
    strategy: str | None
    max_surge: int | None
    max_unavailable: int | None


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
                "files",
                multiple=True,
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="A release file instead of SERVICE and --version; `start` takes several, as one group.",
            ),
            click.option("--steps", callback=_percents, metavar="P,P,…", help="Percent of players, rising to 100."),
            click.option("--dwell", type=float, metavar="S", help="Least seconds at each step."),
            click.option("--deadline", type=float, metavar="S", help="Longest seconds at a step without a pass."),
            click.option(
                "--bake",
                type=float,
                metavar="S",
                help="Seconds the old version is kept after 100 %. Default: what desk.yaml says for the tier, else 300 "
                "for money and 60 for others.",
            ),
            click.option(
                "--strategy",
                type=click.Choice(["canary", "rolling"]),
                help="rolling: old pods make way for new ones in batches.",
            ),
            click.option("--max-surge", type=int, metavar="N", help="Rolling: pods more than usual at any time."),
            click.option("--max-unavailable", type=int, metavar="N", help="Rolling: pods that may be missing."),
        )
    ):
        command = option(command)
    return command


def _written(asked: Asked) -> Sequence[ReleaseFile | None]:
    """The release files, read before anybody is asked anything; one None when the release is given in words."""
    if not asked["files"]:
        if not asked["service"] or not asked["wanted"]:
            raise UsageError("say what to release: SERVICE --version sha256:…", hint="or give a file: -f release.yaml")
        return [None]
    if any(value is not None for name, value in asked.items() if name != "files"):
        raise UsageError("a release file says everything: no SERVICE and no other options beside it")
    from croupier.spec.documents import load_release

    return [load_release(file) for file in asked["files"]]


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
            ("strategy", asked["strategy"]),
            ("max_surge", asked["max_surge"]),
            ("max_unavailable", asked["max_unavailable"]),
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
    written, *more = _written(asked)
    if more:
        raise UsageError("plan one release at a time", hint="`release start` takes several files, as one group")
    desk = desk_of(stand)
    from croupier.cli.choice import next_command
    from croupier.report.plan import plan_text

    with desk as client:
        preview = client.plan(_complete(client, asked, written))
    is_ready = preview.checklist is None or preview.checklist.ready or preview.asks == "warn"
    may_start = preview.forecast.decidable and is_ready and not preview.frozen
    if output == "json":
        print_value(preview)
    else:
        click.echo(plan_text(preview))
        if may_start:
            say(f"\nTo start it: {next_command(stand, 'release', 'start', *_same_words(asked))}")
    if not may_start:
        raise click.exceptions.Exit(EXIT_NO)


def _same_words(asked: Asked) -> list[str]:
    """The release options as they would be typed again."""
    words = [asked["service"]] if asked["service"] else []
    if asked["wanted"]:
        words += ["--version", asked["wanted"]]
    for file in asked["files"]:
        words += ["-f", str(file)]
    if asked["steps"]:
        words += ["--steps", ",".join(map(str, asked["steps"]))]
    for flag, number in (
        ("--dwell", asked["dwell"]),
        ("--deadline", asked["deadline"]),
        ("--bake", asked["bake"]),
        ("--max-surge", asked["max_surge"]),
        ("--max-unavailable", asked["max_unavailable"]),
    ):
        if number is not None:
            words += [flag, f"{number:g}"]
    if asked["strategy"]:
        words += ["--strategy", asked["strategy"]]
    return words


def _need_person(no_input: bool, to_confirm: str) -> None:
    """Raises ``UsageError`` when nobody is there to be asked."""
    if not may_ask(no_input):
        raise UsageError(f"nobody is there to confirm the {to_confirm}", hint="add --yes")


_reason = click.option("--reason", default="", metavar="TEXT", help="Why; goes into the journal.")
_wait = click.option("--wait", is_flag=True, help="Stay to the end: exit 0 promoted, 1 rolled back, 3 held.")


@release.command()
@release_options
@click.option("--supersede", is_flag=True, help="Take back a live release that stands in the way, then start.")
@click.option(
    "--fix-forward",
    is_flag=True,
    help="Stable itself is bad: everybody moves at once, no gate compares. Needs --reason.",
)
@click.option(
    "--override-freeze", is_flag=True, help="Start and go forward though a freeze window is open. Needs --reason."
)
@_reason
@click.option("-y", "--yes", is_flag=True, help="Start without asking.")
@_wait
@no_input_option
@stand_option
@output_option
def start(
    *,
    supersede: bool,
    fix_forward: bool,
    override_freeze: bool,
    reason: str,
    yes: bool,
    wait: bool,
    no_input: bool,
    stand: str,
    output: Output,
    **asked: Unpack[Asked],
) -> None:
    """Start a release.

    Shows the plan and asks first; scripts give --yes. Several files are started as a group: one after another, what
    others depend on first, until one is taken back; `release abort GROUP` ends them all.
    """
    if fix_forward and not reason.strip():
        raise UsageError("--fix-forward moves everybody past the gates", hint='say who decided and why: --reason "…"')
    if override_freeze and not reason.strip():
        raise UsageError("--override-freeze goes against the calendar", hint='say who decided and why: --reason "…"')
    files = _written(asked)
    ways = {"supersede": supersede, "fix_forward": fix_forward, "override_freeze": override_freeze, "reason": reason}
    if len(files) > 1 or supersede or fix_forward or override_freeze:
        _start_group(stand, asked, files, ways, yes=yes, no_input=no_input, wait=wait, output=output)
        return
    if reason:
        raise UsageError("--reason is for --fix-forward, --override-freeze, --supersede and groups")
    desk = desk_of(stand)
    from croupier.cli.choice import next_command
    from croupier.report.format import version
    from croupier.report.plan import plan_text

    with desk as client:
        wished = _complete(client, asked, files[0])
        if not yes:
            _need_person(no_input, "start")
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


def _start_group(
    stand: str,
    asked: Asked,
    files: Sequence[ReleaseFile | None],
    ways: Mapping[str, object],
    *,
    yes: bool,
    no_input: bool,
    wait: bool,
    output: Output,
) -> None:
    """Start what is more than one plain release. ``ways``: the fields of ``GroupRequest`` beside its releases."""
    desk = desk_of(stand)
    from croupier.cli.choice import complete_group, next_command
    from croupier.cli.follow import follow_group
    from croupier.report.group import group_text

    with desk as client:
        request = complete_group([_complete(client, asked, file) for file in files], ways)
        if not yes:
            _need_person(no_input, "start")
            services = ", ".join(release.service for release in request.releases)
            what = " WITHOUT GATES" if request.fix_forward else ""
            click.confirm(f"Start {services}{what}?", abort=True, err=True)
        view = client.start_group(request)
        if not wait:
            if output == "json":
                print_value(view)
                return
            click.echo(group_text(view))
            say(f"Look again:   {next_command(stand, 'release', 'status', view.group)}")
            say(f"Take it back: {next_command(stand, 'release', 'abort', view.group)}")
            return
        last = follow_group(client, view, say if output == "json" else click.echo)
    if output == "json":
        print_value(last)
    if last.outcome is None:
        raise click.exceptions.Exit(EXIT_WAITING)
    if last.outcome != "promoted":
        raise click.exceptions.Exit(EXIT_NO)


@release.command()
@click.argument("run")
@_reason
@_wait
@stand_option
@output_option
def retry(*, run: str, reason: str, wait: bool, stand: str, output: Output) -> None:
    """Start a release that was taken back once more, as it was asked for: same version, steps and gates.

    A release that was started with --fix-forward moves everybody WITHOUT GATES again, and needs --reason again.
    """
    desk = desk_of(stand)
    from croupier.cli.choice import chosen_run, next_command
    from croupier.report.format import version

    with desk as client:
        view = client.retry(chosen_run(client, run, live_only=False).run, reason)
    if wait:
        _follow(stand, view.run, output, until_held=True)
    elif output == "json":
        print_value(view)
    else:
        started = "started WITHOUT GATES" if view.fix_forward else "started"
        click.echo(f"{view.run} {started}: {view.service} {version(view.stable)} → {version(view.canary)}")
        say(f"Watch it: {next_command(stand, 'release', 'watch', view.run)}")


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

    RUN is a run (r-0001), a group (g-0001) or a service; without it, the live release, else the newest.
    """
    desk = desk_of(stand)
    if _is_group(run):
        with desk as client:
            _show_group(client.group(run), output)
        return
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
@stand_option
@output_option
def groups(*, stand: str, output: Output) -> None:
    """List groups of releases, newest first."""
    desk = desk_of(stand)
    from croupier.report.group import groups_text

    with desk as client:
        views = client.groups()
    if output == "json":
        print_json({"groups": [view.model_dump(mode="json", by_alias=True) for view in views]})
    else:
        click.echo(groups_text(views))


def _is_group(text: str | None) -> TypeGuard[str]:
    """A service may begin with ``g-`` too, so the number counts."""
    return text is not None and re.fullmatch(r"g-\d+", text) is not None


def _show_group(view: GroupView, output: Output) -> None:
    from croupier.report.group import group_text

    if output == "json":
        print_value(view)
    else:
        click.echo(group_text(view))


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
    from croupier.report.run import phase_words, players_text

    with desk as client:
        target = chosen_run(client, run, live_only=True)
        view = client.command(target.run, command, reason)
        changed = carried_out(client, target)
    if output == "json":
        print_value(changed or view)
        return
    if changed is None:
        click.echo(
            f"{view.run} {view.service}: {command} is written down, and will be carried out; {phase_words(view)}"
        )
    else:
        click.echo(f"{changed.run} {changed.service}: {phase_words(changed)}, {players_text(changed)}")
        click.echo(f"Next: {changed.next}")
    then = "resume" if command == "pause" else "watch"
    say(f"{'Go on' if command == 'pause' else 'Watch it'}: {next_command(stand, 'release', then, view.run)}")


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
        _need_person(no_input, "promotion")
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
    """Take the release back now. Always safe; asks nothing.

    RUN is a run, a service, or a group (g-0001): its live release goes back, and no further one starts.
    """
    if _is_group(run):
        with desk_of(stand) as client:
            _show_group(client.abort_group(run, reason), output)
        return
    _steer("abort", run, reason=reason, stand=stand, output=output)


@release.command()
@click.argument("run")
@click.option("--reason", required=True, metavar="TEXT", help="Who decided and why; goes into the journal.")
@stand_option
@output_option
def override(*, run: str, reason: str, stand: str, output: Output) -> None:
    """Go on in spite of the freeze window that holds a release: this release alone, and this window alone.

    Gates watch as ever and take it back when it harms.
    """
    _steer("override", run, reason=reason, stand=stand, output=output)


# --- the checklist ----------------------------------------------------------------------------------------------------

for _command in (check, waive):
    release.add_command(_command)
