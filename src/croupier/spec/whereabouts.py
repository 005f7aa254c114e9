"""Where players' data is, for whoever has to show it: the places that ``residency.py`` holds against a market's rules.

A platform that can be read has no place that its market forbids; what this tells are those that there are, and where
nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from croupier.model.data import DataUse
from croupier.model.platform import DataClass, Market, PlacedCell
from croupier.model.whereabouts import MarketWhereabouts, What, Whereabout, Whereabouts
from croupier.spec.cells import Described
from croupier.spec.residency import TELEMETRY

Place = tuple[str, What, str, tuple[str, ...] | None]
"""Class, what it is, region, where it may be (None: nothing is said)."""


def whereabouts(described: Described) -> Whereabouts:
    """All places by market; markets without a cell have none."""
    return Whereabouts(
        markets=tuple(
            _of_market(name, declared.value, declared.place, described)
            for name, declared in sorted(described.names.markets.items())
        )
    )


def _of_market(name: str, market: Market, place: str, described: Described) -> MarketWhereabouts:
    found: dict[Place, list[str]] = {}
    for placed in described.cells:
        if placed.cell.market == name:
            for each, whose in _of_cell(placed):
                found.setdefault(each, []).append(f"{whose} in {placed.cell.name}")
    rules = market.residency
    return MarketWhereabouts(
        market=name,
        title=market.title,
        place=place,
        source=rules.source if rules is not None else None,
        reviewed_on=str(rules.reviewed_on) if rules is not None and rules.reviewed_on is not None else None,
        places=tuple(
            Whereabout(data=data, what=what, where=where, allowed=allowed, of=tuple(of))
            for (data, what, where, allowed), of in sorted(found.items(), key=lambda each: _order(each[0]))
        ),
    )


def _order(place: Place) -> tuple[str, int, str]:
    data, what, where, _ = place
    return data, get_args(What).index(what), where


def _of_cell(placed: PlacedCell) -> Iterator[tuple[Place, str]]:
    """Each place, and whose data is there."""
    home, rules = placed.cell.region, placed.market.residency
    told = (rules.classes.get(TELEMETRY) or DataClass(store=(home,))).store if rules is not None else None
    for service in placed.services:
        for name, use in service.data.items():
            if use.of is None:  # who owns the store says where it is
                for each in use.classes:
                    for place in _of_class(placed, use, each):
                        yield place, f"{service.name}.{name}"
        yield (TELEMETRY, "logs", service.telemetry.logs or home, told), service.name
        yield (TELEMETRY, "traces", service.telemetry.traces or home, told), service.name
        for name in service.egress:
            allowed = (rules.providers or None) if rules is not None else None
            yield ("what is sent", "provider", placed.providers[name].region, allowed), f"{service.name} to {name}"


def _of_class(placed: PlacedCell, use: DataUse, name: str) -> Iterator[Place]:
    rules = placed.market.residency
    given = rules.classes[name] if rules is not None else None
    store = given.store if given is not None else None
    primary = use.region or placed.cell.region
    yield name, "primary", primary, store
    for region in use.replicas:
        yield name, "replica", region, store
    if use.dr is not None:
        refuges = tuple(each for each in rules.dr_regions if each in (store or ())) if rules is not None else None
        yield name, "disaster", use.dr, refuges
    if use.engine is not None and not use.engine.IS_BACKED_UP:
        return
    backups = (given.backup or given.store) if given is not None else None
    keys = (given.keys or given.store) if given is not None else None
    yield name, "backup", use.backup or primary, backups
    if use.dr_backup is not None:
        yield name, "disaster backup", use.dr_backup, backups
        yield name, "keys", use.dr_backup, keys  # an archive is encrypted where it is
    yield name, "keys", use.keys or primary, keys
    stores = placed.region.stores
    if use.engine and use.keys is None and use.backup and (stores is None or stores.kms_key is None):
        yield name, "keys", use.backup, keys  # the object store encrypts with its own, where it is
