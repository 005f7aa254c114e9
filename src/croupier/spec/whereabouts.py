"""Where players' data is, for whoever has to show it: the places (``places.py``) that a market's rules are held to.

A platform that can be read has no place that its market forbids; what this tells are those that there are, and where
nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from croupier.model.platform import Market, PlacedCell
from croupier.model.service_spec import ServiceSpec
from croupier.model.whereabouts import MarketWhereabouts, What, Whereabout, Whereabouts
from croupier.spec.cells import Described
from croupier.spec.places import DataPlace, data_places

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
    regions = {placed.cell.region: placed.region, **placed.elsewhere}
    keyed = {name for name, each in regions.items() if each.stores is not None and each.stores.kms_key}
    providers = {name: each.region for name, each in placed.providers.items()}
    for service in placed.services:
        for each in data_places(placed.cell, service, placed.market.residency, providers=providers, keyed=keyed):
            allowed = None if each.allowed is None else tuple(each.allowed)
            yield (each.data, each.what, each.where, allowed), _whose(service, each)


def _whose(service: ServiceSpec, place: DataPlace) -> str:
    if place.what == "provider":
        return f"{service.name} to {place.whose}"
    return f"{service.name}.{place.whose}" if place.whose else service.name
