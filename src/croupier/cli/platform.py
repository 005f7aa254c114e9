"""``croupier init``, ``check``, ``explain``, ``plan``, ``render``, ``template``, ``schema``: YAML to manifests."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from croupier.cli.options import (
    EXIT_NO,
    EXIT_WAITING,
    Output,
    ends_soon,
    form_option,
    kubernetes_option,
    output_option,
    print_json,
    print_value,
    review_option,
    say,
)
from croupier.errors import Refused, SpecError, UnknownName, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from croupier.core.render.forms import Form
    from croupier.model.platform import PlacedCell
    from croupier.model.policy import SchemaView
    from croupier.spec.cells import Described

SCHEMA = ".croupier/platform.schema.json"
"""Where ``init`` puts the schema, for editors."""

_folder = click.Path(file_okay=False, path_type=Path)
_existing = click.Path(file_okay=False, exists=True, path_type=Path)
_platform_option = click.option(
    "--platform",
    "directory",
    type=_existing,
    default=".",
    show_default=True,
    metavar="DIR",
    help="The platform folder.",
)


@click.command()
@click.argument("directory", metavar="DIR", type=_folder)
@output_option
def init(*, directory: Path, output: Output) -> None:
    """Write a small platform that works into DIR, to be changed into yours.

    DIR is made if need be; a file that is there already is never touched.
    """
    import json
    from importlib.resources import files

    texts = {each.name: each.read_text() for each in files("croupier.cli").joinpath("example").iterdir()}
    texts[SCHEMA] = json.dumps(_schema(), indent=2) + "\n"
    for name in sorted(texts):
        if (directory / name).exists():
            raise Refused(f"{directory / name} is there already", hint="give another folder")
    for name, text in sorted(texts.items()):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if output == "json":
        print_json({"directory": str(directory), "files": sorted(texts)})
        return
    for name in sorted(texts):
        click.echo(f"wrote {directory / name}")
    say(f"\nNext: croupier check {directory}, croupier render {directory} --out manifests")


@click.command()
@click.argument("directory", metavar="[DIR]", type=_existing, default=".")
@kubernetes_option
@output_option
@ends_soon
def check(*, directory: Path, kubernetes: str, output: Output) -> None:
    """Say everything that is wrong with the platform in DIR (here by default), each with file, line and column.

    Its objects are held against the schemas of Kubernetes. Exit code 2 when anything is wrong. Notes are no fault, but
    somebody should read them.
    """
    from croupier.report.policy import schemas_text

    found = _checked(directory, kubernetes)
    if output == "json":
        print_json(found)
        return
    cells = f"{found['cells']} cell{'s' if found['cells'] != 1 else ''}"
    click.echo(f"{cells}, {found['services']} service{'s' if found['services'] != 1 else ''} in them, no problem")
    click.echo(schemas_text(_schemas(found["schemas"])))
    for note in found["notes"]:
        say(f"note: {note}")


def _schemas(held: Mapping[str, Any]) -> SchemaView:
    """What ``_checked`` keeps of the schemas, as the value that it was."""
    from croupier.model.policy import SchemaView, UnknownKindView

    unknown = tuple(
        UnknownKindView(api_version=each["apiVersion"], kind=each["kind"], objects=each["objects"])
        for each in held["unknown"]
    )
    return SchemaView(kubernetes=held["kubernetes"], objects=held["objects"], unknown=unknown)


def _checked(directory: Path, kubernetes: str) -> dict[str, Any]:
    """How much there is, and notes. What was found sound is not checked again as long as nothing changes."""
    from croupier.adapters.cache import key, recall, remember
    from croupier.adapters.clock import SystemClock
    from croupier.spec.files import digest

    now = SystemClock().now()
    content = digest(directory)
    name = key(str(directory), content, kubernetes)
    if content and (known := recall("check", name)) and now < (known["until"] or math.inf):
        return dict(known["found"])
    from croupier.core.render.cell import objects
    from croupier.core.render.patch import blame
    from croupier.engine.schemas import checked
    from croupier.report.values import as_json
    from croupier.spec.platform import look

    described, problems = look(directory)
    problems.update(described.over(now))
    try:
        schemas = as_json(checked(objects(described.cells), kubernetes, blame(described.cells)))
    except SpecError as error:
        problems.update(error.problems)
    if problems:
        raise SpecError(problems)
    services = sum(len(each.services) for each in described.cells)
    found = {
        "cells": len(described.cells),
        "services": services,
        "notes": list(described.notes),
        "schemas": schemas,
    }
    if content:
        # What was found sound is so until an event of the calendar is over.
        remember("check", name, {"found": found, "until": min(described.ends.values(), default=None)})
    return found


@click.command()
@click.argument("cell")
@click.argument("path")
@_platform_option
@output_option
@ends_soon
def explain(*, cell: str, path: str, directory: Path, output: Output) -> None:
    """Tell where a value comes from: each layer that spoke of it, and where, the last one winning.

    PATH is a service and a path in it, like payments-api.scaling.max; a path to a part lists all values in it. Or it
    is brand, cell, gitops, market or region, and a path in that, like region.pools; or providers or events, a name and
    a path, like providers.psp-a.timeoutSeconds.
    """
    from croupier.spec.explain import explained

    told = explained(_described(directory), cell, path)
    if output == "json":
        print_json({"cell": cell, "values": [each.as_json() for each in told]})
        return
    for each in told:
        click.echo(each.as_text())


@click.command()
@click.argument("directory", metavar="[DIR]", type=_existing, default=".")
@click.option("--out", type=_folder, required=True, metavar="DIR", help="Where manifests go: one folder a cell.")
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit 1 if anything is stale.")
@form_option
@kubernetes_option
@output_option
@ends_soon
def render(*, directory: Path, out: Path, only_check: bool, form: Form, kubernetes: str, output: Output) -> None:
    """Write the manifests of every cell of the platform in DIR (here by default), for Git. Touches no cluster.

    What the schemas of Kubernetes do not allow is not written (exit code 2).

    As helm: one chart, with values for each cell and region; as kustomize: bases, with an overlay for each.

    Files that were rendered before and are no longer wanted are removed; files of others are left alone. Each file is
    replaced at once: after Ctrl-C (exit code 3) run it again.
    """
    from croupier.adapters.clock import SystemClock
    from croupier.adapters.manifests import compare, write
    from croupier.core.render.cell import MADE
    from croupier.engine.rendering import rendered

    if out.resolve().is_relative_to(directory.resolve()):
        raise UsageError("--out lies in the platform folder", hint="its files would be read as parts of the platform")
    described = _described(directory)
    if past := described.over(SystemClock().now()):
        raise SpecError(past)
    files = rendered(described.cells, kubernetes, directory, form)
    try:
        done = (compare if only_check else write)(out, files, MADE)
    except KeyboardInterrupt as stopped:
        say(f"interrupted, {compare(out, files, MADE).same} of {len(files)} files written; run it again")
        raise click.exceptions.Exit(EXIT_WAITING) from stopped
    if output == "json":
        print_json(
            {
                "out": str(out),
                "missing": list(done.missing),
                "changed": list(done.changed),
                "leftOver": list(done.left_over),
                "same": done.same,
            }
        )
    else:
        words = ("is missing", "is stale", "is left over") if only_check else ("made", "changed", "removed")
        for word, names in zip(words, (done.missing, done.changed, done.left_over), strict=True):
            for name in names:
                click.echo(f"{name} {word}" if only_check else f"{word} {name}")
        say(f"{done.same} of {len(files)} files are as they should be" if only_check else f"{done.same} unchanged")
    if only_check and done:
        raise click.exceptions.Exit(EXIT_NO)


@click.command()
@click.argument("service")
@click.option("--cell", metavar="CELL", help="Where it runs; needed when that is in several cells.")
@click.option("--version", metavar="TEXT", help="Label of the pods, like v2.  [default: of the image's digest]")
@_platform_option
@output_option
@ends_soon
def template(*, service: str, cell: str | None, version: str | None, directory: Path, output: Output) -> None:
    """Print the plain Deployment, HorizontalPodAutoscaler and NetworkPolicy of SERVICE, to read and to compare. In a
    region with ingress-nginx, its Ingress follows, and that of its new version, with the share of the first step.

    What production gets is made by render: docs/explanation/reference-manifests.md names every difference, and why.
    """
    from croupier.core.render.emit import documents
    from croupier.core.render.template import template as made
    from croupier.spec.edge import RETIRED

    if version is not None and not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", version):
        hint = "letters, digits, dots, dashes and underscores, at most 63, like v2"
        raise UsageError(f"--version {version!r} is no value of a label", hint=hint)
    placed = _placed(_described(directory), service, cell)
    objects = made(placed, next(each for each in placed.services if each.name == service), version)
    if placed.region.gateway.target == "nginxIngress":
        say(f"note: {RETIRED}")
    if output == "json":
        print_json({"cell": placed.cell.name, "objects": objects})
        return
    click.echo(documents(objects), nl=False)


def _placed(described: Described, service: str, cell: str | None) -> PlacedCell:
    """The cell that is meant. Raises ``UnknownName``, or ``UsageError`` when several run the service."""
    named = described.cells if cell is None else (described.cell(cell),)
    running = [placed for placed in named if any(each.name == service for each in placed.services)]
    if not running:
        raise UnknownName("service", service, sorted({each.name for placed in named for each in placed.services}))
    if len(running) > 1:
        hint = f"--cell with one of {', '.join(each.cell.name for each in running)}"
        raise UsageError(f"{service} runs in {len(running)} cells", hint=hint)
    return running[0]


@click.command()
@click.argument("before")
@click.argument("after", default=".")
@click.option("--why", is_flag=True, help="Say of each change which layer or declaration makes it, and where.")
@review_option
@ends_soon
def plan(*, before: str, after: str, why: bool, output: str) -> None:
    """Tell what changes from BEFORE to AFTER (here by default): values, where, and what will be released for it.

    Each is a platform folder, or a Git revision and a folder in it as Git has them: main:platform from the top of the
    repository, main:./platform from here. A revision alone means this folder. A platform with problems is refused with
    all of them (exit code 2), in markdown as a table.
    """
    from croupier.core.compare import compare
    from croupier.report.change import plan_markdown, plan_text
    from croupier.report.problems import problems_markdown
    from croupier.spec.explain import why_of

    try:
        old, new = _state(before), _state(after)
    except SpecError as refused:
        if output == "markdown":
            click.echo(problems_markdown(refused.problems))
        raise
    found = compare(old.cells, new.cells)
    if why:
        changes = tuple(each.model_copy(update={"why": why_of(new, each)}) for each in found.changes)
        found = found.model_copy(update={"changes": changes})
    if output == "json":
        print_value(found)
    else:
        click.echo(plan_markdown(found) if output == "markdown" else plan_text(found))


def _state(named: str) -> Described:
    """The platform in a folder, or as it was in a revision."""
    from tempfile import TemporaryDirectory

    from croupier.adapters.git import extract
    from croupier.spec.platform import load_described

    if Path(named).is_dir():
        return load_described(Path(named))
    with TemporaryDirectory(prefix="croupier-plan-") as place:
        folder = extract(named, Path(place))
        return load_described(Path(place), folder.rstrip("/"))


@click.group()
def schema() -> None:
    """The form of the platform file, for editors."""


@schema.command()
def export() -> None:
    """Print the JSON schema of a file of the platform folder."""
    print_json(_schema())


def _schema() -> dict[str, object]:
    from croupier.spec.form import PlatformFile

    made = PlatformFile.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _described(directory: Path) -> Described:
    from croupier.spec.platform import load_described

    return load_described(directory)
