"""What services that run side by side owe each other, on the stand and in a cell."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from croupier.model.service import TIMED, Service
from croupier.spec.load import Flaw, did_you_mean

_ROUTE = re.compile(r"([-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+")
_LONGEST_ROUTE = 1024
_NOT_IN_ROUTES = re.compile(r"//|/\.\.?/|%2f", re.IGNORECASE)
"""What the Gateway API takes as a prefix of paths (HTTPPathMatch), and what not."""


def service_flaws(
    services: Sequence[Service], elsewhere: Collection[str] = (), beside: Collection[str] = ()
) -> Iterator[Flaw]:
    """Names are unique, dependencies declared, routes whole segments and nobody else's, objectives have their bound.

    Locations begin with ``services`` and the index of the service. ``elsewhere``: names that are declared, and of which
    none is among ``services``. ``beside``: names of those that run there too, and cannot be looked at.
    """
    names = [service.name for service in services]
    owners: dict[str, str] = {}
    for index, service in enumerate(services):
        at = ("services", index)
        if service.name in names[:index]:
            yield Flaw((*at, "name"), "DUPLICATE_NAME", f"service {service.name!r} is declared twice")
        for number, needed in enumerate(service.depends_on):
            if needed not in names and needed not in beside:
                yield Flaw(
                    (*at, "dependsOn", number),
                    "UNKNOWN_NAME",
                    f"{needed!r} does not run in the cell" if needed in elsewhere else f"{needed!r} is not declared",
                    did_you_mean(needed, [*names, *beside]),
                )
        for number, route in enumerate(service.routes):
            if not (route.startswith("/") and route.endswith("/")):
                yield Flaw((*at, "routes", number), "ROUTE", f"{route!r} must start and end with /")
            elif not _ROUTE.fullmatch(route) or _NOT_IN_ROUTES.search(route) or len(route) > _LONGEST_ROUTE:
                yield Flaw((*at, "routes", number), "ROUTE", f"{route!r} is not a path as the Gateway API takes it")
            elif route in owners:
                yield Flaw((*at, "routes", number), "ROUTE", f"{route!r} belongs to {owners[route]} already")
            owners.setdefault(route, service.name)
        for number, objective in enumerate(service.objectives):
            wanted = "p95Seconds" if objective.signal in TIMED else "successRatio"
            given = {"p95Seconds": objective.p95_seconds, "successRatio": objective.success_ratio}
            if [key for key, value in given.items() if value is not None] != [wanted]:
                yield Flaw(
                    (*at, "objectives", number), "OBJECTIVE", f"{objective.signal} needs {wanted} and nothing else"
                )
