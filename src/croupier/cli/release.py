"""``croupier release``: the group of commands that plan, start, watch and steer releases through the desk."""

from __future__ import annotations

import click

from croupier.cli.checklist import check, waive
from croupier.cli.release_show import groups, list_, report, status, watch
from croupier.cli.release_start import plan, retry, start, undo
from croupier.cli.release_steer import abort, override, pause, promote, resume


@click.group()
def release() -> None:
    """Plan, start, watch and steer releases.

    A release moves players to a new version step by step. Gates compare what happens to them with what happens to
    players of the present version, and take the release back when it harms.
    """


for _command in (
    plan, start, retry, undo,
    list_, status, groups, watch, report,
    pause, resume, promote, abort, override,
    check, waive,
):  # fmt: skip
    release.add_command(_command)
