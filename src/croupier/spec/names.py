"""All that has a name in a platform folder, and every reference to one: what stands twice, what points to nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple, get_args

from croupier.errors import Problem, UnknownName
from croupier.model.data import ENGINES
from croupier.model.events import Event
from croupier.model.gitops import GitOps
from croupier.model.platform import ALLOW_DNS, DEFAULT_DENY, Cell, Market, Region
from croupier.model.providers import ProviderClass, egress_namespace
from croupier.model.service_spec import ServiceSpec
from croupier.spec.events import times_of
from croupier.spec.form import EGRESS, FIXED, PlatformFile
from croupier.spec.load import Flaw, Location, did_you_mean, place
from croupier.spec.paths import parse_path
from croupier.spec.providers import provider_flaws
from croupier.spec.residency import idle_keys
from croupier.spec.sound import Lost
from croupier.spec.yaml12 import Node

LONGEST_NAME = 63


@dataclass(frozen=True, slots=True)
class File:
    name: str
    root: Node
    value: PlatformFile

    def node(self, *location: str | int) -> Node:
        node = self.root
        for part in location:
            node = node.children[part]
        return node

    def problem(self, location: Location, code: str, message: str, hint: str = "", *, key: bool = False) -> Problem:
        return Problem(self.name, *place(self.root, location, key=key), code, message, hint)

    def entries(self, section: str) -> Iterator[tuple[Location, str | int]]:
        """Location and name (or index) of all that stands in a section."""
        for part in self.root.children[section].children if section in self.root.children else ():
            yield (section, part), part


class Declared(NamedTuple):
    value: Any
    file: File
    location: Location

    @property
    def place(self) -> str:
        mark = place(self.file.root, self.location, key=True)
        return f"{self.file.name}:{mark.line}:{mark.column}"


class Names:
    """What the files of a folder declare, by name: ``brands``, ``markets``, ``regions``, ``providers``, ``events``,
    ``services``, ``cells``, and ``gitops``; of what is declared twice the first."""

    def __init__(self, files: Sequence[File], lost: Lost) -> None:
        self.files = files
        self._lost = lost
        self._duplicates: list[Problem] = []
        self.brands = self._section("brands")
        self.markets = self._section("markets")
        self.regions = self._section("regions")
        self.providers = self._section("providers")
        self.events = self._section("events")
        self.services = self._unique(
            "service",
            (
                (each.name, Declared(each, file, ("services", index, "name")))
                for file in files
                for index, each in enumerate(file.value.services)
            ),
        )
        self.cells = self._unique(
            "cell",
            (
                (each.name, Declared(each, file, ("cells", index)))
                for file in files
                for index, each in enumerate(file.value.cells)
            ),
        )
        self._once("defaults")
        self.gitops = self._once("gitops")
        self._data_namespaces = {
            each.value.data_namespace: f"for the stores of {name}" for name, each in self.cells.items()
        }

    def problems(self) -> list[Problem]:
        known: Mapping[str, Mapping[str, Declared]] = {
            "brand": self.brands,
            "market": self.markets,
            "region": self.regions,
            "service": self.services,
        }
        of_files = chain.from_iterable(self._of_file(file, known) for file in self.files)
        return [*self._duplicates, *of_files, *self._services(), *self._cells(), *_fixed(self.files)]

    def _of_file(self, file: File, known: Mapping[str, Mapping[str, Declared]]) -> Iterator[Problem]:
        for index, cell in enumerate(file.value.cells):
            for axis in ("brand", "market", "region"):
                yield from self._unknown(file, ("cells", index, axis), axis, getattr(cell, axis), known[axis])
            for number, name in enumerate(cell.services or ()):
                yield from self._unknown(file, ("cells", index, "services", number), "service", name, known["service"])
        for index, preset in enumerate(file.value.presets):
            if (called := preset.when.egress) is not None:
                yield from self._unknown(file, ("presets", index, "when", EGRESS), "provider", called, self.providers)
        for index, layer in enumerate(file.value.layers):
            at: Location = ("layers", index, "at")
            for axis, names in known.items():
                name = getattr(layer.at, axis)
                if name is not None:
                    yield from self._unknown(file, (*at, axis), axis, name, names)
            if layer.set is None and not layer.unset and not layer.patches:
                yield file.problem(("layers", index), "EMPTY", "says nothing", "give set, unset or patches")
            for number, patch in enumerate(layer.patches):
                others = [axis for axis, name in layer.at if name is not None and axis != "region"]
                if patch.of == "region" and others:
                    message = f"a region has it once, whatever {others[0]} the layer names"
                    yield file.problem((*at[:-1], "patches", number, "of"), "PATCH", message, "name the region alone")
            for number, path in enumerate(layer.unset):
                yield from _path_flaw(file, ("layers", index, "unset", number), path)
        for name, market in file.value.markets.items():
            yield from self._of_market(file, name, market)
        for name, region in file.value.regions.items():
            yield from self._of_region(file, name, region)
        for name in file.value.providers:
            yield from self._of_provider(file, name)
        for name, event in file.value.events.items():
            yield from self._of_event(file, name, event, known)
        if file.value.gitops is not None:
            yield from self._clusters(file, file.value.gitops, known["region"])

    def _clusters(self, file: File, wanted: GitOps, known: Mapping[str, Declared]) -> Iterator[Problem]:
        """A region has a cluster of its own: namespaces are called by brand and market only."""
        regions = {name: name for name in known if name not in wanted.clusters}
        for name, cluster in wanted.clusters.items():
            at: Location = ("gitops", "clusters", name)
            yield from self._unknown(file, at, "region", name, known)
            if (other := regions.setdefault(cluster, name)) != name:
                message = (
                    f"{cluster} is the cluster of region {other} already, and namespaces of cells would meet there"
                )
                yield file.problem(at, "CLUSTER", message, "name another cluster")

    def _of_region(self, file: File, name: str, region: Region) -> Iterator[Problem]:
        return (file.problem(("regions", name, *flaw.location), *flaw[1:]) for flaw in _region_flaws(region))

    def _of_provider(self, file: File, name: str) -> Iterator[Problem]:
        providers = {each: held.value for each, held in self.providers.items()}
        if self.providers[name].file is not file or self.is_lost("provider", str(providers[name].fallback)):
            return
        for flaw in provider_flaws(name, providers, {each: held.value for each, held in self.regions.items()}):
            yield file.problem(("providers", name, *flaw.location), *flaw[1:])

    def _of_event(
        self, file: File, name: str, event: Event, known: Mapping[str, Mapping[str, Declared]]
    ) -> Iterator[Problem]:
        at: Location = ("events", name)
        for axis, names in (("market", event.markets), ("brand", event.brands)):
            for number, each in enumerate(names):
                yield from self._unknown(file, (*at, f"{axis}s", number), axis, each, known[axis])
        for each in event.services:
            yield from self._unknown(file, (*at, "services", each), "service", each, known["service"])
        times = times_of(event)
        if isinstance(times, Flaw):
            yield file.problem((*at, *times.location), *times[1:])

    def _of_market(self, file: File, name: str, market: Market) -> Iterator[Problem]:
        for number, lock in enumerate(market.locks):
            yield from _path_flaw(file, ("markets", name, "locks", number, "path"), lock.path)
        rules = market.residency
        if rules is None:
            return
        at: Location = ("markets", name, "residency")
        lists: dict[Location, Sequence[str]] = {(*at, "regions"): rules.regions, (*at, "drRegions"): rules.dr_regions}
        for key, data in rules.classes.items():
            here = (*at, "classes", key)
            lists |= {
                (*here, "store"): data.store,
                (*here, "backup"): data.backup,
                (*here, "keys"): data.keys,
                (*here, "replicaRequired"): data.replica_required,
            }
        for location, regions in lists.items():
            for number, region in enumerate(regions):
                yield from self._unknown(file, (*location, number), "region", region, self.regions)
        for flaw in idle_keys(rules):
            yield file.problem((*at, *flaw.location), *flaw[1:], key=True)

    def _services(self) -> Iterator[Problem]:
        for name in (ALLOW_DNS, DEFAULT_DENY):
            if each := self.services.get(name):
                message = f"a wall of every cell is called {name}"
                yield each.file.problem(each.location, "NAME", message, "call the service something else")

    def _cells(self) -> Iterator[Problem]:
        hosts: dict[tuple[str, str], Declared] = {}
        for each in self.cells.values():
            cell: Cell = each.value
            if len(cell.name) > LONGEST_NAME:
                message = f"the name {cell.name} has {len(cell.name)} characters"
                yield each.file.problem(
                    each.location, "LENGTH", message, f"at most {LONGEST_NAME}: shorten brand or region"
                )
            if whose := self._owner(cell):
                message = f"its namespace would be {cell.namespace}, which is {whose}"
                yield each.file.problem(each.location, "NAMESPACE", message, "call the brand or the market otherwise")
            for number, host in enumerate(cell.hostnames):
                other = hosts.setdefault((cell.region, host), each)
                if other is not each:
                    message = f"{host} belongs to the cell at {other.place} already"
                    yield each.file.problem((*each.location, "hostnames", number), "HOSTNAME", message)
                elif host in cell.hostnames[:number]:
                    message = f"{host} stands here twice"
                    yield each.file.problem((*each.location, "hostnames", number), "HOSTNAME", message, "once will do")

    def _owner(self, cell: Cell) -> str:
        """Who else has the namespace of ``cell`` in its cluster, in words; "" when nobody does."""
        if cell.namespace.startswith("kube-"):
            return "for Kubernetes itself"
        if cell.region not in self.regions:
            return ""
        region: Region = self.regions[cell.region].value
        owners = {
            region.operator_namespace: "the operator's",
            region.monitoring_namespace: "for monitoring",
            region.gateway.runs_in(""): "for the gateway's pods",
            region.gateway.namespace: "the gateway's",
            region.traces.namespace if region.traces else None: "the collectors'",
            region.warm.namespace if region.warm else None: "for pods that keep room",
            region.http_add_on.namespace if region.http_add_on else None: "that of KEDA's HTTP add-on",
            **self._data_namespaces,
            **(
                dict.fromkeys(map(egress_namespace, get_args(ProviderClass)), "an egress gateway's")
                if region.egress
                else {}
            ),
        }
        operators = region.stores.operators if region.stores is not None else {}
        for engine in ENGINES:
            if (operator := operators.get(engine.KEY)) is not None:
                owners[operator.namespace] = f"{engine.OPERATOR}'s"
        if self.gitops is not None:
            owners[self.gitops.value.runs_in] = "for what applies the manifests"
        return owners.get(cell.namespace, "")

    def has_sound_region(self, name: str) -> bool:
        """Whether region ``name`` is declared, and nothing is wrong with it."""
        return name in self.regions and not any(True for _ in _region_flaws(self.regions[name].value))

    def is_lost(self, kind: str, name: str) -> bool:
        """Whether ``name`` may be declared where something else is wrong."""
        return self._lost.is_everything or (kind, name) in self._lost.names

    def _unknown(
        self, file: File, location: Location, kind: str, name: str, known: Mapping[str, Declared]
    ) -> Iterator[Problem]:
        if name not in known and not self.is_lost(kind, name):
            hint = did_you_mean(name, list(known)) or f"declare a {kind} first"
            yield file.problem(location, "UNKNOWN_NAME", f"{kind} {name!r} is not declared", hint)

    def _section(self, section: str) -> Mapping[str, Declared]:
        return self._unique(
            section.removesuffix("s"),
            (
                (name, Declared(value, file, (section, name)))
                for file in self.files
                for name, value in getattr(file.value, section).items()
            ),
        )

    def _once(self, section: str) -> Declared | None:
        """What stands in one file only."""
        every = ((section, Declared(getattr(file.value, section), file, (section,))) for file in self.files)
        return self._unique("section", (each for each in every if each[1].value is not None)).get(section)

    def _unique(self, kind: str, declared: Iterable[tuple[str, Declared]]) -> Mapping[str, Declared]:
        found: dict[str, Declared] = {}
        for name, each in declared:
            first = found.setdefault(name, each)
            if first is not each:
                message = f"{kind} {name!r} is declared at {first.place} already"
                self._duplicates.append(each.file.problem(each.location, "DUPLICATE_NAME", message, key=True))
        return found


def _region_flaws(region: Region) -> Iterator[Flaw]:
    """What of a region points to nothing. Locations are paths in it."""
    for key, held in region.stores.storage.items() if region.stores is not None else ():
        at: Location = ("stores", "storage", key, "pool")
        if held.pool is not None and held.pool not in region.pools:
            hint = did_you_mean(held.pool, list(region.pools)) or "declare it under pools of the region"
            yield Flaw(at, "UNKNOWN_NAME", f"pool {held.pool!r} is not declared", hint)
        elif held.pool is not None and region.pools[held.pool].spot:
            message = f"pool {held.pool} is spot capacity, which is not for what is stored"
            yield Flaw(at, "POOL", message, "name another pool")
    for name, pool in region.pools.items():
        if pool.warm_nodes and region.warm is None:
            message = "nothing keeps their room free"
            yield Flaw(("pools", name, "warmNodes"), "POOL", message, "give the region warm: {image: …}")


def _path_flaw(file: File, location: Location, path: str) -> Iterator[Problem]:
    try:
        parse_path(path, ServiceSpec)
    except UnknownName as error:
        yield file.problem(location, "UNKNOWN_PATH", error.message, error.hint)


def _fixed(files: Sequence[File]) -> Iterator[Problem]:
    """What defaults, presets and layers may not set."""
    for file in files:
        spots: list[Location] = [("defaults",)] if file.value.defaults is not None else []
        for section in ("presets", "layers"):
            spots += [(*location, "set") for location, _ in file.entries(section)]
        for spot in spots:
            if spot[-1] == "set" and "set" not in file.node(*spot[:-1]).children:
                continue
            for key in file.node(*spot).children:
                if key in FIXED:
                    message = f"{key} is what a service is by its declaration"
                    yield file.problem((*spot, key), "FIXED", message, "set it under services", key=True)
        for index, preset in enumerate(file.value.presets):
            at: Location = ("presets", index, "set")
            if preset.when.egress is not None and EGRESS in file.node(*at).children:
                message = f"{EGRESS} is what the preset goes by"
                yield file.problem((*at, EGRESS), "FIXED", message, "set it elsewhere", key=True)
    for file in files:
        for index, layer in enumerate(file.value.layers):
            for number, path in enumerate(layer.unset):
                if path.split(".")[0] in FIXED:
                    message = f"{path} is what a service is by its declaration"
                    yield file.problem(("layers", index, "unset", number), "FIXED", message)
