"""``croupier whereabouts``: where players' data is, beside where each market lets it be."""

from __future__ import annotations

from pathlib import Path

import click

from croupier.cli.options import ends_soon, print_value, review_option


@click.command()
@click.argument(
    "directory", metavar="[DIR]", type=click.Path(file_okay=False, exists=True, path_type=Path), default="."
)
@review_option
@ends_soon
def whereabouts(*, directory: Path, output: str) -> None:
    """Tell where players' data of each market is: stores, copies, backups, keys, logs, traces, and what providers are
    sent, each beside where the market lets it be.

    What a market forbids is a problem, as in check (exit code 2). Data that the platform file does not name is not
    known here. As markdown it is a page to keep with an audit.
    """
    from croupier.report.whereabouts import whereabouts_markdown, whereabouts_text
    from croupier.spec.platform import load_described
    from croupier.spec.whereabouts import whereabouts as told_of

    told = told_of(load_described(directory))
    if output == "json":
        print_value(told)
    else:
        click.echo(whereabouts_markdown(told) if output == "markdown" else whereabouts_text(told))
