"""A policy report for people: findings with the lines they are about, then what became of every file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from croupier.model.quantity import amount
from croupier.report.format import UNKNOWN, percent, plain, table

if TYPE_CHECKING:
    from croupier.model.policy import (
        BudgetReport,
        BudgetView,
        ExportReport,
        FindingView,
        PolicyReport,
        ReachReport,
        ReachView,
        RuleView,
        SchemaView,
    )

_MOST_KINDS = 10


def policy_text(report: PolicyReport) -> str:
    """One paragraph a finding, one line a file that was not checked or is empty, and the sum."""
    parts = [_finding(each) for each in report.counted]
    left = [f"{plain(each.file)}: {each.state}: {plain(each.problem or '')}" for each in report.files if each.problem]
    left += [f"{plain(each.file)}: holds no object" for each in report.files if not (each.problem or each.objects)]
    return "\n\n".join([*parts, *(["\n".join(left)] if left else []), _sum(report)])


def _finding(each: FindingView) -> str:
    number = str(each.line)
    before = each.excerpt[: each.excerpt_column - 1].expandtabs().ljust(each.excerpt_column - 1)
    return "\n".join(
        (
            f"{plain(each.file)}:{each.line}:{each.column} {each.level} {each.rule}  {plain(each.object)}",
            f"  {plain(each.message)}",
            f"  {number} | {plain(each.excerpt.expandtabs())}",
            f"  {' ' * len(number)} | {' ' * len(before)}^ {plain(each.path)}",
            f"  {each.fix}",
        )
    )


def _sum(report: PolicyReport) -> str:
    levels = Counter(each.level for each in report.counted)
    found = (
        ", ".join(f"{levels[level]} {level}{'s' if levels[level] != 1 else ''}" for level in levels) or "no findings"
    )
    files = len(report.files)
    return (
        f"{files} file{'s' if files != 1 else ''}: {report.checked} checked, {report.failed} failed, "
        f"{report.unparsed} unparsed, {report.templates} template{'s' if report.templates != 1 else ''}\n"
        f"{report.objects} object{'s' if report.objects != 1 else ''}, "
        f"{len(report.rules)} rule{'s' if len(report.rules) != 1 else ''}: {found}"
        + (f"; {report.waived} excused" if report.waived else "")
        + (f"; {report.unchanged} older left out" if report.unchanged else "")
        + (f"\n{schemas_text(report.schemas, ' (--crd PATH)')}" if report.schemas is not None else "")
    )


def schemas_text(held: SchemaView, hint: str = "") -> str:
    """How many objects were held against a schema, and of which kinds none is known."""
    said = f"{held.objects} object{'s' if held.objects != 1 else ''} held against the schemas of Kubernetes "
    said += held.kubernetes
    if not held.unknown:
        return said
    left = sum(each.objects for each in held.unknown)
    shown = [f"{each.api_version} {each.kind} ({each.objects})" for each in held.unknown[:_MOST_KINDS]]
    more = [f"{len(held.unknown) - _MOST_KINDS} more kinds"] if len(held.unknown) > _MOST_KINDS else []
    listed = plain(", ".join([*shown, *more]))
    return f"{said}, {left} not, no schema is known{hint}: {listed}"


def reach_text(report: ReachReport) -> str:
    """One paragraph a pair: the answer, then what each end says."""
    return "\n\n".join(_reach(each) for each in report.pairs)


def _reach(each: ReachView) -> str:
    lines = [f"{plain(each.source)} {'reaches' if each.reaches else 'does not reach'} {plain(each.target)}"]
    lines.append(f"  egress: {_end(each.egress, each.egress_policies)}")
    if each.ingress is not None:
        lines.append(f"  ingress: {_end(each.ingress, each.ingress_policies)}")
    if each.mesh is not None:
        lines.append(f"  mesh: {_end(each.mesh, each.mesh_policies)}")
    if not each.reaches and all(end is not False for end in (each.egress, each.ingress, each.mesh)):
        lines.append("  but at no port that all of them open")
    if each.ports:
        lines.append(f"  ports: {plain(', '.join(each.ports))}")
    return "\n".join(lines)


def _end(is_open: bool, policies: tuple[str, ...]) -> str:
    if not policies:
        return "open, no policy governs it"
    return f"{'allowed' if is_open else 'denied'} by {plain(', '.join(policies))}"


def budgets_text(report: BudgetReport) -> str:
    """A table of the sums, each in words, and the first that does not fit."""
    if not report.budgets:
        return "nothing among the manifests bounds what workloads ask for together"
    rows = [("RULE", "OBJECT", "RESOURCE", "SUM", "LIMIT", "SHARE", "")]
    for each in report.budgets:
        share = UNKNOWN if each.share is None else percent(each.share)
        amounts = amount(each.resource, each.sum), amount(each.resource, each.limit)
        rows.append((each.rule, plain(each.object), each.resource, *amounts, share, "" if each.fits else "OVER"))
    count = len(report.budgets)
    end = f"{count} budget{'s' if count != 1 else ''}, {report.over or 'none'} over its limit"
    if report.first is not None:
        end += f"; the first: {plain(report.first.object)}, {plain(report.first.told)}"
    lines = [line for each in report.budgets for line in _budget(each)]
    return "\n".join([*table(rows, right=(3, 4, 5), indent=""), "", *lines, "", end])


def _budget(each: BudgetView) -> Iterator[str]:
    yield f"{plain(each.object)}, {plain(each.told)}"
    if each.unsaid:
        names = list(dict.fromkeys(each.unsaid))
        more = f" and {len(names) - _MOST_KINDS} more" if len(names) > _MOST_KINDS else ""
        yield f"  in no sum, because they do not say how much: {plain(', '.join(names[:_MOST_KINDS]))}{more}"


def export_text(report: ExportReport) -> str:
    """How many rules are exported, and which are not, by reason."""
    count = len(report.exported)
    lines = [f"{count} rule{'s' if count != 1 else ''} exported" + (", not these:" if report.left else "")]
    for why in dict.fromkeys(each.why for each in report.left):
        names = ", ".join(each.rule for each in report.left if each.why == why)
        lines.append(f"  {why}: {names}")
    return "\n".join(lines)


def rule_text(rule: RuleView) -> str:
    """All about one rule."""
    return "\n".join(
        (
            f"{rule.id} ({rule.level}): {rule.title}",
            "",
            f"Why: {rule.why}",
            f"Fix: {rule.fix}",
            f"Source: {rule.source}",
            f"Looks at: {SCOPES[rule.scope]}",
            f"Profile default: {'yes' if rule.usual else f'no, ask with --enable {rule.id}'}",
            "",
            "Bad:",
            "",
            *(f"  {line}".rstrip() for line in rule.bad.splitlines()),
            "",
            "Good:",
            "",
            *(f"  {line}".rstrip() for line in rule.good.splitlines()),
        )
    )


SCOPES = {
    "pod": "each pod, wherever its template stands",
    "object": "each object alone",
    "bundle": "all objects that are checked together",
}


class Listed(Protocol):
    """What a list says of a rule."""

    @property
    def id(self) -> str: ...
    @property
    def level(self) -> str: ...
    @property
    def scope(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def usual(self) -> bool: ...


def rules_text(rules: Iterable[Listed]) -> str:
    """A table, one rule a line; those that are not usual are marked."""
    rows = [("RULE", "LEVEL", "SCOPE", "TITLE")]
    rows += [(each.id, each.level, each.scope, each.title + ("" if each.usual else " (on request)")) for each in rules]
    return "\n".join(table(rows, indent=""))
