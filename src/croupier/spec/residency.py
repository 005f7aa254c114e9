"""Where a market lets players' data be, held against every place it gets to (S10.14, S11).

The classic hole is not the database but what follows it: replicas, the region for disasters, backups, keys, logs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from croupier.model.data import DataUse
from croupier.model.platform import Cell, DataClass, Residency
from croupier.model.service_spec import ServiceSpec
from croupier.spec.load import Flaw, Location, did_you_mean

TELEMETRY = "telemetry"
REGION: Location = ()


def residency_flaws(cell: Cell, service: ServiceSpec, rules: Residency, keyed: Collection[str] = ()) -> Iterator[Flaw]:
    """What of ``service`` in ``cell`` the market forbids.

    ``keyed``: regions that name a key for backups; elsewhere an object store encrypts with its own, where it is.
    Locations are paths in the service; ``REGION`` where nothing but the region of the cell is at fault.
    """
    for name, use in service.data.items():
        if use.of is not None:
            continue  # who owns the store says where it is, and is held to that
        at = ("data", name)
        if cell.region not in rules.regions:
            yield _refused(REGION, f"{', '.join(use.classes)} would be kept in {cell.region}", rules.regions)
        for number, each in enumerate(use.classes):
            if each in rules.classes:
                yield from _of_class(cell, at, use, each, rules, keyed=keyed)
            else:
                hint = did_you_mean(each, list(rules.classes)) or "the market names no class"
                yield Flaw((*at, "classes", number), "RESIDENCY", f"market {cell.market} knows no class {each!r}", hint)
    for name, reference in service.secrets.items():
        if reference.key_region is not None and reference.key_region not in rules.regions:
            message = f"the key of secret {name} is in {reference.key_region}"
            yield _refused(("secrets", name, "keyRegion"), message, rules.regions)
    yield from _of_telemetry(cell, service, rules.classes.get(TELEMETRY) or DataClass(store=(cell.region,)))


def idle_keys(rules: Residency) -> Iterator[Flaw]:
    """Keys of classes that nothing is held against. Locations are paths in ``rules``."""
    hint = f"{TELEMETRY} has store and redact, another class all but redact"
    for name, data in rules.classes.items():
        idle = ("backup", "keys", "replicaRequired") if name == TELEMETRY else ("redact",)
        given = data.model_dump(by_alias=True, exclude_defaults=True)
        for key in idle:
            if key in given:
                yield Flaw(("classes", name, key), "UNUSED", f"{key} of class {name} has no effect", hint)


def _of_class(
    cell: Cell, at: Location, use: DataUse, name: str, rules: Residency, *, keyed: Collection[str]
) -> Iterator[Flaw]:
    allowed = rules.classes[name]
    primary = use.region or cell.region
    whose = (*at, "region") if use.region else REGION
    if primary not in allowed.store:
        yield _refused(whose, f"the primary of {name} is in {primary}", allowed.store)
    for number, region in enumerate(use.replicas):
        if region not in allowed.store:
            yield _refused((*at, "replicas", number), f"a replica of {name} is in {region}", allowed.store)
    if missing := [region for region in allowed.replica_required if region not in use.replicas]:
        message = f"market {cell.market} wants a replica of {name} in {', '.join(missing)}"
        hint = "add it to replicas"
        if use.engine is not None and not use.engine.HAS_COPIES:
            hint = f"{use.engine.KEY} has none in other regions: keep {name} in postgres"
        yield Flaw((*at, "replicas"), "RESIDENCY", message, hint)
    refuges = [region for region in rules.dr_regions if region in allowed.store]
    if use.dr is not None and use.dr not in refuges:
        yield _refused((*at, "dr"), f"{name} would move to {use.dr} in a disaster", refuges)
    if use.engine is not None and not use.engine.IS_BACKED_UP:
        return
    backups, keys = allowed.backup or allowed.store, allowed.keys or allowed.store
    if (where := use.backup or primary) not in backups:
        yield _refused((*at, "backup") if use.backup else whose, f"backups of {name} are in {where}", backups)
    if use.dr_backup is not None and use.dr_backup not in backups:
        yield _refused((*at, "drBackup"), f"a copy of {name} would archive to {use.dr_backup}", backups)
    elif use.dr_backup is not None and use.dr_backup not in keys:
        yield _refused((*at, "drBackup"), f"an archive of {name} would have its key in {use.dr_backup}", keys)
    if (where := use.keys or primary) not in keys:
        yield _refused((*at, "keys") if use.keys else whose, f"keys of {name} are in {where}", keys)
    elif use.keys is None and use.engine and primary not in keyed and use.backup and use.backup not in keys:
        message = f"{primary} names no key, so that of backups of {name} is in {use.backup}"
        yield _refused((*at, "backup"), message, keys)


def _of_telemetry(cell: Cell, service: ServiceSpec, allowed: DataClass) -> Iterator[Flaw]:
    leaves = False
    for kind, given in (("logs", service.telemetry.logs), ("traces", service.telemetry.traces)):
        where = given or cell.region
        leaves = leaves or where != cell.region
        if where not in allowed.store:
            yield _refused(("telemetry", kind) if given else REGION, f"{kind} go to {where}", allowed.store)
    missing = [name for name in allowed.redact if name not in service.telemetry.redact]
    if leaves and missing:
        message = f"telemetry leaves {cell.region} with {', '.join(missing)}"
        yield Flaw(("telemetry", "redact"), "RESIDENCY", message, f"redact: {{add: [{', '.join(missing)}]}}")


def _refused(location: Location, message: str, allowed: Sequence[str]) -> Flaw:
    return Flaw(location, "RESIDENCY", message, f"allowed: {', '.join(allowed) or 'nowhere'}")
