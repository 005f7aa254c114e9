"""The use case behind ``croupier policy check``: files -> manifests -> findings with places -> report."""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from ipaddress import ip_network

from croupier.core.policy import schema
from croupier.core.policy.check import NOTHING_SET, Finding, check
from croupier.core.policy.fingerprint import fingerprint, written
from croupier.core.policy.matrix import matrix
from croupier.core.policy.objects import Pod, Settings, as_object
from croupier.core.policy.reach import Reach, pods_called
from croupier.core.policy.rule import Level, Rule
from croupier.core.policy.since import new_since
from croupier.core.policy.waivers import waiver_for
from croupier.core.policy.world import World
from croupier.engine.schemas import held, validator
from croupier.errors import Problem, SpecError, UnknownName
from croupier.model.manifest import Manifest, Path
from croupier.model.policy import (
    FileView,
    FindingView,
    PolicyReport,
    ReachMatrix,
    ReachReport,
    ReachView,
    RuleView,
    WaiverView,
)
from croupier.spec.manifests import FileRead, read_file
from croupier.spec.yaml_kubernetes import Places

_LONGEST_EXCERPT = 100
_BEFORE = 40
"""Characters of a longer line that stay before the place."""
_WEIGHT = {Level.NOTE: 0, Level.WARNING: 1, Level.ERROR: 2}


def check_files(
    files: Iterable[str],
    rules: Sequence[Rule],
    *,
    today: date,
    fail_on: Level = Level.WARNING,
    settings: Settings = NOTHING_SET,
    baseline: frozenset[str] = frozenset(),
    before: Mapping[str, str] | None = None,
    definitions: Iterable[str] = (),
) -> PolicyReport:
    """What ``rules`` have against ``files``, which make one bundle. A finding counts from the level ``fail_on`` on,
    unless a waiver holds ``today`` or its fingerprint is in the ``baseline``.

    ``before``: file, as it is called now -> where it is kept as it was. Given, only what is new since then is told.
    ``definitions``: files with CustomResourceDefinitions beside those in ``files``; they are not checked themselves.

    Raises ``SpecError`` for such a file that holds none, ``UnknownName`` for a version of Kubernetes without schemas.
    """
    found = Checked.of(files, rules, settings=settings, before=before, definitions=definitions)
    return found.report(fail_on=fail_on, excuses=Excuses(today, baseline))


@dataclass(frozen=True, slots=True)
class Checked:
    """Files that were read, and what ``rules`` have against the objects in them.

    ``unchanged``: how many findings were left out, because they are not new.
    """

    read: Sequence[FileRead]
    manifests: Sequence[Manifest]
    findings: Sequence[Finding]
    rules: Sequence[Rule]
    settings: Settings
    unchanged: int

    @classmethod
    def of(
        cls,
        files: Iterable[str],
        rules: Sequence[Rule],
        *,
        settings: Settings = NOTHING_SET,
        before: Mapping[str, str] | None = None,
        definitions: Iterable[str] = (),
        rendered: Sequence[FileRead] = (),
    ) -> Checked:
        """``files``, and what was ``rendered``, checked as one bundle; see ``check_files``."""
        with _without_collector():
            read = [*rendered, *(read_file(file) for file in files)]
            manifests = [manifest for each in read for manifest in each.manifests]
            if any(each in schema.RULES for each in rules):
                values = [each.value for each in manifests]
                settings = replace(settings, schemas=validator(settings.kubernetes, values, definitions))
            found = told = check(manifests, rules, settings)
            if before is not None:
                past = {file: read_file(kept).manifests for file, kept in before.items()}
                told = new_since(manifests, found, past, rules, settings)
            return cls(read, manifests, told, rules, settings, len(found) - len(told))

    def report(self, *, fail_on: Level, excuses: Excuses) -> PolicyReport:
        made = report(self.read, self.manifests, self.findings, self.rules, fail_on=fail_on, excuses=excuses)
        schemas = self.settings.schemas
        told = held([each.value for each in self.manifests], schemas) if schemas is not None else None
        return replace(made, unchanged=self.unchanged, schemas=told)


@dataclass(frozen=True, slots=True)
class Excuses:
    """What makes a finding not count: waivers that have not ended ``today``, and fingerprints known before."""

    today: date
    baseline: frozenset[str] = frozenset()


def report(
    read: Sequence[FileRead],
    manifests: Sequence[Manifest],
    findings: Sequence[Finding],
    rules: Sequence[Rule],
    *,
    fail_on: Level,
    excuses: Excuses,
) -> PolicyReport:
    """``findings`` in ``manifests`` with their places, and what became of each file."""
    views = sorted(
        (view for _, view in placed(manifests, findings, excuses)), key=lambda each: (each.file, each.line, each.column)
    )
    failed = {each.file for each in views if not each.is_excused and _WEIGHT[Level(each.level)] >= _WEIGHT[fail_on]}
    states = [
        FileView(
            file=each.file,
            state=each.state if each.state != "read" else "failed" if each.file in failed else "checked",
            objects=len(each.manifests),
            problem=_said(each.problem) if each.problem else None,
        )
        for each in read
    ]
    return PolicyReport(
        files=tuple(states),
        findings=tuple(views),
        checked=sum(each.state == "checked" for each in states),
        failed=sum(each.state == "failed" for each in states),
        unparsed=sum(each.state == "unparsed" for each in states),
        templates=sum(each.state == "template" for each in states),
        objects=len(manifests),
        rules=tuple(each.id for each in rules),
        waived=sum(each.is_excused for each in views),
    )


