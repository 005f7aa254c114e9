"""``croupier release check`` and ``release waive``: whether a service is ready for production, by nine lines (S15)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from croupier.cli.address import desk_of
from croupier.cli.options import (
    EXIT_NO,
    EXIT_WAITING,
    Output,
    output_as,
    output_option,
    print_value,
    say,
    stand_option,
)
from croupier.errors import EnvironmentFault, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from croupier.model.checklist import Checklist, LineWaiver

_LINES = tuple(f"S15.{number}" for number in range(1, 10))


@click.command()
@click.argument("service")
@click.option(
    "--platform",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="A platform folder that has SERVICE: its manifests are rendered and looked at.",
)
@click.option("--cell", metavar="NAME", help="One cell of the platform; without it, every cell that has SERVICE.")
@click.option(
    "--manifests",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="PATH",
    help="Manifests, a file or a folder. Repeat; all make one bundle.",
)
@stand_option
@output_as("text", "json", "html", help="Text for people, JSON with documented fields, or a page to keep as evidence.")
def check(
    *, service: str, platform: Path | None, cell: str | None, manifests: tuple[Path, ...], stand: str, output: str
) -> None:
    """Ask the nine lines of the release checklist of SERVICE, with the evidence for each.

    Without --platform and --manifests, the desk answers from what its settings name. Waivers come from the desk's
    journal. What nobody has shown is red. Exit code 3 when a manifest could not be read, else 1 when a line is red,
    else 0; 4 when there is neither a desk nor anything to look at.
    """
    if cell is not None and platform is None:
        raise UsageError("--cell is of a platform", hint="give --platform DIR, too")
    from croupier.report.checklist import checklist_html, checklist_text

    found = _found(service, platform, cell, manifests, stand)
    match output:
        case "json":
            print_value(found)
        case "html":
            click.echo(checklist_html(found), nl=False)
        case _:
            click.echo(checklist_text(found))
    if found.unread:
        raise click.exceptions.Exit(EXIT_WAITING)
    if not found.ready:
        raise click.exceptions.Exit(EXIT_NO)


def _found(service: str, platform: Path | None, cell: str | None, manifests: tuple[Path, ...], stand: str) -> Checklist:
    """By the desk where nothing is given and there is one; else by what is given, and the waivers of the desk."""
    from croupier.adapters.clock import SystemClock
    from croupier.engine.checklist import assess
    from croupier.model.checklist import ChecklistSource

    source = ChecklistSource(platform=platform, cell=cell, manifests=manifests)
    not_checked: list[str] = []
    waivers: Sequence[LineWaiver] = ()
    try:
        with desk_of(stand) as client:
            if source.is_empty:
                return client.checklist(service)
            waivers = client.waivers()
    except EnvironmentFault as error:
        if source.is_empty:
            error.hint = f"{error.hint}; or give --platform DIR or --manifests PATH"
            raise
        not_checked.append(f"waivers in the journal: {error.message}")
    return assess(service, source, now=SystemClock().now(), waivers=waivers, not_checked=not_checked)


@click.command()
@click.argument("service")
@click.argument("line", type=click.Choice(_LINES, case_sensitive=False), metavar="LINE")
@click.option("--owner", required=True, metavar="PERSON", help="Who answers for it.")
@click.option("--until", required=True, metavar="DATE", help="The last day it holds, YYYY-MM-DD, UTC.")
@click.option("--reason", required=True, metavar="TEXT", help="Why; goes into the journal.")
@stand_option
@output_option
def waive(*, service: str, line: str, owner: str, until: str, reason: str, stand: str, output: Output) -> None:
    """Let LINE (S15.1 to S15.9) of the checklist of SERVICE stay red until a day; the desk writes it into its journal.

    A later waiver of the same line takes its place.
    """
    from pydantic import ValidationError

    from croupier.model.checklist import WaiverRequest

    try:
        asked = WaiverRequest.model_validate(
            {"service": service, "line": line, "owner": owner, "until": until, "reason": reason}
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(
            f"{first['loc'][0]}: {first['msg'][:1].lower()}{first['msg'][1:]}",
            hint="a waiver needs a person without blanks, a day as YYYY-MM-DD, and a reason",
        ) from error
    from croupier.cli.choice import next_command

    with desk_of(stand) as client:
        held = client.waive(asked)
    if output == "json":
        print_value(held)
        return
    click.echo(f"{held.line} of {held.service} is waived until {held.until.isoformat()}, journal entry {held.entry}")
    say(f"See what is left: {next_command(stand, 'release', 'check', held.service)}")
