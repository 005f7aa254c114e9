"""``croupier policy``: the rules on Kubernetes manifests. Works on files, so it needs no running desk and no
cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from croupier.cli.options import (
    EXIT_NO,
    EXIT_WAITING,
    Output,
    ends_soon,
    kubernetes_option,
    not_blank,
    output_option,
    remember_output,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from croupier.core.policy.rule import Rule
    from croupier.engine.policy import Checked, Excuses
    from croupier.model.policy import PolicyReport
    from croupier.spec.manifests import FileRead

FORMATS = ("text", "json", "sarif", "junit", "github")


_Command = TypeVar("_Command", bound=Callable[..., Any])


_own = click.option(
    "--rules",
    "directory",
    type=click.Path(file_okay=False, exists=True),
    metavar="DIR",
    help="A folder of rules of your own, in CEL.",
)


def _which_rules(command: _Command) -> _Command:
    """Options that choose rules."""
    for each in (
        _own,
        click.option("--disable", multiple=True, metavar="RULE", help="Do not ask this rule. Repeat."),
        click.option("--enable", multiple=True, metavar="RULE", help="Ask this rule, too. Repeat."),
        click.option(
            "--profile",
            default="default",
            show_default=True,
            metavar="NAME",
            help="Which rules: default, baseline, restricted, all.",
        ),
    ):
        command = each(command)
    return command


def _decided(command: _Command) -> _Command:
    """Options for what only people can decide."""
    for names, metavar, told in (
        (("--priority-class", "priority_classes"), "NAME", "A class that pods may have. Repeat."),
        (("--require-label", "labels"), "KEY", "What runs must bear this label. Repeat."),
        (("--registry", "registries"), "PREFIX", "Where images may come from. Repeat."),
    ):
        command = click.option(*names, multiple=True, metavar=metavar, callback=not_blank, help=told)(command)
    return command


@click.group()
def policy() -> None:
    """Check Kubernetes manifests against the rules.

    Anybody's manifests: Pods and whatever makes them, with the line, the reason and the fix.
    """


def _own_rules(directory: str | None) -> tuple[Rule, ...]:
    """Rules that are not in the catalogue: those of installed packages, then those in ``directory``."""
    from pathlib import Path

    from croupier.adapters.installed_rules import installed_rules
    from croupier.core.policy.catalogue import RULES

    installed = installed_rules(RULES)
    if directory is None:
        return installed
    from croupier.engine.custom_rules import read_rules

    return installed + read_rules(Path(directory), {*RULES, *(each.id for each in installed)})


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


def _labels(_ctx: click.Context, _param: click.Parameter, value: tuple[str, ...]) -> dict[str, str]:
    from pydantic import TypeAdapter, ValidationError

    from croupier.model.base import LabelKey, LabelValue

    found = {}
    for each in value:
        key, equals, wanted = each.partition("=")
        if not key or not equals:
            raise click.BadParameter(f"{each!r} is not KEY=VALUE")
        try:
            TypeAdapter(dict[LabelKey, LabelValue]).validate_python({key: wanted})
        except ValidationError as error:
            raise click.BadParameter(f"{each!r} can be no label of a namespace") from error
        found[key] = wanted
    return found


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


@policy.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@_which_rules
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
@_decided
@kubernetes_option
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
@click.option(
    "-o",
    "--output",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    is_eager=True,
    callback=remember_output,
    help="What goes to stdout.",
)
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
    kubernetes: str,
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
    from croupier.adapters.files import replace_file
    from croupier.core.policy.catalogue import chosen
    from croupier.core.policy.objects import Settings
    from croupier.core.policy.rule import Level
    from croupier.engine.policy import Checked, Excuses
    from croupier.errors import UsageError
    from croupier.spec.manifests import STDIN, find_files

    rules = chosen(profile, enable, disable, _own_rules(directory))
    files = list(find_files(paths, exclude, lambda told: say(f"note: {told}")))
    if not files:
        raise UsageError("there is no file to check", hint="files end in .yaml, .yml or .json")
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
    settings = Settings(registries, labels, priority_classes, kubernetes)
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
        replace_file(write_baseline.absolute(), json.dumps({"fingerprints": held}, indent=1).encode() + b"\n")
    if fix:
        _print_fixes(checked, excuses, output)
    else:
        click.echo(_as(output, report, rules), nl=output in ("text", "json"))
    for name, file in reports:
        replace_file(file.absolute(), _as(name, report, rules).encode())
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
        _print_view(made)
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


def _print_view(view: object) -> None:
    """A view, or a mapping of them, as JSON on stdout."""
    from croupier.report.values import json_text

    click.echo(json_text(view))


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


@policy.command()
@click.argument("rule")
@_own
@output_option
def explain(*, rule: str, directory: str | None, output: Output) -> None:
    """Tell what RULE asks for, why, how to satisfy it, and show a bad and a good manifest."""
    from croupier.core.policy.catalogue import rule as known
    from croupier.engine.policy import rule_view
    from croupier.report.policy import rule_text

    view = rule_view(known(rule, _own_rules(directory)))
    if output == "json":
        _print_view(view)
    else:
        click.echo(rule_text(view))


@policy.command()
@_own
@output_option
def rules(*, directory: str | None, output: Output) -> None:
    """List all rules: croupier's, those of installed packages, and your own."""
    from croupier.core.policy.catalogue import RULES
    from croupier.report.policy import rules_text

    known = (*RULES.values(), *_own_rules(directory))
    if output == "json":
        from croupier.engine.policy import rule_view

        _print_view({"rules": [rule_view(each) for each in known]})
    else:
        click.echo(rules_text(known))


