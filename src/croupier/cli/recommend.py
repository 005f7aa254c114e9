"""``croupier recommend``: what the Vertical Pod Autoscaler would have services ask for, beside what they ask for."""

from __future__ import annotations

import json
from pathlib import Path

import click

from croupier.cli.options import Output, ends_soon, output_option, print_value
from croupier.errors import UsageError


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True), default="-")
@click.option(
    "--platform",
    "directory",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    default=".",
    show_default=True,
    metavar="DIR",
    help="The platform folder.",
)
@output_option
@ends_soon
def recommend(*, file: str, directory: Path, output: Output) -> None:
    """Hold requests of services against what the Vertical Pod Autoscaler recommends in a region with vpa: true.

    FILE is what `kubectl get vpa -A -o json` prints; - or nothing is stdin. Nothing is changed.
    """
    from croupier.core.recommend import recommendations
    from croupier.report.recommendation import recommendations_text
    from croupier.spec.platform import load_described

    try:
        with click.open_file(file, "rb") as stream:
            held = json.loads(stream.read())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is not JSON: {error}", hint="kubectl get vpa -A -o json") from error
    items = held.get("items") if isinstance(held, dict) else None
    if not isinstance(items, list):
        raise UsageError(f"{file} has no list of items", hint="kubectl get vpa -A -o json")
    found = recommendations(load_described(directory).cells, items)
    if output == "json":
        print_value(found)
    else:
        click.echo(recommendations_text(found))
