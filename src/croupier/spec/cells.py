"""What every cell comes to: layers merged, values complete, the market's rules held; or problems at their places."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from croupier.errors import Problem, SpecError, UnknownName
from croupier.model.address import Endpoint
from croupier.model.events import Event, Warm
from croupier.model.platform import Brand, Cell, Market, PlacedCell, Region, Residency
from croupier.model.providers import Provider, call_seconds
from croupier.model.service_spec import SecretRef, ServiceSpec, Volume
from croupier.spec.edge import edge_flaws, gateway_flaw, route_flaws
from croupier.spec.events import end_of, expected_flaw, is_in, times_of, warm_of
from croupier.spec.form import EGRESS, FIXED
from croupier.spec.front import front_flaws
from croupier.spec.interceptor import http_flaws
from croupier.spec.layers import (
    BASES,
    DECLARED,
    LAYERS,
    Fits,
    applying,
    layers_of,
    problem_at,
    problem_of,
    resolved,
    traits_of,
)
from croupier.spec.load import Flaw, Location, did_you_mean, place
from croupier.spec.locks import loosened
from croupier.spec.merge import Layer, Merged, merge
from croupier.spec.mesh import mesh_flaws
from croupier.spec.names import Declared, Names
from croupier.spec.notes import by_region, notes
from croupier.spec.patches import Patches
from croupier.spec.places import HOME
from croupier.spec.promised import promise_flaws, with_promises
from croupier.spec.providers import called_flaws
from croupier.spec.residency import residency_flaws
from croupier.spec.room import pod_flaws, pool_flaws
from croupier.spec.services import service_flaws
from croupier.spec.sound import Lost
from croupier.spec.stores import Where, regions_of, store_flaws
from croupier.spec.watched import budget_flaw, watch_flaws

MOST_PLACED = 50_000
"""Services of all cells together."""


@dataclass(frozen=True, slots=True)
class Described:
    """A platform without a problem.

    ``merged``: (cell, service) -> its layers. ``notes``: what is right and somebody should still know. ``names``: what
    is declared, and where.
    """

    cells: tuple[PlacedCell, ...]
    merged: Mapping[tuple[str, str], Merged]
    notes: tuple[str, ...]
    names: Names

    def cell(self, name: str) -> PlacedCell:
        """Raises ``UnknownName``."""
        found = next((each for each in self.cells if each.cell.name == name), None)
        if found is None:
            raise UnknownName("cell", name, [each.cell.name for each in self.cells])
        return found

    def over(self, now: float) -> list[Problem]:
        """Events that have ended. ``now``: epoch seconds."""
        past = [self.names.events[name] for name, end in self.ends.items() if end <= now]
        return [
            each.file.problem((*each.location, "starts"), "PAST", "the event is over", "take it out of the calendar")
            for each in past
        ]

    @property
    def ends(self) -> Mapping[str, float]:
        """Event that somebody watches -> when it is over, epoch seconds."""
        return {name: end_of(event) for placed in self.cells for name, event in placed.events.items()}


class Cells:
    """What every cell comes to."""

    def __init__(self, names: Names, lost: Lost) -> None:
        self._names = names
        self._found: dict[Problem, set[str]] = {}
        self._seen: dict[tuple[str, tuple[int, ...]], tuple[Merged, ServiceSpec | None, list[Problem]]] = {}
        self._namespaces = {(each.value.region, each.value.namespace) for each in names.cells.values()}
        self._layers = list(_layers(names, lost))
        self._patches = Patches(names.files)
        self._is_known = not lost.is_everything

    def described(self, *, is_first: bool) -> tuple[Described, set[Problem]]:
        """What is sound, and what is wrong with the rest.

        ``is_first``: nothing was found before; otherwise what seems to have no effect may have been meant for what is
        left out, and is not told. Raises ``SpecError``.
        """
        count = len(self._names.cells) * len(self._names.services)
        if count > MOST_PLACED:
            declared = next(iter(self._names.cells.values()))
            message = f"{count} services in all cells, more than {MOST_PLACED}"
            raise SpecError([declared.file.problem(("cells",), "SIZE", message)])
        merged: dict[tuple[str, str], Merged] = {}
        cells = []
        for declared in self._names.cells.values() if self._is_known else ():
            placed = self._cell(declared, merged)
            if placed is not None:
                cells.append(placed)
        problems = {_concerning(problem, subjects) for problem, subjects in self._found.items()}
        problems.update(self._budgets(cells))
        problems.update(self._called(cells))
        problems.update(self._calendar(cells) if is_first and not problems else ())
        problems.update(self._patches.conflicts)
        if is_first and not problems:
            problems.update(self._idle(merged.values()))
            problems.update(self._patches.idle() if self._names.cells else ())
        # What a patch is about may be among what is left out.
        kept = {} if is_first and not problems else {"patches": ()}
        cells = [
            self._sound(placed).model_copy(update=kept)
            for placed in cells
            if self._names.has_sound_region(placed.cell.region)
        ]
        return (
            Described(
                tuple(sorted(cells, key=lambda each: each.cell.name)),
                merged,
                tuple(notes(self._names, cells, merged)),
                self._names,
            ),
            problems,
        )

    def _sound(self, placed: PlacedCell) -> PlacedCell:
        """Without services that something is wrong with, and those that need what is left out."""
        wrong = {subject for subjects in self._found.values() for subject in subjects}
        good = {
            each.name: each
            for each in placed.services
            if f"{each.name} in {placed.cell.name}" not in wrong
            and placed.providers.keys() >= set(each.egress)
            and all(map(self._names.has_sound_region, regions_of([each])))
        }
        while odd := [name for name, each in good.items() if not good.keys() >= _needed(each)]:
            for name in odd:
                del good[name]
        if len(good) == len(placed.services):
            return placed
        warm = tuple(each for each in placed.warm if each.service in good)
        sent = {each.telemetry.traces or placed.cell.region for each in good.values()}
        kept = {region: endpoint for region, endpoint in placed.traces_kept.items() if region in sent}
        return placed.model_copy(update={"services": tuple(good.values()), "traces_kept": kept, "warm": warm})

    def _cell(self, declared: Declared, merged: dict[tuple[str, str], Merged]) -> PlacedCell | None:
        cell: Cell = declared.value
        names = self._names
        if not (cell.region in names.regions and cell.market in names.markets and cell.brand in names.brands):
            return None
        services: list[ServiceSpec] = []
        for name, service in names.services.items():
            if cell.services is not None and name not in cell.services:
                continue
            layers, spec = self._service(cell, name, service)
            merged[cell.name, name] = layers
            if spec is not None:
                services.append(spec)
        services.sort(key=lambda each: each.name)
        region: Region = names.regions[cell.region].value
        market: Market = names.markets[cell.market].value
        beside = self._beside(cell, services, merged)
        self._flaws(cell, services, merged, beside)
        reached = sorted(each.name for each in services if each.is_reached)
        if reached and not cell.hostnames:
            message = "players reach services of the cell, and it has no hostnames"
            self._find(declared.file.problem(declared.location, "HOSTNAME", message, "give hostnames"), *reached)
        for spec in services:
            watched = watch_flaws(spec) if region.prometheus is not None else ()
            for flaw in (*promise_flaws(spec), *watched):
                self._report(cell, spec, flaw, merged)
        for spec in services:
            self._market(declared, spec, market, merged[cell.name, spec.name])
        called = {name for spec in services for name in spec.egress if name in names.providers}
        providers = {name: names.providers[name].value for name in sorted(called)}
        brand: Brand = names.brands[cell.brand].value
        regions = {name: each.value for name, each in names.regions.items()}
        placed = PlacedCell(
            cell=cell,
            brand=brand,
            market=market,
            region=region,
            services=tuple(services),
            providers=providers,
            traces_kept=self._traces(cell, region, services, merged),
            gitops=names.gitops.value if names.gitops is not None else None,
            elsewhere={name: regions[name] for name in sorted(regions_of(services) - {cell.region}) if name in regions},
            patches=self._patches.of(cell, services),
            events={},
        )
        for spec, flaw in store_flaws(Where(placed, regions, beside)):
            self._report(cell, spec, flaw, merged)
        for spec, flaw in (*pod_flaws(placed), *http_flaws(placed, beside)):
            self._report(cell, spec, flaw, merged)
        return placed.model_copy(update=self._watched(placed))

    def _watched(self, placed: PlacedCell) -> dict[str, object]:
        """Fields of a cell: its part of the calendar."""
        events: dict[str, Event] = {}
        warm: list[Warm] = []
        for name, declared in self._names.events.items():
            event: Event = declared.value
            times = times_of(event)
            if isinstance(times, Flaw) or not is_in(event, placed.cell):
                continue
            events[name] = event
            for spec in placed.services:
                if spec.name not in event.services:
                    continue
                if flaw := expected_flaw(event, spec, placed):
                    self._find(declared.file.problem((*declared.location, *flaw.location), *flaw[1:]), placed.cell.name)
                elif held := warm_of(name, event, times, spec):
                    warm.append(held)
        ordered = sorted(warm, key=lambda each: (each.from_at, each.event, each.service))
        return {"events": dict(sorted(events.items())), "warm": tuple(ordered)}

    def _calendar(self, cells: Sequence[PlacedCell]) -> Iterator[Problem]:
        """Events that nobody watches."""
        for name, declared in self._names.events.items():
            event: Event = declared.value
            if isinstance(times_of(event), Flaw):
                continue
            there = [each for each in cells if name in each.events]
            ran = {spec.name for each in there for spec in each.services}
            for service in event.services:
                if service not in ran and service in self._names.services:
                    message = f"{service} runs in no cell of these markets and brands"
                    yield declared.file.problem((*declared.location, "services", service), "EVENT", message)

    def _traces(
        self, cell: Cell, region: Region, services: Iterable[ServiceSpec], merged: Mapping[tuple[str, str], Merged]
    ) -> dict[str, Endpoint]:
        """Region -> where traces are kept that services of ``cell`` send there."""
        kept: dict[str, Endpoint] = {}
        for spec in services if region.traces is not None else ():
            where = spec.telemetry.traces or cell.region
            there = self._names.regions[where].value if where in self._names.regions else None
            if there is not None and there.traces is None:
                message = f"traces go to {where}, where nobody keeps any"
                flaw = Flaw(("telemetry", "traces"), "TRACES", message, f"give region {where} traces")
                self._report(cell, spec, flaw, merged)
            elif there is not None:
                kept[where] = there.traces.endpoint
        return kept

    def _service(self, cell: Cell, name: str, declared: Declared) -> tuple[Merged, ServiceSpec | None]:
        facts = {"brand": cell.brand, "market": cell.market, "region": cell.region, **traits_of(declared.value)}
        layers = applying(self._layers, facts)
        key = (name, tuple(map(id, layers)))
        if key not in self._seen:
            merged = with_promises(merge(layers, BASES), declared.value)
            self._seen[key] = (merged, *resolved(merged, ServiceSpec))
        merged, spec, problems = self._seen[key]
        for problem in problems:
            self._find(problem, f"{name} in {cell.name}")
        return merged, spec if not merged.lacks else None

    def _beside(
        self, cell: Cell, services: Sequence[ServiceSpec], merged: Mapping[tuple[str, str], Merged]
    ) -> list[str]:
        """Services that run in ``cell``, or may, and cannot be looked at."""
        sound = {each.name for each in services}
        beside = [name for where, name in merged if where == cell.name and name not in sound]
        if not self._names.services.keys() >= set(cell.services or ()):
            beside += self._names.services  # whoever is meant by a name that nobody has
        named = [name for each in services for name in _needed(each)]
        return beside + [name for name in named if self._names.is_lost("service", name)]

    def _flaws(
        self,
        cell: Cell,
        services: Sequence[ServiceSpec],
        merged: Mapping[tuple[str, str], Merged],
        beside: Sequence[str],
    ) -> None:
        for flaw in service_flaws(services, self._names.services, beside):
            _, index, *rest = flaw.location
            assert isinstance(index, int)
            self._report(cell, services[index], flaw._replace(location=tuple(rest)), merged)
        place_of: Region = self._names.regions[cell.region].value
        for spec, flaw in route_flaws(services, place_of.gateway.target):
            self._report(cell, spec, flaw, merged)
        places: dict[str, SecretRef] = {}
        providers: dict[str, Provider] = {name: each.value for name, each in self._names.providers.items()}
        for spec in services:
            for number, name in enumerate(spec.egress):
                if self._names.is_lost("provider", name):
                    continue
                if name not in self._names.providers:
                    hint = did_you_mean(name, list(self._names.providers)) or "declare it under providers"
                    flaw = Flaw(("egress", number), "UNKNOWN_NAME", f"provider {name!r} is not declared", hint)
                    self._report(cell, spec, flaw, merged)
                elif spec.is_reached:
                    slow = call_seconds(name, providers, spec.egress)
                    if slow >= spec.timeout_seconds:
                        more = " with retries and who takes over" if slow > providers[name].timeout_seconds else ""
                        message = (
                            f"players wait {spec.timeout_seconds:g} s at most, and {name} may take {slow:g} s{more}"
                        )
                        flaw = Flaw(("egress", number), "TIMEOUT", message, "raise timeoutSeconds, or wait less for it")
                        self._report(cell, spec, flaw, merged)
            for name, reference in spec.secrets.items():
                if why := _secret_flaw(reference, place_of, places.setdefault(reference.mounted, reference)):
                    flaw = Flaw(("secrets", name, "remote"), "SECRET", *why)
                    self._report(cell, spec, flaw, merged)
                if _ages(spec, reference):
                    message = f"nobody says how old secret {name} may get, and {spec.name} is money"
                    self._report(cell, spec, Flaw(("secrets", name), "ROTATION", message, "give rotateDays"), merged)
            for number, name in enumerate(spec.egress):
                key = providers[name].key if name in providers and name not in spec.secrets else None
                if key is not None and (why := _secret_flaw(key, place_of, places.setdefault(key.mounted, key))):
                    self._report(
                        cell, spec, Flaw(("egress", number), "SECRET", f"key of {name}: {why[0]}", why[1]), merged
                    )
                elif key is not None and _ages(spec, key):
                    message = f"nobody says how old the key of {name} may get, and {spec.name} is money"
                    flaw = Flaw(("egress", number), "ROTATION", message, "give it rotateDays")
                    self._report(cell, spec, flaw, merged)
            if spec.scaling and spec.scaling.trigger and place_of.released_by == "croupier":
                message = f"region {cell.region} is released by croupier, whose operator knows no KEDA"
                flaw = Flaw(("scaling", "trigger"), "TRIGGER", message, "give a metric, or releasedBy: kubernetes")
                self._report(cell, spec, flaw, merged)
            for of_region in (edge_flaws, front_flaws, mesh_flaws):
                for found in of_region(spec, place_of, cell.region):
                    self._report(cell, spec, found, merged)
            for name, volume in spec.volumes.items():
                if why := _volume_flaw(volume, place_of, cell.region):
                    self._report(cell, spec, Flaw(("volumes", name, "storage"), "VOLUME", *why), merged)
            if why := _pool_flaw(spec, place_of, cell.region):
                self._report(cell, spec, Flaw(("pool",), "POOL", *why), merged)
            for store, use in spec.data.items():
                if (cell.region, use.namespace) in self._namespaces:
                    message = f"{use.namespace} is the namespace of a cell: its walls would close the store in"
                    flaw = Flaw(("data", store, "namespace"), "NAMESPACE", message, "give stores their own namespace")
                    self._report(cell, spec, flaw, merged)
            for location, region in self._unknown_regions(spec):
                hint = did_you_mean(region, list(self._names.regions))
                flaw = Flaw(location, "UNKNOWN_NAME", f"region {region!r} is not declared", hint)
                self._report(cell, spec, flaw, merged)

    def _unknown_regions(self, spec: ServiceSpec) -> Iterator[tuple[Location, str]]:
        """Regions that a service names and nobody declares, and where."""
        for location, region in _regions(spec):
            if region not in self._names.regions and not self._names.is_lost("region", region):
                yield location, region

    def _market(self, declared: Declared, spec: ServiceSpec, market: Market, merged: Merged) -> None:
        cell: Cell = declared.value
        subject = f"{spec.name} in {cell.name}"
        rules = market.residency
        # What names a region that is not there may have meant one that is: that is told, and not what follows.
        unclear = {location for location, _ in self._unknown_regions(spec)}
        is_clear = rules is not None and all(map(self._names.regions.__contains__, _regions_of(rules)))
        by = self._names.markets[cell.market]
        regions = self._names.regions.items()
        keyed = {name for name, each in regions if each.value.stores is not None and each.value.stores.kms_key}
        providers = {name: each.value.region for name, each in self._names.providers.items()}
        found = residency_flaws(cell, spec, rules, providers=providers, keyed=keyed) if rules and is_clear else ()
        for bare in found:
            if _follows(bare, unclear):
                continue
            flaw = bare._replace(hint=f"{bare.hint}; market {cell.market} at {by.place}")
            if flaw.location == HOME:
                self._find(declared.file.problem((*declared.location, "region"), *flaw[1:]), subject)
            else:
                self._find(problem_of(merged, flaw), subject)
        tree = spec.model_dump(mode="json", by_alias=True) if market.locks else {}
        for number, lock in enumerate(market.locks):
            if why := loosened(lock, tree, merged):
                mark = place(by.file.root, (*by.location, "locks", number))
                hint = f"market {cell.market} locks it at {by.file.name}:{mark.line}:{mark.column}: {lock.why}"
                flaw = Flaw(tuple(lock.path.split(".")), "LOCKED", f"{lock.path} {why}", hint)
                self._find(problem_of(merged, flaw), subject)

    def _report(self, cell: Cell, spec: ServiceSpec, flaw: Flaw, merged: Mapping[tuple[str, str], Merged]) -> None:
        self._find(problem_of(merged[cell.name, spec.name], flaw), f"{spec.name} in {cell.name}")

    def _find(self, problem: Problem, *subjects: str) -> None:
        """One problem, however many services in however many cells have it."""
        self._found.setdefault(problem, set()).update(subjects)

    def _budgets(self, cells: Sequence[PlacedCell]) -> Iterator[Problem]:
        """Regions whose Prometheus, Gateway or nodes could not hold what is declared."""
        for name, here in by_region(cells).items():
            region, declared = here[0].region, self._names.regions[name]
            flaws = [gateway_flaw(name, region.gateway, here)]
            if region.prometheus is not None:
                flaws.append(budget_flaw(name, region.prometheus, here))
            for flaw in filter(None, flaws):
                yield declared.file.problem((*declared.location, *flaw.location), *flaw[1:])
        known = {name: each.value for name, each in self._names.regions.items()}
        for name, flaw in pool_flaws(cells, known):
            declared = self._names.regions[name]
            yield declared.file.problem((*declared.location, *flaw.location), *flaw[1:])

    def _called(self, cells: Iterable[PlacedCell]) -> Iterator[Problem]:
        """What is wrong with how regions call providers."""
        for name, flaw in called_flaws(cells):
            declared = self._names.providers[name]
            yield declared.file.problem((*declared.location, *flaw.location), *flaw[1:])

    def _idle(self, merged: Iterable[Merged]) -> Iterator[Problem]:
        """Layers that apply to nothing, and what they take away that nobody has."""
        if not self._names.cells:
            return
        every = list(merged)
        used = {id(said.layer) for each in every for said in chain.from_iterable(each.chains.values())}
        effective = {id(said) for each in every for said in each.effective}
        for _, layer in self._layers:
            if layer.rank[0] < LAYERS:
                continue
            bare = all(said.verb == "unset" for said in layer.statements)
            if id(layer) not in used and not bare:
                message = f"{layer.label} fits no service of any declared cell"
                yield Problem(layer.file, *layer.mark, "UNUSED", message, "declare the cell, or take the layer away")
                continue
            for said in layer.statements:
                if said.verb in ("unset", "remove") and id(said) not in effective:
                    what = ".".join(said.path)
                    these = " any of these" if said.verb == "remove" else ""
                    message = f"takes nothing away: no other layer gives {what}{these}"
                    yield problem_at(said, (), "UNUSED", message)


def _layers(names: Names, lost: Lost) -> Iterator[tuple[Fits, Layer]]:
    """Every layer that counts: of what is declared twice the first, and without keys that a layer may not set."""
    has_defaults = False
    for file in names.files:
        for fits, layer in layers_of(file):
            if layer.label == "defaults":
                if has_defaults:
                    continue
                has_defaults = True
            if layer.rank[0] == DECLARED:
                first = names.services[fits["service"]]
                if first.file is not file or place(file.root, first.location[:2]) != layer.mark:
                    continue
            else:
                fixed = (*FIXED, EGRESS) if EGRESS in fits else FIXED
                layer.statements[:] = [said for said in layer.statements if said.path[0] not in fixed]
            layer.lacks.update(lost.keys.get((file.name, layer.mark), ()))
            yield fits, layer


def _needed(service: ServiceSpec) -> set[str]:
    """Services that it calls, whose stores it uses, that answer for it."""
    http = service.intercepted
    instead = {http.fallback} if http is not None and http.fallback is not None else set()
    return {*service.depends_on, *(use.of for use in service.data.values() if use.of is not None), *instead}


def _regions_of(rules: Residency) -> Iterator[str]:
    """Every region that a market's rules name."""
    yield from (*rules.regions, *rules.dr_regions)
    for data in rules.classes.values():
        yield from (*data.store, *data.backup, *data.keys, *data.replica_required)