@policy.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Files or folders that are no input. Repeat.")
@output_option
def reach(*, source: str, target: str, paths: tuple[str, ...], exclude: tuple[str, ...], output: Output) -> None:
    """Ask whether FROM can open a connection to TO, by all NetworkPolicies in PATHs together.

    FROM and TO are workloads: name, namespace/name or kind/namespace/name; TO may be an address range. Exit code 1 when
    none of the pairs that they name is connected.
    """
    from croupier.engine.policy import reach as reached
    from croupier.report.policy import reach_text
    from croupier.spec.manifests import find_files

    answer = reached(find_files(paths, exclude, lambda told: say(f"note: {told}")), source, target)
    if output == "json":
        _print_view(answer)
    else:
        click.echo(reach_text(answer))
    if not any(each.reaches for each in answer.pairs):
        raise click.exceptions.Exit(EXIT_NO)


@policy.command()
@click.option(
    "--as",
    "form",
    type=click.Choice(["vap", "kyverno"]),
    required=True,
    help="vap: ValidatingAdmissionPolicy and binding, Kubernetes v1.30 and later; kyverno: its ValidatingPolicy.",
)
@click.option(
    "--action",
    type=click.Choice(["deny", "warn", "audit"]),
    default="deny",
    show_default=True,
    help="What the cluster does with an object that is at fault.",
)
@click.option(
    "--namespace-label",
    "namespaces",
    multiple=True,
    callback=_labels,
    metavar="KEY=VALUE",
    help="Ask only in namespaces that bear this label. Repeat.",
)
@_which_rules
@_decided
@output_option
def export(
    *,
    form: str,
    action: str,
    namespaces: dict[str, str],
    profile: str,
    enable: tuple[str, ...],
    disable: tuple[str, ...],
    directory: str | None,
    registries: tuple[str, ...],
    labels: tuple[str, ...],
    priority_classes: tuple[str, ...],
    output: Output,
) -> None:
    """Print rules as objects with which the cluster asks them itself, for kubectl apply.

    Rules that look at one object are said in CEL. Those that cannot be are told on stderr, each with the reason; check
    manifests for them before they reach the cluster. Nothing is asked in kube-system, kube-public and kube-node-lease.
    """
    from croupier.core.policy.admission import Place, exported
    from croupier.core.policy.catalogue import chosen
    from croupier.core.policy.objects import Settings
    from croupier.core.render.emit import documents
    from croupier.model.policy import ExportReport, NotExported
    from croupier.report.policy import export_text

    rules = chosen(profile, enable, disable, _own_rules(directory))
    settings = Settings(registries, labels, priority_classes)
    objects, left = exported(form, rules, settings, Place(action, namespaces))
    named = {each.id for each, _ in left}
    made = ExportReport(
        exported=tuple(each.id for each in rules if each.id not in named),
        left=tuple(NotExported(rule=each.id, why=why) for each, why in left),
        objects=tuple(objects),
    )
    if output == "json":
        _print_view(made)
    else:
        click.echo(documents(objects), nl=False)
        say(export_text(made))
