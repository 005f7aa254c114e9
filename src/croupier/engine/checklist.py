"""The use case behind ``croupier release check`` and a release's preflight: files -> bundles -> nine lines (S15)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from croupier.core.checklist.gathered import Bundle, Gathered, ReleasePlan
from croupier.core.checklist.judge import checklist
from croupier.core.policy.catalogue import chosen
from croupier.core.policy.check import NOTHING_SET, check
from croupier.core.policy.objects import as_object
from croupier.core.policy.rule import Level
from croupier.core.policy.world import World
from croupier.core.render.cell import objects, texts
from croupier.engine.policy import Excuses, report
from croupier.errors import UnknownName
from croupier.model.checklist import Checklist, ChecklistSource, LineWaiver
from croupier.model.journal import Entry
from croupier.model.platform import PlacedCell
from croupier.model.release import Release
from croupier.spec.manifests import FileRead, find_files, read_file, read_text
from croupier.spec.platform import load_described

WAIVED = "checklist.waived"
"""Kind of the entry of a waiver; its subject is the desk."""
NO_SOURCE = "manifests: no platform folder and no manifests were given"


def assess(
    service: str,
    source: ChecklistSource,
    *,
    now: float,
    waivers: Iterable[LineWaiver] = (),
    release: Release | None = None,
    not_checked: Sequence[str] = (),
) -> Checklist:
    """The checklist of ``service``. ``release``: the one about to start; None: the plan is read off the manifests.

    Raises ``SpecError`` for a platform with problems or a path that is not there, ``UnknownName`` for a cell that does
    not exist, and for a service that nothing describes.
    """
    sources, bundles, unread, known = [], [], [], set[str]()
    for name, read in _read(service, source):
        bundle = _bundle(name, read, service, now)
        known.update(pod.owner.name for pod in bundle.world.pods)
        unread += [f"{each.file}: {each.problem.message}" for each in read if each.problem is not None]
        sources.append(name)
        if bundle.pods:
            bundles.append(bundle)
    if sources and not bundles and not unread:
        raise UnknownName("service", service, sorted(known))
    if release is not None:
        sources.append("the release")
    left = [*not_checked, *([NO_SOURCE] if source.is_empty else [])]
    return checklist(
        Gathered(
            service=service,
            now=now,
            bundles=tuple(bundles),
            plan=None if release is None else _plan(release),
            sources=tuple(sources),
            not_checked=tuple(left),
            unread=tuple(unread),
        ),
        waivers,
    )


def waiver_of(entry: Entry) -> LineWaiver:
    """The waiver in an entry of kind ``WAIVED``. Raises ``ValueError`` for a body that is none."""
    return LineWaiver.model_validate({**entry.body, "at": entry.at, "entry": entry.seq})


def latest(waivers: Iterable[LineWaiver]) -> list[LineWaiver]:
    """The one that counts of each service and line, by service and line."""
    held: dict[tuple[str, str], LineWaiver] = {(each.service, each.line): each for each in waivers}
    return [held[key] for key in sorted(held)]


def in_words(found: Checklist) -> str:
    """One sentence for a refusal or the journal: what is red, or what is waived."""
    if not found.ready:
        first = "; ".join(f"{each.id} {each.missing[0].what}: {each.missing[0].result}" for each in found.red[:3])
        more = len(found.red) - 3
        return f"{len(found.red)} of 9 lines are red: {first}" + (f"; and {more} more" if more > 0 else "")
    waived = [each for each in found.lines if each.state == "waived"]
    told = ", ".join(f"{each.id} until {each.waiver.until} by {each.waiver.owner}" for each in waived if each.waiver)
    return f"{9 - len(waived)} of 9 lines are green" + (f"; waived: {told}" if told else "")


def _plan(release: Release) -> ReleasePlan:
    gates = tuple(gate.signal for gate in release.policy.gates)
    return ReleasePlan(release.steps, gates, release.strategy, "the release")


def _read(service: str, source: ChecklistSource) -> Iterator[tuple[str, list[FileRead]]]:
    """(name of a place, its files): one a cell of the platform that has the service, one for the manifests."""
    if source.platform is not None:
        described = load_described(source.platform)
        cells = described.cells if source.cell is None else (described.cell(source.cell),)
        for placed in _having(cells, service):
            files = texts(objects([placed]))
            yield placed.cell.name, [read_text(text, name) for name, text in files.items()]
    if source.manifests:
        names = list(map(str, source.manifests))
        yield ", ".join(names), [read_file(file) for file in find_files(names)]


def _having(cells: Sequence[PlacedCell], service: str) -> Iterator[PlacedCell]:
    name, _, namespace = service.partition(".")
    found = [
        placed
        for placed in cells
        if namespace in ("", placed.cell.namespace) and any(each.name == name for each in placed.services)
    ]
    if not found:
        raise UnknownName("service", service, sorted({each.name for placed in cells for each in placed.services}))
    yield from found


def _bundle(name: str, read: Sequence[FileRead], service: str, now: float) -> Bundle:
    manifests = [manifest for each in read for manifest in each.manifests]
    rules = chosen("default")
    found = check(manifests, rules, NOTHING_SET)
    today = datetime.fromtimestamp(now, UTC).date()
    said = report(read, manifests, found, rules, fail_on=Level.WARNING, excuses=Excuses(today))
    findings = tuple(each for each in said.counted if each.level != Level.NOTE.value)
    world = World([as_object(index, each, NOTHING_SET) for index, each in enumerate(manifests)])
    return Bundle(name, world, findings, frozenset(each.id for each in rules), service, today=today)


def source_of(sources: Mapping[str, ChecklistSource], service: str) -> ChecklistSource:
    """What is declared for ``service``; an empty source where nothing is."""
    return sources.get(service, ChecklistSource())