def _follows(flaw: Flaw, unclear: Collection[Location]) -> bool:
    """Whether a flaw is about a region at one of the places ``unclear``, or about what depends on it."""
    at = ("telemetry",) if flaw.location == ("telemetry", "redact") else flaw.location
    return at != HOME and any(each[: len(at)] == at for each in unclear)


def _secret_flaw(reference: SecretRef, region: Region, first: SecretRef) -> tuple[str, str] | None:
    """What is wrong with where a Secret comes from, and what to do. ``first``: the first of the cell to name it."""
    if reference.sidecar and region.secrets_agent is None:
        return "the region has no secretsAgent that would bring it", "give the region one, or leave sidecar out"
    is_read = reference.remote is not None and not reference.sidecar
    if is_read and region.secret_store is None and region.secrets_driver is None:
        return "the region has no secretStore to read it from", "give the region one, or leave remote out"
    if reference.version is not None and region.secrets_driver is not None:
        return "the secretsDriver of the region mounts the newest version only", "leave version out"
    if reference.remote != first.remote:
        there = first.remote or "nowhere"
        return f"another service of the cell has {reference.mounted} from {there}", "one Secret comes from one place"
    if (reference.kms_key, reference.key_region) != (first.kms_key, first.key_region):
        return f"another service of the cell names another key of {reference.mounted}", "one Secret has one key"
    return None


