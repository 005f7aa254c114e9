"""Whether requests of a service may go by the interceptor of KEDA's HTTP add-on, and come back (S6.2, S7.5).

What holds of the add-on is from the source of its version 0.12.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from croupier.model.interceptor import Http
from croupier.model.platform import PlacedCell
from croupier.model.service_spec import ServiceSpec
from croupier.spec.load import Flaw, Location, did_you_mean

TRIGGER: Location = ("scaling", "trigger")
_CUT = "an interceptor that ends cuts what is under way"
_OTHERS = "a trigger of kind prometheus counts what the gateway counts, and nobody stands between"


def http_flaws(placed: PlacedCell, beside: Collection[str] = ()) -> Iterator[tuple[ServiceSpec, Flaw]]:
    """Services and what is wrong with them; locations are paths in each. ``beside``: services of the cell that cannot
    be looked at."""
    for service in placed.services if placed.region.released_by == "kubernetes" else ():
        if (http := service.intercepted) is not None:
            for flaw in (*_by_whom(placed, service), *_of_whom(placed, service, http), *_around(service, http)):
                yield service, flaw
            if http.fallback is not None and http.fallback not in beside:
                yield from ((service, flaw) for flaw in _instead(placed, service, http.fallback))


def _by_whom(placed: PlacedCell, service: ServiceSpec) -> Iterator[Flaw]:
    """Whether there is an interceptor that requests could go by."""
    region, name = placed.region, placed.cell.region
    if region.http_add_on is None:
        message = f"nobody counts requests in region {name}"
        yield Flaw(TRIGGER, "TRIGGER", message, "give the region httpAddOn, where KEDA's HTTP add-on is installed")
    if region.mesh is not None:
        message = f"pods of region {name} answer to its mesh only, and the interceptor is outside"
        yield Flaw(TRIGGER, "TRIGGER", message, _OTHERS)
    if not service.is_reached:
        message = f"no player reaches {service.name}, so nothing comes by the interceptor"
        yield Flaw(TRIGGER, "TRIGGER", message, "give it routes, or another trigger or metric")


def _of_whom(placed: PlacedCell, service: ServiceSpec, http: Http) -> Iterator[Flaw]:
    """Whose requests may be held, and cut when an interceptor ends: it waits for none that is under way."""
    if service.tier == "money":
        yield Flaw(TRIGGER, "TRIGGER", f"{_CUT}: an order is booked, and its answer is lost", _OTHERS)
    if service.traffic == "websocket":
        message = f"{_CUT}: every connection at once, and its pods come and go with load"
        yield Flaw(TRIGGER, "TRIGGER", message, "give scaling a metric that counts connections, like sockets_per_pod")
    scaling = service.scaling
    assert scaling is not None
    callers = ", ".join(each.name for each in placed.services if service.name in each.depends_on)
    if callers and scaling.min == 0:
        message = f"{callers} would find no pod: calls in the cell do not come by the interceptor, and start none"
        yield Flaw(("scaling", "min"), "TRIGGER", message, "keep one pod at least")
    elif callers and scaling.cpu_percent is None:
        message = f"calls of {callers} do not come by the interceptor, and nobody counts them"
        yield Flaw(TRIGGER, "TRIGGER", message, "give scaling cpuPercent, too, or a trigger of kind prometheus")
    if scaling.min == 0 and http.held_seconds < service.start_seconds:
        message = (
            f"the first request is held for {http.held_seconds} s, and a pod may start for {service.start_seconds}"
        )
        yield Flaw((*TRIGGER, "coldStartSeconds"), "TRIGGER", message, "raise coldStartSeconds, or lower startSeconds")


def _around(service: ServiceSpec, http: Http) -> Iterator[Flaw]:
    """What a gateway cannot do for pods that it does not see."""
    edge = service.edge
    why = "the gateway sees pods of the interceptor, and none of the service"
    if service.sticky is not None and service.traffic != "websocket":
        yield Flaw(("edge", "sticky"), "TRIGGER", why, "take sticky away, or give another trigger or metric")
    if edge.breaker is not None:
        message = f"{why}: it would leave out those that pass on what others failed at"
        yield Flaw(("edge", "breaker"), "TRIGGER", message, "take breaker away, or give another trigger or metric")
    if edge.backend_tls is not None:
        message = f"{why}, which asks them in the clear"
        yield Flaw(
            ("edge", "backendTls"), "TRIGGER", message, "take backendTls away, or give another trigger or metric"
        )
    if edge.retries is not None and edge.retries.per_try_seconds <= http.held_seconds:
        message = f"a try ends after {edge.retries.per_try_seconds:g} s, and may be held for {http.held_seconds}"
        yield Flaw(("edge", "retries", "perTrySeconds"), "TRIGGER", message, "raise it, or take retries away")


def _instead(placed: PlacedCell, service: ServiceSpec, name: str) -> Iterator[Flaw]:
    """Whether the service ``name`` can answer for ``service``."""
    at = (*TRIGGER, "fallback")
    others = {each.name: each for each in placed.services if each is not service}
    if name == service.name:
        yield Flaw(at, "TRIGGER", f"{name} cannot answer for itself", "name another service, or leave it out")
    elif name not in others:
        hint = did_you_mean(name, list(others)) or f"those that do: {', '.join(sorted(others))}"
        yield Flaw(at, "UNKNOWN_NAME", f"{name!r} does not run in the cell", hint)
    elif (scaling := others[name].scaling) is not None and scaling.min == 0:
        yield Flaw(at, "TRIGGER", f"{name} may have no pod either", "name a service that keeps one")
    elif others[name].tier == "money":
        yield Flaw(at, "TRIGGER", f"{_CUT}, and {name} is money", "name a service that is not")
