"""What comes of checking manifests against the rules.

Plain dataclasses and no models of pydantic: nobody sends them to us, so there is nothing to validate, and a hook that
checks one file before each commit would wait longer for pydantic than for the check. ``croupier.report.values`` writes
them as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from croupier.model.objects import JsonObject

LevelName = Literal["error", "warning", "note"]
FileState = Literal["checked", "failed", "unparsed", "template"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WaiverView:
    """An exception that holds: who answers for it, until when, and why."""

    owner: str
    until: str
    """The last day, `YYYY-MM-DD`."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingView:
    """What one rule has against one place in a file."""

    rule: str
    level: LevelName
    file: str
    line: int
    column: int
    object: str
    """Kind, namespace where one is written, and name: `Deployment/casino/bets`."""
    path: str
    """Where in the object, as `kubectl explain` writes it: `spec.template.spec.containers[0].image`."""
    message: str
    fix: str
    """What to do about it, one sentence."""
    excerpt: str
    """The line of the file; of a long one the 100 characters around the place."""
    excerpt_column: int
    """Where the place is in the excerpt."""
    fingerprint: str
    """Names the finding by rule, object and path; it stays when lines move."""
    waiver: WaiverView | None = None
    """Why it does not count; null where nobody made an exception, or the exception has ended."""
    known: bool = False
    """Whether it is in the baseline, and so does not count."""

    @property
    def is_excused(self) -> bool:
        return self.known or self.waiver is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileView:
    """What became of one file."""

    file: str
    state: FileState
    """`checked`: nothing that counts was found. `failed`: something was. `unparsed` and `template` files were not
    checked.
    """
    objects: int
    problem: str | None
    """Why it was not checked, with line and column where known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnknownKindView:
    """A kind of which no schema is known."""

    api_version: str
    kind: str
    objects: int
    """How many objects of it there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaView:
    """How far the fields of objects could be checked."""

    kubernetes: str
    """The version of Kubernetes: `1.37`."""
    objects: int
    """Objects that were held against a schema."""
    unknown: tuple[UnknownKindView, ...]
    """Those that were not, by kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyReport:
    """All files, each in exactly one state, and all findings."""

    files: tuple[FileView, ...]
    findings: tuple[FindingView, ...]
    """By file and line."""
    checked: int
    """Files without a finding that counts."""
    failed: int
    """Files with one."""
    unparsed: int
    """Files that could not be read as Kubernetes objects."""
    templates: int
    """Files that have to be rendered first."""
    objects: int
    """Objects that were checked."""
    rules: tuple[str, ...]
    """Rules that were asked."""
    waived: int
    """Findings that a waiver or the baseline excuses."""
    unchanged: int = 0
    """Findings left out because they are not new since the revision asked for (`--since`)."""
    schemas: SchemaView | None = None
    """Null where the rule `schema` was not asked."""

    @property
    def counted(self) -> tuple[FindingView, ...]:
        """Findings that nothing excuses."""
        return tuple(each for each in self.findings if not each.is_excused)

    @property
    def is_complete(self) -> bool:
        """Whether every file was checked."""
        return not (self.unparsed or self.templates)


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedView:
    """A finding that the patch mends."""

    rule: str
    file: str
    line: int
    object: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftView:
    """A finding that the patch leaves."""

    rule: str
    file: str
    line: int
    object: str
    path: str
    why: str
    """Why it is not mended without asking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FixReport:
    """What can be mended without asking, as a patch, and what is left."""

    patch: str
    """A unified diff; empty where nothing is mended."""
    fixed: tuple[FixedView, ...]
    left: tuple[LeftView, ...]
    """Findings that count and are not mended, each with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotExported:
    """A rule that a cluster is not asked to ask."""

    rule: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """Rules as objects for a cluster."""

    exported: tuple[str, ...]
    """Rules that are among the objects."""
    left: tuple[NotExported, ...]
    """Rules that are not, each with the reason."""
    objects: tuple[JsonObject, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachView:
    """Whether one pod can open a connection to another, or to addresses outside."""

    source: str
    target: str
    reaches: bool
    egress: bool
    """Whether the policies of the source let it out to the target."""
    egress_policies: tuple[str, ...]
    """Those that allow it; where none does, those that forbid it; empty where none governs the source."""
    ingress: bool | None
    """Whether the policies of the target let it in; null for addresses outside."""
    ingress_policies: tuple[str, ...]
    mesh: bool | None
    """Whether AuthorizationPolicies of Istio let the source in; null where none governs the target."""
    mesh_policies: tuple[str, ...]
    ports: tuple[str, ...]
    """Ports of the target that are open, by name or number; empty where it lists none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachReport:
    """Every pair that FROM and TO name."""

    pairs: tuple[ReachView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadReach:
    """What one workload reaches, and from where outside it is reached."""

    name: str
    """Kind, namespace and name: `Deployment/casino/bets`."""
    namespace: str
    brand: str
    """Empty where neither the workload nor its namespace tells it."""
    market: str
    reaches: tuple[str, ...]
    """Names of other workloads to which it can open a connection."""
    apart: tuple[str, ...]
    """Those of them that are another brand's or market's."""
    outside: tuple[str, ...]
    """Address ranges that it can call, all policies together: `0.0.0.0/0` and `::/0` where nothing holds it back."""
    from_outside: tuple[str, ...]
    """Address ranges that can call it, as far as NetworkPolicies say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceReach:
    """How many ways there are from one namespace into another, or within it."""

    source: str
    target: str
    open: int
    """Pairs of workloads of which the one reaches the other."""
    pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachMatrix:
    """Who reaches whom, all policies together."""

    workloads: tuple[WorkloadReach, ...]
    """By namespace, then by name."""
    namespaces: tuple[NamespaceReach, ...]
    """Where a way is open."""
    unread: tuple[str, ...]
    """Policies of kinds that the answer does not go by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetPart:
    """What one workload asks for at its greatest: all its pods × processes × each."""

    name: str
    pods: int
    surge: int
    """Pods beside them while a version changes."""
    draining: int
    """Pods that end meanwhile; 0 where only room for pods is counted."""
    processes: int
    each: float
    sum: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetView:
    """What all that share something ask of it together, and what there is of it. Cores, bytes or pieces."""

    rule: str
    """The rule that refuses it where it does not fit."""
    object: str
    """Where the limit is written: `Cluster/casino/db`."""
    path: str
    resource: str
    """What is counted: `connections`, `clients`, `requests a second`, `cpu`, `memory`, `pods`, or a line of a quota."""
    sum: float
    limit: float
    share: float | None
    """The sum as a share of the limit; null where the limit is 0."""
    fits: bool
    parts: tuple[BudgetPart, ...]
    """The largest first."""
    unsaid: tuple[str, ...]
    """Workloads that ask for some of it, too, and do not say how much: they are in no sum."""
    told: str
    """The sum in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetReport:
    """Every bounded sum of a fleet."""

    budgets: tuple[BudgetView, ...]
    """Databases, providers, namespaces, nodes."""
    over: int
    """How many do not fit."""
    first: BudgetView | None
    """The first that does not fit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleView:
    """A rule, as `policy rules` and `policy explain` give it."""

    id: str
    title: str
    level: LevelName
    scope: Literal["pod", "object", "bundle"]
    """What it looks at: a pod wherever its template stands, one object, or all objects together."""
    usual: bool
    """Whether it is part of the profile `default`."""
    source: str
    """The requirement or standard it comes from."""
    why: str
    fix: str
    bad: str
    """A manifest that it finds fault with."""
    good: str
    """The same without the fault."""