def _ages(spec: ServiceSpec, reference: SecretRef) -> bool:
    """Whether nobody says that money's secret is ever replaced (S5.5)."""
    return spec.tier == "money" and reference.rotate_days is None


def _volume_flaw(volume: Volume, region: Region, name: str) -> tuple[str, str] | None:
    """What is wrong with a disk of a service's pods, and what to do."""
    if region.released_by == "croupier":
        message = f"region {name} is released by croupier: pods of two versions would not have each other's disks"
        return message, "keep it in a store, or give releasedBy: kubernetes"
    if region.stores is not None and volume.storage not in region.stores.storage:
        known = did_you_mean(volume.storage, list(region.stores.storage)) or "declare it under stores.storage"
        return f"region {name} has no storage {volume.storage!r}", known
    return None


def _pool_flaw(spec: ServiceSpec, region: Region, name: str) -> tuple[str, str] | None:
    """What is wrong with the nodes a service would run on, and what to do."""
    pool = region.pool_of(spec)
    if pool is None and spec.pool is not None:
        known = did_you_mean(spec.pool, list(region.pools)) or f"declare it under pools of region {name}"
        return f"region {name} has no pool {spec.pool!r}", known
    if pool is None and any(each.serves for each in region.pools.values()):
        return f"no pool of region {name} serves {spec.traffic}", "name one, or let one serve it"
    if pool is not None and pool.spot and (spec.traffic != "batch" or spec.tier == "money"):
        what = "money" if spec.tier == "money" else f"traffic {spec.traffic}"
        return f"its pool in region {name} is spot capacity, which is not for {what}", "name another pool"
    return None


def _concerning(problem: Problem, subjects: Collection[str]) -> Problem:
    """With whom it concerns: ``lobby in acme-mt-west and 2 more``."""
    more = f" and {len(subjects) - 1} more" if len(subjects) > 1 else ""
    return replace(problem, message=f"{problem.message} ({min(subjects)}{more})")


def _regions(spec: ServiceSpec) -> Iterator[tuple[Location, str]]:
    """Every region a service names, and where."""
    named: dict[Location, str | None] = {
        ("telemetry", "logs"): spec.telemetry.logs,
        ("telemetry", "traces"): spec.telemetry.traces,
    }
    for name, use in spec.data.items():
        at = ("data", name)
        named |= {(*at, "region"): use.region, (*at, "dr"): use.dr, (*at, "backup"): use.backup}
        named |= {(*at, "keys"): use.keys, (*at, "drBackup"): use.dr_backup}
        named |= {(*at, "replicas", number): region for number, region in enumerate(use.replicas)}
    named |= {("secrets", name, "keyRegion"): reference.key_region for name, reference in spec.secrets.items()}
    return ((location, region) for location, region in named.items() if region is not None)
