"""``croupier release pause``, ``resume``, ``promote``, ``abort`` and ``override``: what a person says to a release."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from croupier.cli.address import desk_of
from croupier.cli.options import (
    Output,
    need_person,
    no_input_option,
    output_option,
    print_value,
    reason_option,
    say,
    stand_option,
)
from croupier.cli.release_show import is_group, show_group

if TYPE_CHECKING:
    from croupier.model.view import CommandName


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


@click.command()
@click.argument("run")
@reason_option
@stand_option
@output_option
def pause(*, run: str, reason: str, stand: str, output: Output) -> None:
    """Stop going up. Gates go on watching and still take the release back."""
    _steer("pause", run, reason=reason, stand=stand, output=output)


@click.command()
@click.argument("run")
@reason_option
@stand_option
@output_option
def resume(*, run: str, reason: str, stand: str, output: Output) -> None:
    """Go on after a pause."""
    _steer("resume", run, reason=reason, stand=stand, output=output)


@click.command()
@click.argument("run")
@reason_option
@click.option("-y", "--yes", is_flag=True, help="Do it without asking.")
@no_input_option
@stand_option
@output_option
def promote(*, run: str, reason: str, yes: bool, no_input: bool, stand: str, output: Output) -> None:
    """Skip the dwell of this step; of a held release, overrule gates that cannot decide.

    A failing gate still takes the release back, and nothing passes without data.
    """
    if not yes:
        need_person(no_input, "promotion")
        click.confirm(
            f"Promote {run} to its next step as soon as its gates allow, without the dwell?", abort=True, err=True
        )
    _steer("promote", run, reason=reason, stand=stand, output=output)


@click.command()
@click.argument("run")
@reason_option
@stand_option
@output_option
def abort(*, run: str, reason: str, stand: str, output: Output) -> None:
    """Take the release back now. Always safe; asks nothing.

    RUN is a run, a service, or a group (g-0001): its live release goes back, and no further one starts.
    """
    if is_group(run):
        with desk_of(stand) as client:
            show_group(client.abort_group(run, reason), output)
        return
    _steer("abort", run, reason=reason, stand=stand, output=output)


@click.command()
@click.argument("run")
@click.option("--reason", required=True, metavar="TEXT", help="Who decided and why; goes into the journal.")
@stand_option
@output_option
def override(*, run: str, reason: str, stand: str, output: Output) -> None:
    """Go on in spite of the freeze window that holds a release: this release alone, and this window alone.

    Gates watch as ever and take it back when it harms.
    """
    _steer("override", run, reason=reason, stand=stand, output=output)
