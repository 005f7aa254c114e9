"""``croupier policy``: the rules on Kubernetes manifests. Works on files, so it needs no running desk and no
cluster.
"""

from __future__ import annotations

from pathlib import Path

import click

from croupier.cli.options import EXIT_NO, Output, output_option, say
from croupier.cli.policy_check import check
from croupier.cli.policy_options import decided, files_of, own_rules, own_rules_option, print_view, which_rules
from croupier.errors import UsageError


@click.group()
def policy() -> None:
    """Check Kubernetes manifests against the rules.

    Anybody's manifests: Pods and whatever makes them, with the line, the reason and the fix.
    """


policy.add_command(check)


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


@policy.command()
@click.argument("rule")
@own_rules_option
@output_option
def explain(*, rule: str, directory: str | None, output: Output) -> None:
    """Tell what RULE asks for, why, how to satisfy it, and show a bad and a good manifest."""
    from croupier.core.policy.catalogue import rule as known
    from croupier.engine.policy import rule_view
    from croupier.report.policy import rule_text

    view = rule_view(known(rule, own_rules(directory)))
    if output == "json":
        print_view(view)
    else:
        click.echo(rule_text(view))


@policy.command()
@own_rules_option
@output_option
def rules(*, directory: str | None, output: Output) -> None:
    """List all rules: croupier's, those of installed packages, and your own."""
    from croupier.core.policy.catalogue import RULES
    from croupier.report.policy import rules_text

    known = (*RULES.values(), *own_rules(directory))
    if output == "json":
        from croupier.engine.policy import rule_view

        print_view({"rules": [rule_view(each) for each in known]})
    else:
        click.echo(rules_text(known))


@policy.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Files or folders that are no input. Repeat.")
@output_option
def reach(*, source: str, target: str, paths: tuple[str, ...], exclude: tuple[str, ...], output: Output) -> None:
    """Ask whether FROM can open a connection to TO, by all policies of networks and of Istio in PATHs together.

    FROM and TO are workloads: name, namespace/name or kind/namespace/name; TO may be an address range. Exit code 1 when
    none of the pairs that they name is connected.
    """
    from croupier.engine.policy import reach as reached
    from croupier.report.policy import reach_text

    answer = reached(files_of(paths, exclude), source, target)
    if output == "json":
        print_view(answer)
    else:
        click.echo(reach_text(answer))
    if not any(each.reaches for each in answer.pairs):
        raise click.exceptions.Exit(EXIT_NO)


@policy.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Files or folders that are no input. Repeat.")
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.svg",
    help="Draw it too: one picture that any viewer or browser shows.",
)
@output_option
def matrix(*, paths: tuple[str, ...], exclude: tuple[str, ...], picture: Path | None, output: Output) -> None:
    """Show who reaches whom: the ways of every workload in PATHs to others, other namespaces, and addresses outside.

    All NetworkPolicies and AuthorizationPolicies of Istio count together. Of one pair, croupier policy reach tells why.
    """
    from croupier.adapters.files import PUBLIC, replace_file
    from croupier.engine.policy import reach_matrix
    from croupier.report.matrix import matrix_picture, matrix_text

    if picture is not None and not picture.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {picture.absolute().parent}", hint="make it, or name another --picture")
    found = reach_matrix(files_of(paths, exclude))
    if output == "json":
        print_view(found)
    else:
        click.echo(matrix_text(found))
    if picture is not None:
        replace_file(picture.absolute(), matrix_picture(found).encode(), mode=PUBLIC)


@policy.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Files or folders that are no input. Repeat.")
@output_option
def budgets(*, paths: tuple[str, ...], exclude: tuple[str, ...], output: Output) -> None:
    """Show what all workloads in PATHs, at their greatest, ask together of databases, providers, namespaces and nodes.

    Each sum with its limit, its share of it and its parts, also where it fits. Exit code 1 when one does not.
    """
    from croupier.engine.policy_budgets import fleet
    from croupier.report.policy import budgets_text

    answer = fleet(files_of(paths, exclude))
    if output == "json":
        print_view(answer)
    else:
        click.echo(budgets_text(answer))
    if answer.over:
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
@which_rules
@decided
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

    rules = chosen(profile, enable, disable, own_rules(directory))
    settings = Settings(registries, labels, priority_classes)
    objects, left = exported(form, rules, settings, Place(action, namespaces))
    named = {each.id for each, _ in left}
    made = ExportReport(
        exported=tuple(each.id for each in rules if each.id not in named),
        left=tuple(NotExported(rule=each.id, why=why) for each, why in left),
        objects=tuple(objects),
    )
    if output == "json":
        print_view(made)
    else:
        click.echo(documents(objects), nl=False)
        say(export_text(made))
