"""Whether the nodes of a region have room for what is sent there (S6.4, S6.5, S13.1).

Each pod has to fit on one node of its pool, and all together at their greatest on all that the pool grows to. What one
service may come to is the sum that its connections to databases go by (``model/connections.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

from croupier.model.connections import Demand
from croupier.model.container import Resources
from croupier.model.nodes import Node, NodePool
from croupier.model.platform import PlacedCell, Region
from croupier.model.quantity import size
from croupier.model.service_spec import ServiceSpec
from croupier.model.store import agent_of, demand_of, stores_of
from croupier.spec.load import Flaw, Location

SPARE_DESCRIPTORS = 256
"""Of a process beside what players hold: its files, its pools of connections, whoever scrapes and probes it."""
_MEBIBYTE = 2**20
_MOST_TOLD = 3


class _Ask(NamedTuple):
    """What one workload may come to on a pool."""

    name: str
    demand: Demand
    cpu: Fraction
    memory: Fraction

    def of(self, resource: str) -> Fraction:
        each = {"cpu": self.cpu, "memory": self.memory}.get(resource, Fraction(1))
        return self.demand.most_pods * each

    def told(self, resource: str) -> str:
        pods = self.demand.told_pods(self.name)
        return (
            pods if resource == "pods" else f"{pods} × {_amount(resource, self.of(resource) / self.demand.most_pods)}"
        )


def pod_flaws(placed: PlacedCell) -> Iterator[tuple[ServiceSpec, Flaw]]:
    """Services of ``placed`` of which not one pod fits on a node, or too many; locations are paths in the service."""
    for service in placed.services:
        pool = placed.region.pool_of(service)
        if pool is not None and pool.node is not None:
            called = _name(placed.region, pool)
            too_large = _too_large(service.resources, pool.node, called, ("resources",))
            yield from ((service, flaw) for flaw in too_large)
            yield from ((service, flaw) for flaw in _too_many_sockets(service, pool.node, called))
    for store in stores_of(placed):
        for region in (placed.cell.region, *store.use.copies):
            where = placed.where(region) if region == placed.cell.region or region in placed.elsewhere else None
            pool = _pool_of_storage(where, store.engine.storage) if where is not None else None
            if where is not None and pool is not None and pool.node is not None:
                at = ("data", store.name, store.engine.KEY, "resources")
                for flaw in _too_large(store.engine.resources, pool.node, _name(where, pool), at):
                    yield store.owner, flaw


def pool_flaws(cells: Iterable[PlacedCell], regions: Mapping[str, Region]) -> Iterator[tuple[str, Flaw]]:
    """Regions, and their pools that could not grow enough; locations are paths in the region."""
    sent: dict[tuple[str, str], list[_Ask]] = {}
    for placed in cells:
        for where, ask in _asks(placed, regions):
            sent.setdefault(where, []).append(ask)
    for (region, name), asks in sent.items():
        pool = regions[region].pools[name]
        if pool.node is None or pool.max_nodes is None:
            continue
        room = {"cpu": size(pool.node.cpu), "memory": size(pool.node.memory), "pods": Fraction(pool.node.pods)}
        for resource, each in room.items():
            nodes = pool.max_nodes - pool.warm_nodes
            asked, fits = sum(ask.of(resource) for ask in asks), each * nodes
            if asked > fits:
                held = f"{_amount(resource, fits)} fit on {nodes} nodes of {_amount(resource, each)}"
                held += f" beside {pool.warm_nodes} kept warm" if pool.warm_nodes else ""
                message = f"{resource}: {_sum(asks, resource)} = {_amount(resource, Fraction(asked))}, {held}"
                hint = "raise maxNodes, take larger nodes, or lower scaling.max of the largest"
                yield region, Flaw(("pools", name, "maxNodes"), "POOL", message, hint)


def _asks(placed: PlacedCell, regions: Mapping[str, Region]) -> Iterator[tuple[tuple[str, str], _Ask]]:
    """Region and pool, and what is sent there."""
    cell = placed.cell.name
    for service in placed.services:
        pool = placed.region.pool_of(service)
        if pool is not None:
            held = (service.resources, agent_of(placed, service), placed.region.proxy)
            containers = (each for each in held if each is not None)
            ask = _ask(f"{service.name} in {cell}", demand_of(placed, service), *containers)
            yield (placed.cell.region, _name(placed.region, pool)), ask
    for store in stores_of(placed):
        for region in (placed.cell.region, *store.use.copies):
            where = regions.get(region)
            pool = _pool_of_storage(where, store.engine.storage) if where is not None else None
            if where is not None and pool is not None:
                most = Demand(store.engine.pods, 0, 1, 1)
                yield (region, _name(where, pool)), _ask(f"{store.name} of {cell}", most, store.engine.resources)


def _ask(name: str, most: Demand, *containers: Resources) -> _Ask:
    cpu, memory = (sum((size(getattr(each, key)) for each in containers), Fraction(0)) for key in ("cpu", "memory"))
    return _Ask(name, most, cpu, memory)


def _name(region: Region, pool: NodePool) -> str:
    return next(name for name, each in region.pools.items() if each is pool)


def _pool_of_storage(region: Region, storage: str) -> NodePool | None:
    held = region.stores.storage.get(storage) if region.stores is not None else None
    return region.pools.get(held.pool) if held is not None and held.pool is not None else None


def _too_large(resources: Resources, node: Node, pool: str, at: Location) -> Iterator[Flaw]:
    for resource in ("cpu", "memory"):
        asked, has = getattr(resources, resource), getattr(node, resource)
        if size(asked) > size(has):
            message = f"a pod asks for {asked} of {resource}, and a node of pool {pool} has {has}"
            yield Flaw((*at, resource), "POOL", message, "ask for less, or take larger nodes")


def _too_many_sockets(service: ServiceSpec, node: Node, pool: str) -> Iterator[Flaw]:
    """Kubernetes has no field for descriptors, and its scheduler knows of no connections: the numbers have to fit."""
    at = ("sockets",)
    if service.sockets is None:
        if service.traffic == "websocket" and (node.descriptors or node.connections):
            message = f"pool {pool} says how many connections its nodes hold, and nobody how many a pod takes"
            yield Flaw(at, "SOCKETS", message, "give sockets: connections that players hold to one pod at most")
        return
    needed = service.sockets + SPARE_DESCRIPTORS
    if node.descriptors is not None and needed > node.descriptors:
        message = (
            f"a pod takes {service.sockets} connections and {SPARE_DESCRIPTORS} descriptors beside them, and a "
            f"process on a node of pool {pool} has {node.descriptors}"
        )
        yield Flaw(at, "SOCKETS", message, "lower sockets, or raise the limit in the node's container runtime")
    here = min(
        node.pods,
        int(size(node.cpu) / size(service.resources.cpu)),
        int(size(node.memory) / size(service.resources.memory)),
    )
    if node.connections is not None and here * service.sockets > node.connections:
        message = (
            f"{here} pods fit on a node of pool {pool}: {here} × {service.sockets} = {here * service.sockets} "
            f"connections, and it keeps track of {node.connections}"
        )
        yield Flaw(at, "SOCKETS", message, "ask for more cpu or memory, lower sockets, or raise nf_conntrack_max")


def _sum(asks: Iterable[_Ask], resource: str) -> str:
    largest = sorted(asks, key=lambda ask: (-ask.of(resource), ask.name))
    words = " + ".join(ask.told(resource) for ask in largest[:_MOST_TOLD])
    return f"{words} + {len(largest) - _MOST_TOLD} more" if len(largest) > _MOST_TOLD else words


def _amount(resource: str, amount: Fraction) -> str:
    if resource == "memory":
        return f"{float(amount / _MEBIBYTE):.0f}Mi"
    return f"{float(amount):g}"
