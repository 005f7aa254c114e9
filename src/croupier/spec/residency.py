"""Where a market lets players' data be, held against every place it gets to (S10.14, S11; ``places.py``)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from croupier.model.platform import Cell, Residency
from croupier.model.service_spec import ServiceSpec
from croupier.spec.load import Flaw, Location, did_you_mean
from croupier.spec.places import HOME, TELEMETRY, data_places


def residency_flaws(
    cell: Cell, service: ServiceSpec, rules: Residency, *, providers: Mapping[str, str], keyed: Collection[str]
) -> Iterator[Flaw]:
    """What of ``service`` in ``cell`` the market forbids; ``providers`` and ``keyed`` as ``data_places`` wants them.

    Locations are paths in the service; ``HOME`` where nothing but the region of the cell is at fault.
    """
    yield from _of_classes(cell, service, rules)
    for name, reference in service.secrets.items():
        if reference.key_region is not None and reference.key_region not in rules.regions:
            message = f"the key of secret {name} is in {reference.key_region}"
            yield _refused(("secrets", name, "keyRegion"), message, rules.regions)
    told: set[tuple[Location, str]] = set()
    for place in data_places(cell, service, rules, providers=providers, keyed=keyed):
        if place.is_forbidden and (place.location, place.data) not in told:
            yield _refused(place.location, place.message, place.allowed or ())
            if place.location != HOME:  # one word in the file, one flaw
                told.add((place.location, place.data))
    if any(each not in (None, cell.region) for each in (service.telemetry.logs, service.telemetry.traces)):
        yield from _unredacted(cell, service, rules)


def idle_keys(rules: Residency) -> Iterator[Flaw]:
    """Keys of classes that nothing is held against. Locations are paths in ``rules``."""
    hint = f"{TELEMETRY} has store and redact, another class all but redact"
    for name, data in rules.classes.items():
        idle = ("backup", "keys", "replicaRequired") if name == TELEMETRY else ("redact",)
        given = data.model_dump(by_alias=True, exclude_defaults=True)
        for key in idle:
            if key in given:
                yield Flaw(("classes", name, key), "UNUSED", f"{key} of class {name} has no effect", hint)


def _of_classes(cell: Cell, service: ServiceSpec, rules: Residency) -> Iterator[Flaw]:
    """Whether the market knows what is kept, lets it be kept here, and has the replicas it wants."""
    for store, use in service.data.items():
        if use.of is not None:
            continue
        if cell.region not in rules.regions:
            yield _refused(HOME, f"{', '.join(use.classes)} would be kept in {cell.region}", rules.regions)
        for number, name in enumerate(use.classes):
            allowed = rules.classes.get(name)
            if allowed is None:
                hint = did_you_mean(name, list(rules.classes)) or "the market names no class"
                message = f"market {cell.market} knows no class {name!r}"
                yield Flaw(("data", store, "classes", number), "RESIDENCY", message, hint)
            elif missing := [region for region in allowed.replica_required if region not in use.replicas]:
                hint = "add it to replicas"
                if use.engine is not None and not use.engine.HAS_COPIES:
                    hint = f"{use.engine.KEY} has none in other regions: keep {name} in postgres"
                message = f"market {cell.market} wants a replica of {name} in {', '.join(missing)}"
                yield Flaw(("data", store, "replicas"), "RESIDENCY", message, hint)


def _unredacted(cell: Cell, service: ServiceSpec, rules: Residency) -> Iterator[Flaw]:
    redact = rules.classes[TELEMETRY].redact if TELEMETRY in rules.classes else ()
    if missing := [name for name in redact if name not in service.telemetry.redact]:
        message = f"telemetry leaves {cell.region} with {', '.join(missing)}"
        yield Flaw(("telemetry", "redact"), "RESIDENCY", message, f"redact: {{add: [{', '.join(missing)}]}}")


def _refused(location: Location, message: str, allowed: Sequence[str]) -> Flaw:
    return Flaw(location, "RESIDENCY", message, f"allowed: {', '.join(allowed) or 'nowhere'}")