def reach(files: Iterable[str], source: str, target: str) -> ReachReport:
    """Whether the pods called ``source`` reach those called ``target``, a workload or an address range.

    Raises ``SpecError`` if a file cannot be read (an answer from half the policies is none), ``UnknownName``.
    """
    world = whole_world(files)
    asked = Reach(world)
    known = [each.owner.manifest.name for each in world.pods]
    sources = list(pods_called(world, source))
    if not sources:
        raise UnknownName("workload", source, known)
    if _is_address(target):
        return ReachReport(pairs=tuple(_to_address(each, target, asked) for each in sources))
    targets = list(pods_called(world, target))
    if not targets:
        raise UnknownName("workload", target, known)
    return ReachReport(pairs=tuple(_pair(each, other, asked) for each in sources for other in targets))


def reach_matrix(files: Iterable[str]) -> ReachMatrix:
    """Who reaches whom, by workload. Raises ``SpecError`` if a file cannot be read."""
    return matrix(whole_world(files))


def whole_world(files: Iterable[str]) -> World:
    """All objects of ``files``. Raises ``SpecError`` if one of them cannot be read."""
    read = [read_file(file) for file in files]
    unread = [each.problem for each in read if each.problem is not None]
    if unread:
        raise SpecError(unread)
    manifests = [manifest for each in read for manifest in each.manifests]
    return World([as_object(index, each, NOTHING_SET) for index, each in enumerate(manifests)])


def _to_address(source: Pod, target: str, asked: Reach) -> ReachView:
    way = asked.to_address(source, target)
    return ReachView(
        source=source.owner.manifest.name,
        target=target,
        reaches=way.open,
        egress=way.open,
        egress_policies=way.policies,
        ingress=None,
        ingress_policies=(),
        mesh=None,
        mesh_policies=(),
        ports=(),
    )


def _pair(source: Pod, target: Pod, asked: Reach) -> ReachView:
    answer = asked.between(source, target)
    mesh = answer.mesh
    return ReachView(
        source=source.owner.manifest.name,
        target=target.owner.manifest.name,
        reaches=answer.reaches,
        egress=answer.egress.open,
        egress_policies=answer.egress.policies,
        ingress=answer.ingress.open,
        ingress_policies=answer.ingress.policies,
        mesh=mesh.open if mesh else None,
        mesh_policies=mesh.policies if mesh else (),
        ports=answer.ports,
    )


def _is_address(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def rule_view(rule: Rule) -> RuleView:
    return RuleView(
        id=rule.id,
        title=rule.title,
        level=rule.level.value,
        scope=rule.scope.value,
        usual=rule.usual,
        source=rule.source,
        why=rule.why,
        fix=rule.fix,
        bad=rule.bad,
        good=rule.good,
    )


def _said(problem: Problem) -> str:
    place = f"{problem.line}:{problem.column} " if problem.line else ""
    return f"{place}{problem.message}" + (f", {problem.hint}" if problem.hint else "")


def placed(
    manifests: Sequence[Manifest], findings: Sequence[Finding], excuses: Excuses
) -> Iterator[tuple[Finding, FindingView]]:
    """Findings, each with its line and column, document by document. A document is read a second time, with marks,
    only if something was found in it.
    """
    of_source: dict[int, list[Finding]] = defaultdict(list)
    for each in findings:
        of_source[id(manifests[each.index].source)].append(each)
    for group in of_source.values():
        source = manifests[group[0].index].source
        places = Places(source)
        lines = source.text.split("\n")
        for each in group:
            yield each, _view(each, manifests[each.index], places, lines, excuses)


def _view(finding: Finding, manifest: Manifest, places: Places, lines: Sequence[str], excuses: Excuses) -> FindingView:
    path: Path = (*manifest.root, *finding.path)
    place = places.of(path)
    index = place.line - manifest.source.line - 1
    waiver = waiver_for(finding.rule.id, manifest, lines[max(index - 1, 0) : index + 1])
    message, held = finding.message, None
    if waiver is not None and waiver.until < excuses.today:
        message += f" (the waiver of {waiver.owner} ended on {waiver.until})"
    elif waiver is not None:
        held = WaiverView(owner=waiver.owner, until=waiver.until.isoformat(), reason=waiver.reason)
    named = fingerprint(finding.rule.id, manifest, finding.path)
    excerpt, column = _excerpt(lines[index].rstrip() if index < len(lines) else "", place.column)
    return FindingView(
        rule=finding.rule.id,
        level=finding.rule.level.value,
        file=manifest.source.file,
        line=place.line,
        column=place.column,
        object=manifest.name,
        path=written(finding.path),
        message=message,
        fix=finding.rule.fix,
        excerpt=excerpt,
        excerpt_column=column,
        fingerprint=named,
        waiver=held,
        known=named in excuses.baseline,
    )


def _excerpt(line: str, column: int) -> tuple[str, int]:
    """``line``, or of a long one the part around ``column``, and where ``column`` is in it; both count from 1."""
    if len(line) <= _LONGEST_EXCERPT:
        return line, column
    first = max(0, min(column - 1 - _BEFORE, len(line) - _LONGEST_EXCERPT))
    part = line[first : first + _LONGEST_EXCERPT]
    if first:
        part = f"…{part[1:]}"
    if first + _LONGEST_EXCERPT < len(line):
        part = f"{part[:-1]}…"
    return part, column - first


@contextmanager
def _without_collector() -> Iterator[None]:
    """The garbage collector finds nothing while manifests are read and kept, and costs a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
