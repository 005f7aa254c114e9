"""``croupier release list``, ``status``, ``groups``, ``watch``, ``report``: looks, changes nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from croupier.cli.address import desk_of
from croupier.cli.options import (
    EXIT_NO,
    EXIT_WAITING,
    Output,
    output_option,
    print_json,
    print_value,
    review_option,
    say,
    stand_option,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeGuard

    from croupier.model.view import GroupView, RunView


def is_group(text: str | None) -> TypeGuard[str]:
    """A service may begin with ``g-`` too, so the number counts."""
    return text is not None and re.fullmatch(r"g-\d+", text) is not None


def show_group(view: GroupView, output: Output) -> None:
    from croupier.report.group import group_text

    if output == "json":
        print_value(view)
    else:
        click.echo(group_text(view))


@click.command("list")
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


@click.command()
@click.argument("run", required=False)
@stand_option
@output_option
def status(*, run: str | None, stand: str, output: Output) -> None:
    """Show one release: gates, numbers, what it waits for, what is safe to do.

    RUN is a run (r-0001), a group (g-0001) or a service; without it, the live release, else the newest.
    """
    desk = desk_of(stand)
    if is_group(run):
        with desk as client:
            show_group(client.group(run), output)
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


@click.command()
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


@click.command()
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
    follow_run(stand, view.run, output, until_held=False, stream_json=True)


@click.command()
@click.argument("run", required=False)
@stand_option
@review_option
def report(*, run: str | None, stand: str, output: str) -> None:
    """Report on a release: outcome, why, numbers, forecast against fact, who did what."""
    desk = desk_of(stand)
    from croupier.cli.choice import chosen_run
    from croupier.report.final import report_markdown, report_of, report_text

    with desk as client:
        view = chosen_run(client, run, live_only=False)
        told = report_of(view, client.journal(view.run))
    if output == "json":
        print_value(told)
    else:
        click.echo(report_markdown(told) if output == "markdown" else report_text(told))


def follow_run(stand: str, run: str, output: Output, *, until_held: bool, stream_json: bool = False) -> None:
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
