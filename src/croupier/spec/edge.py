"""Whether the gateway of a region can do what is asked of it, and whether that does no harm (S7.5, S8, S16.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from croupier.model.edge import RouteRetries
from croupier.model.gateway import GATEWAY_API, MOST_LISTENERS, SAYS, Feature, Gateway, Target, able
from croupier.model.platform import PlacedCell, Region
from croupier.model.service_spec import ServiceSpec
from croupier.spec.load import Flaw, Location, did_you_mean

RETIRED = "ingress-nginx was retired in March 2026 and is mended no more"
_LONGEST_FIRST: tuple[Target, ...] = (*GATEWAY_API, "nginxIngress")


def edge_flaws(service: ServiceSpec, region: Region, name: str) -> Iterator[Flaw]:
    """What is wrong with ``edge`` of a service that players reach in the region ``name``. Locations are paths in it."""
    if not service.is_reached:
        return
    edge, target = service.edge, region.gateway.target
    for location, feature in _asked(service, region):
        others = able(feature, region.released_by)
        if target not in others:
            here = f"the gateway of region {name}, {target}, cannot be told"
            if target in SAYS[feature]:
                here = f"the gateway of region {name}, {target}, cannot be told where croupier releases"
            hint = f"{', '.join(others)} can"
            if location == ("traffic",):
                hint += "; where any pod will do, say edge.sticky: {by: nothing}"
            yield Flaw(location, "TARGET", f"{here}: {feature}", hint)
    if edge.retries is not None:
        yield from retries_flaws(service, edge.retries, ("edge", "retries"), service.timeout_seconds)
    if (tls := edge.backend_tls) is not None:
        known = [each.name for each in service.ports]
        if tls.port not in known:
            hint = did_you_mean(tls.port, known) or f"ports has {', '.join(known)}"
            yield Flaw(("edge", "backendTls", "port"), "UNKNOWN_NAME", f"port {tls.port!r} is not declared", hint)
        elif tls.port == "http":
            message = "probes and counters are asked in the clear at port http"
            yield Flaw(("edge", "backendTls", "port"), "PORT", message, "give TLS a port of its own")
        if tls.ca is None and target == "istio":
            message = "istio needs ca: the Secret with who has signed the certificates"
            yield Flaw(("edge", "backendTls"), "TARGET", message, f"{', '.join(GATEWAY_API)} do without")


def retries_flaws(service: ServiceSpec, retries: RouteRetries, at: Location, most_seconds: float) -> Iterator[Flaw]:
    """What is wrong with how a service is asked again, within ``most_seconds`` (S7.5, S16.4)."""
    if service.tier == "money" and not retries.idempotent:
        message = "orders of money would be sent again that may have been booked"
        hint = "take retries away, or, where every order bears a key and is booked once, say idempotent: true"
        yield Flaw(at, "RETRIES", message, hint)
    if (retries.attempts + 1) * retries.per_try_seconds > most_seconds:
        message = f"{retries.attempts + 1} times {retries.per_try_seconds:g} s do not fit into timeoutSeconds"
        yield Flaw(at, "RETRIES", f"{message} {most_seconds:g}", "lower perTrySeconds or attempts")


def route_flaws(services: Sequence[ServiceSpec], target: Target) -> Iterator[tuple[ServiceSpec, Flaw]]:
    """Routes that lie in those of another service, where the gateway would not try the longer one first (S8.1).

    Istio joins the VirtualServices of a host in no order that anybody could rely on; only what takes everything, ``/``,
    comes last.
    """
    if target != "istio":
        return
    reached = [(each, route) for each in services if each.is_reached for route in each.routes]
    for service, route in reached:
        for other, wider in reached:
            if other is not service and wider not in ("/", route) and route.startswith(wider):
                message = f"{route!r} lies in {wider!r} of {other.name}, and {target} may ask that first"
                at = ("routes", service.routes.index(route))
                yield service, Flaw(at, "TARGET", message, f"{', '.join(_LONGEST_FIRST)} try the longer one first")
                break


def _asked(service: ServiceSpec, region: Region) -> Iterator[tuple[Location, Feature]]:
    edge = service.edge
    if edge.hsts is not None:
        yield ("edge", "hsts"), "edge.hsts"
    if edge.rate_limit is not None:
        by_address = edge.rate_limit.by == "address"
        yield ("edge", "rateLimit"), "edge.rateLimit by address" if by_address else "edge.rateLimit"
    if edge.retries is not None:
        yield ("edge", "retries"), "edge.retries"
    if edge.breaker is not None:
        yield ("edge", "breaker"), "edge.breaker"
    if edge.backend_tls is not None:
        yield ("edge", "backendTls"), "edge.backendTls"
    if service.intercepted is not None and region.released_by == "kubernetes":
        yield ("scaling", "trigger"), "scaling.trigger http"
    if service.sticky is not None:
        yield ("edge", "sticky") if edge.sticky is not None else ("traffic",), "edge.sticky"


def gateway_flaw(name: str, gateway: Gateway, cells: Iterable[PlacedCell]) -> Flaw | None:
    """Why the Gateway of region ``name`` could not be rendered; None: it can. The location is in the region."""
    count = 1 + sum(len(each.cell.hostnames) for each in cells)
    if gateway.class_name is None or count <= MOST_LISTENERS:
        return None
    message = f"the Gateway of {name} would have {count} listeners, and may have {MOST_LISTENERS}"
    return Flaw(("gateway", "className"), "GATEWAY", message, "give cells fewer hostnames, or make it yourself")


def gateway_notes(name: str, region: Region, place: str, cells: Iterable[PlacedCell]) -> Iterator[str]:
    """What somebody should know of the gateway of a region that is declared at ``place``."""
    gateway, here = region.gateway, list(cells)
    if gateway.target == "nginxIngress":
        others = ", ".join(able("releasedBy: croupier", "croupier"))
        yield f"region {name} has nginxIngress ({place}): {RETIRED}. croupier moves weights of {others}"
    if here and gateway.issuer is None and (gateway.is_rendered or gateway.target == "nginxIngress"):
        space = gateway.namespace if gateway.is_rendered else here[0].cell.namespace
        if gateway.target == "istio":
            space = gateway.runs_in("")
        more = f" and {len(here) - 1} more" if len(here) > 1 else ""
        where = f"{here[0].cell.certificate} in {space}{more}"
        yield f"the gateway of region {name} has no issuer ({place}): somebody else makes the Secrets {where}"
    money = [each.name for placed in here for each in placed.services if each.is_reached and each.tier == "money"]
    if gateway.target == "istioGateway" and money:
        yield (
            f"Istio repeats requests by itself, also after 503, and no route of region {name} can say no ({place}): "
            f"set meshConfig.defaultHttpRetryPolicy.attempts: 0, for {min(money)} moves money"
        )
