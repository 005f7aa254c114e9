"""What is right with a platform and somebody should still know, a sentence each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from croupier.model.kafka import Kafka
from croupier.model.mysql import Mysql
from croupier.model.platform import Market, PlacedCell, Region
from croupier.model.store import stores_of
from croupier.spec.config import config_notes
from croupier.spec.edge import gateway_notes
from croupier.spec.load import and_more
from croupier.spec.logs import log_notes
from croupier.spec.merge import Merged
from croupier.spec.mesh import mesh_notes
from croupier.spec.names import Names
from croupier.spec.providers import without_fallback


def notes(names: Names, cells: Sequence[PlacedCell], merged: Mapping[tuple[str, str], Merged]) -> Iterator[str]:
    """All of them. ``merged``: by name of cell and service."""
    yield from _declared(names, cells)
    yield from _awaited(cells, merged)
    yield from log_notes(cells, merged)
    yield from config_notes(cells, merged)
    yield from _alone(names, cells)
    yield from _unjudged(names, cells)


def _declared(names: Names, cells: Sequence[PlacedCell]) -> Iterator[str]:
    """Of markets and regions as they are declared."""
    of_region = by_region(cells)
    for name, each in names.markets.items():
        market: Market = each.value
        if market.residency is not None and market.residency.reviewed_on is None:
            yield f"residency of market {name} is not reviewed ({each.place}): {market.residency.source}"
        if market.residency is None and (kept := _kept(cells, name)):
            yield f"market {name} has no residency ({each.place}): nobody says where {', '.join(kept)} may be"
    for name, each in names.regions.items():
        region: Region = each.value
        if region.released_by != "croupier":
            yield f"no gate judges a release in region {name} ({each.place}): its Deployments roll by themselves"
        yield from gateway_notes(name, region, each.place, of_region.get(name, ()))
        yield from mesh_notes(name, region, each.place, of_region.get(name, ()))
        ahead = region.warm.ahead_minutes if region.warm is not None else None
        if ahead is not None and not any(pool.is_raised for pool in region.pools.values()):
            yield (
                f"aheadMinutes of region {name} raises no nodes ({each.place}): no pool that is not spot says what "
                "one of its nodes has (node)"
            )


def _alone(names: Names, cells: Sequence[PlacedCell]) -> Iterator[str]:
    """Services that have nobody to fall back to, although the provider names somebody."""
    for (service, name, fallback), where in sorted(without_fallback(cells).items()):
        at = names.providers[name].place
        here = and_more(where)
        yield f"nobody takes over from {name} ({at}) for {service} in {here}: it may not call {fallback}"


def _unjudged(names: Names, cells: Sequence[PlacedCell]) -> Iterator[str]:
    """Services that players feel, and whose releases are judged by errors alone."""
    found: dict[str, list[str]] = {}
    for placed in cells:
        for each in placed.services if placed.region.released_by == "croupier" else ():
            if not each.objectives and not each.release.gates:
                found.setdefault(each.name, []).append(placed.cell.name)
    for name, where in sorted(found.items()):
        yield (
            f"{name} has no objectives ({names.services[name].place}), so errors alone take a release of it "
            f"back in {and_more(where)}: policy check refuses that"
        )


def _kept(cells: Sequence[PlacedCell], market: str) -> list[str]:
    """Classes of data that services keep there."""
    here = (service for placed in cells if placed.cell.market == market for service in placed.services)
    return sorted({each for service in here for use in service.data.values() for each in use.classes})


def _awaited(cells: Sequence[PlacedCell], merged: Mapping[tuple[str, str], Merged]) -> Iterator[str]:
    """Passwords and certificates of rendered stores that nothing here brings."""
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for placed in cells:
        for store in stores_of(placed):
            for service in placed.services:
                if service.name in store.users and service.data[store.name].credentials is None:
                    said = merged[placed.cell.name, service.name].winner(("data", store.name))
                    what = (service.name, store.name, store.secret(service.name), said.place if said else "")
                    found.setdefault(what, []).append(placed.cell.data_namespace)
    uncertified: dict[tuple[str, str, str, str, str], list[str]] = {}
    for placed in cells:
        for store in stores_of(placed):
            if isinstance(store.engine, Kafka | Mysql) and store.engine.certificate is None:
                is_kafka = isinstance(store.engine, Kafka)
                made = ("Strimzi's", "cluster-ca-cert") if is_kafka else ("its operator's", "ssl-internal")
                said = merged[placed.cell.name, store.owner.name].winner(("data", store.name))
                which = (store.name, store.owner.name, said.place if said else "", *made)
                uncertified.setdefault(which, []).append(placed.cell.name)
    for (store_name, owner, at, maker, secret), where in uncertified.items():
        yield (
            f"{store_name} of {owner} ({at}) has certificates of {maker} making in {and_more(where)}: somebody else "
            f"brings ca.crt of the Secret {store_name}-{secret} to the pods"
        )
    for (service_name, store_name, secret, at), spaces in sorted(found.items()):
        yield (
            f"{service_name} has no credentials for store {store_name} ({at}): "
            f"somebody else makes the Secret {secret} in {and_more(spaces)}, and brings it to the pods"
        )


def by_region(cells: Iterable[PlacedCell]) -> dict[str, list[PlacedCell]]:
    found: dict[str, list[PlacedCell]] = {}
    for placed in cells:
        found.setdefault(placed.cell.region, []).append(placed)
    return found
