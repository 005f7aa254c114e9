"""``croupier policy check``: manifests in, findings out, in the forms that people and programs read.

Files, what is rendered of charts and kustomizations, and what a Git revision had, become one bundle for
``engine.policy``; a patch of what can be mended comes from ``engine.policy_fix``.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from croupier.cli.options import EXIT_NO, EXIT_WAITING, ends_soon, kubernetes_option, not_blank, output_as, say
from croupier.cli.policy_options import decided, files_of, own_rules, print_view, which_rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from croupier.core.policy.rule import Rule
    from croupier.engine.policy import Checked, Excuses
    from croupier.model.policy import PolicyReport
    from croupier.spec.manifests import FileRead

FORMATS = ("text", "json", "sarif", "junit", "github")


def _reports(_ctx: click.Context, _param: click.Parameter, value: tuple[str, ...]) -> tuple[tuple[str, Path], ...]:
    from pathlib import Path

    found = []
    for each in value:
        name, equals, file = each.partition("=")
        if name not in FORMATS or not equals or not file:
            raise click.BadParameter(f"{each!r} is not FORMAT=FILE, with one of {', '.join(FORMATS)}")
        if not Path(file).absolute().parent.is_dir():
            raise click.BadParameter(f"there is no folder {Path(file).absolute().parent}")
        found.append((name, Path(file)))
    return tuple(found)


def _standard(_ctx: click.Context, _param: click.Parameter, value: str) -> int:
    from croupier.model.schemas import NEWEST_STANDARD

    if value == "latest":
        return NEWEST_STANDARD
    major, _, minor = value.removeprefix("v").partition(".")
    if major != "1" or not (minor.isascii() and minor.isdecimal()) or int(minor) > NEWEST_STANDARD:
        raise click.BadParameter(f"{value!r} is not latest, nor one of 1.0 to 1.{NEWEST_STANDARD}")
    return int(minor)


def _file(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Path | None:
    from pathlib import Path

    return None if value is None else Path(value)


def _fingerprints(file: Path | None) -> frozenset[str]:
    """What a baseline holds. Raises ``UsageError`` for a file that is none."""
    import json

    from croupier.errors import UsageError

    if file is None:
        return frozenset()
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        return frozenset(map(str, held["fingerprints"]))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{file} is no baseline", hint="write one with --write-baseline FILE") from error


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@which_rules
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Files or folders that are no input: tests/*, Chart.yaml. Repeat.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "note"]),
    default="warning",
    show_default=True,
    help="The least level that fails a file.",
)
@decided
@click.option(
    "--secret",
    "secrets",
    multiple=True,
    callback=not_blank,
    metavar="NAME",
    help="A Secret that is made elsewhere, or NAMESPACE/NAME; * is any. Repeat.",
)
@kubernetes_option
@click.option(
    "--pss-version",
    "standard",
    default="latest",
    show_default=True,
    callback=_standard,
    metavar="VERSION",
    help="Whose Pod Security Standards pods are held against: 1.0 to 1.37, or latest.",
)
@click.option(
    "--crd",
    "crds",
    multiple=True,
    metavar="PATH",
    help="Files or folders with definitions of custom resources, beside those in PATHs. Repeat.",
)
@click.option("--baseline", callback=_file, metavar="FILE", help="Findings known before, which do not count.")
@click.option("--helm", is_flag=True, help="Render charts among PATHs by the helm on the PATH.")
@click.option(
    "--helm-values", "values", multiple=True, metavar="FILE", help="Values of the charts, as helm --values. Repeat."
)
@click.option(
    "--kustomize", is_flag=True, help="Render kustomizations among PATHs by the kustomize, or kubectl, on the PATH."
)
@click.option(
    "--since",
    metavar="REVISION",
    help="Tell only what is new since this Git revision; rules on several objects still see all.",
)
@click.option(
    "--fix",
    is_flag=True,
    help="Print a patch of what can be mended without asking; what is left, and why, goes to stderr.",
)
@click.option("--write-baseline", callback=_file, metavar="FILE", help="Write what counts now as a baseline.")
@output_as(*FORMATS, help="What goes to stdout.")
@click.option(
    "--report", "reports", multiple=True, callback=_reports, metavar="FORMAT=FILE", help="Write this too. Repeat."
)
@ends_soon
def check(
    *,
    paths: tuple[str, ...],
    profile: str,
    enable: tuple[str, ...],
    disable: tuple[str, ...],
    directory: str | None,
    exclude: tuple[str, ...],
    fail_on: str,
    registries: tuple[str, ...],
    labels: tuple[str, ...],
    priority_classes: tuple[str, ...],
    secrets: tuple[str, ...],
    kubernetes: str,
    standard: int,
    crds: tuple[str, ...],
    baseline: Path | None,
    helm: bool,
    values: tuple[str, ...],
    kustomize: bool,
    since: str | None,
    fix: bool,
    write_baseline: Path | None,
    output: str,
    reports: tuple[tuple[str, Path], ...],
) -> None:
    """Check the manifests in PATHs: files, folders, or - for stdin.

    All files make one bundle, and each ends in exactly one state: checked, failed, unparsed or template. Exit code 3
    when a file was not checked, else 1 when one failed, else 0; with --fix, too: it changes no file.
    """
    import json
    from datetime import UTC, datetime

    from croupier.adapters.clock import SystemClock
    from croupier.adapters.files import PUBLIC, replace_file
    from croupier.core.policy.catalogue import chosen
    from croupier.core.policy.objects import Settings
    from croupier.core.policy.rule import Level
    from croupier.engine.policy import Checked, Excuses
    from croupier.errors import UsageError
    from croupier.spec.manifests import STDIN, find_files

    rules = chosen(profile, enable, disable, own_rules(directory))
    files = files_of(paths, exclude)
    if since is not None and write_baseline is not None:
        raise UsageError("--write-baseline takes all findings, --since leaves some out", hint="give one of the two")
    if since is not None and (helm or kustomize):
        hint = "check what is rendered of both, with a baseline between them"
        raise UsageError("--since compares files, and of what is rendered there is no past", hint=hint)
    if values and not helm:
        raise UsageError("--helm-values are for charts, and none is rendered without --helm", hint="add --helm")
    if fix and (output not in ("text", "json") or STDIN in paths):
        hint = "findings go to a file with --report; stdin is no file that a patch could be applied to"
        raise UsageError("--fix prints a patch, or JSON with it, of files", hint=hint)
    settings = Settings(registries, labels, priority_classes, kubernetes, standard, secrets=secrets)
    definitions = list(find_files(crds))
    known = _fingerprints(baseline)
    today = datetime.fromtimestamp(SystemClock().now(), UTC).date()
    with _past(since, paths, exclude) as before:
        rendered, files = _rendered(files, helm=helm, kustomize=kustomize, values=values)
        checked = Checked.of(files, rules, settings=settings, before=before, definitions=definitions, rendered=rendered)
    excuses = Excuses(today, known)
    report = checked.report(fail_on=Level(fail_on), excuses=excuses)
    if write_baseline is not None:
        held = sorted({each.fingerprint for each in report.findings if each.waiver is None})
        baselined = json.dumps({"fingerprints": held}, indent=1) + "\n"
        replace_file(write_baseline.absolute(), baselined.encode(), mode=PUBLIC)
    if fix:
        _print_fixes(checked, excuses, output)
    else:
        click.echo(_as(output, report, rules), nl=output in ("text", "json"))
    for name, file in reports:
        replace_file(file.absolute(), _as(name, report, rules).encode(), mode=PUBLIC)
    if not report.is_complete:
        raise click.exceptions.Exit(EXIT_WAITING)
    if report.failed:
        raise click.exceptions.Exit(EXIT_NO)


def _rendered(
    files: list[str], *, helm: bool, kustomize: bool, values: tuple[str, ...]
) -> tuple[list[FileRead], list[str]]:
    """Charts and kustomizations rendered, as far as people said so, and the files that are none of their parts."""
    from pathlib import Path

    from croupier.adapters import template_programs as programs
    from croupier.errors import Problem
    from croupier.spec.manifests import FileRead, read_rendered
    from croupier.spec.templates import Tool, templates

    commands: dict[Tool, tuple[str, ...]] = {}
    if helm:
        commands["helm"] = programs.helm(values)
    if kustomize:
        commands["kustomize"] = programs.kustomize()
    found, rest = templates(files, commands)
    done: list[FileRead] = []
    for each in found:
        folder = Path(each.folder).resolve()
        name = (folder.name,) if each.tool == "helm" else ()
        try:
            text = programs.render((*commands[each.tool], *name, str(folder)))
        except programs.NotRendered as error:
            problem = Problem(each.folder, 0, 0, "TEMPLATE", str(error))
            done.append(FileRead(each.folder, "template", problem=problem, is_rendered=True))
        else:
            done.append(read_rendered(text, each.folder))
    return done, list(rest)


def _print_fixes(checked: Checked, excuses: Excuses, output: str) -> None:
    from croupier.engine.policy_fix import fix
    from croupier.report.patch import diff, fix_text

    made = fix(checked, excuses, diff)
    if output == "json":
        print_view(made)
    else:
        click.echo(made.patch, nl=False)
        say(fix_text(made))


@contextmanager
def _past(since: str | None, paths: tuple[str, ...], exclude: tuple[str, ...]) -> Iterator[Mapping[str, str] | None]:
    """File, as ``find_files`` would have called it in the revision ``since`` -> where it is kept as it was.

    None without a revision. Raises ``UsageError`` for a path outside the repository.
    """
    import os
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from croupier.adapters.git import extract_files
    from croupier.errors import UsageError
    from croupier.spec.manifests import ENDINGS, STDIN, is_input

    if since is None:
        yield None
        return
    if STDIN in paths:
        raise UsageError("stdin has no past for --since to compare with", hint="name files or folders")
    real = {path: Path(path).resolve() for path in paths}

    def is_near(name: str) -> bool:
        return name.lower().endswith(ENDINGS) or any(str(each).endswith(f"/{name}") for each in real.values())

    with TemporaryDirectory(prefix="croupier-since-") as place:
        top, names = extract_files(since, Path(place), is_near)
        held: dict[str, str] = {}
        for path, absolute in real.items():
            if not absolute.is_relative_to(top):
                raise UsageError(f"{path} is not in the repository {top}", hint="go to the one that it is in")
            below = absolute.relative_to(top)
            for name in names:
                if Path(name).is_relative_to(below):
                    inner = os.path.relpath(name, below)
                    called = path if inner == "." else os.path.normpath(os.path.join(path, inner))
                    if is_input(called, path, exclude):
                        held[called] = os.path.join(place, name)
        yield held


def _as(name: str, report: PolicyReport, rules: tuple[Rule, ...]) -> str:
    """``report`` in one of ``FORMATS``."""
    match name:
        case "json":
            from croupier.report.values import json_text

            return json_text(report)
        case "sarif":
            from croupier import __version__
            from croupier.engine.policy import rule_view
            from croupier.report.findings import sarif

            return sarif(report, [rule_view(each) for each in rules], __version__)
        case "junit":
            from croupier.report.findings import junit

            return junit(report)
        case "github":
            from croupier.report.findings import github

            return github(report)
        case _:
            from croupier.report.policy import policy_text

            return policy_text(report)
