"""``croupier release plan``, ``start``, ``retry`` and ``undo``: what begins a release."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from croupier.cli.address import desk_of
from croupier.cli.options import (
    EXIT_NO,
    EXIT_WAITING,
    Output,
    need_person,
    no_input_option,
    output_option,
    print_value,
    reason_option,
    say,
    stand_option,
    wait_option,
)
from croupier.cli.release_show import follow_run
from croupier.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Unpack

    from croupier.cli.client import DeskClient
    from croupier.model.release import Release, ReleaseFile
    from croupier.model.view import RunView


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


@click.command()
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


@click.command()
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
@reason_option
@click.option("-y", "--yes", is_flag=True, help="Start without asking.")
@wait_option
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
    from croupier.report.plan import plan_text

    with desk as client:
        wished = _complete(client, asked, files[0])
        if not yes:
            need_person(no_input, "start")
            click.echo(plan_text(client.plan(wished)), err=True)
            click.confirm("\nStart it?", abort=True, err=True)
        run = client.start(wished)
    _tell_started(stand, run, output, wait=wait)


def _tell_started(stand: str, run: RunView, output: Output, *, wait: bool) -> None:
    """What has begun and what may be done next; or, with ``wait``, how it goes until it has ended."""
    from croupier.cli.choice import next_command
    from croupier.report.format import version

    if wait:
        follow_run(stand, run.run, output, until_held=True)
    elif output == "json":
        print_value(run)
    else:
        started = "started WITHOUT GATES" if run.fix_forward else "started"
        click.echo(f"{run.run} {started}: {run.service} {version(run.stable)} → {version(run.canary)}")
        say(f"Watch it:     {next_command(stand, 'release', 'watch', run.run)}")
        say(f"Take it back: {next_command(stand, 'release', 'abort', run.run)}")


@click.command()
@click.argument("service")
@click.option("-y", "--yes", is_flag=True, help="Start without asking.")
@wait_option
@no_input_option
@stand_option
@output_option
def undo(*, service: str, yes: bool, wait: bool, no_input: bool, stand: str, output: Output) -> None:
    """Go back to the version that served SERVICE before the present one.

    First a small step, in which gates may only take it back, then everybody; also where nothing is counted. No freeze
    and no checklist bars it. A release that is live is ended by `release abort` instead.
    """
    desk = desk_of(stand)
    from croupier.cli.choice import chosen_service
    from croupier.report.plan import plan_text

    with desk as client:
        wished = client.way_back(chosen_service(client, service).name)
        if not yes:
            need_person(no_input, "undo")
            click.echo(plan_text(client.plan(wished)), err=True)
            click.confirm("\nGo back?", abort=True, err=True)
        run = client.start(wished)
    _tell_started(stand, run, output, wait=wait)


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
            need_person(no_input, "start")
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


@click.command()
@click.argument("run")
@reason_option
@wait_option
@stand_option
@output_option
def retry(*, run: str, reason: str, wait: bool, stand: str, output: Output) -> None:
    """Start a release that was taken back once more, as it was asked for: same version, steps and gates.

    A release that was started with --fix-forward moves everybody WITHOUT GATES again, and needs --reason again.
    """
    desk = desk_of(stand)
    from croupier.cli.choice import chosen_run

    with desk as client:
        view = client.retry(chosen_run(client, run, live_only=False).run, reason)
    _tell_started(stand, view, output, wait=wait)
