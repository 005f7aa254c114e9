"""Whether services of a region can live in its mesh, and whom else it has to take in (S8.6-S8.8)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from croupier.model.mesh import PROXY_USER
from croupier.model.platform import PlacedCell, Region
from croupier.model.service_spec import ServiceSpec
from croupier.spec.edge import retries_flaws
from croupier.spec.load import Flaw


def mesh_flaws(service: ServiceSpec, region: Region, name: str) -> Iterator[Flaw]:
    """What is wrong with a service in the region ``name``. Locations are paths in it."""
    has_sidecars = region.mesh is not None and region.mesh.has_sidecars
    if service.calls is not None and not has_sidecars:
        message = f"nobody stands between callers and pods in region {name} who could be told"
        yield Flaw(("calls",), "MESH", message, "give the region mesh: {mode: sidecar}, or take calls away")
    if service.calls is not None and service.calls.retries is not None:
        most = service.calls.timeout_seconds or service.timeout_seconds
        yield from retries_flaws(service, service.calls.retries, ("calls", "retries"), most)
    if not has_sidecars:
        return
    if service.user == PROXY_USER:
        message = f"sidecars run as user {PROXY_USER}, and carry nothing of whoever else does"
        yield Flaw(("user",), "MESH", message, "let it run as another")
    if service.edge.backend_tls is not None:
        message = "its sidecar takes TLS of the mesh at every port, and the gateway speaks that already"
        yield Flaw(("edge", "backendTls"), "MESH", message, "take backendTls away")
    pods = service.release.metrics.pods
    if pods is not None and pods.port == service.port and _readers(region):
        readers = " and ".join(_readers(region))
        message = f"counters at port http are read by TLS of the mesh only, and nobody has a sidecar in {readers}"
        hint = "give them a port of their own (release.metrics.pods.port), which stays open to who reads them"
        yield Flaw(("release", "metrics", "pods", "port"), "MESH", message, hint)


def mesh_notes(name: str, region: Region, place: str, cells: Iterable[PlacedCell]) -> Iterator[str]:
    """What somebody should know of the mesh of a region that is declared at ``place``: namespaces that they have to
    take into it, and what it does to calls unasked."""
    here = list(cells)
    if region.mesh is None or not here:
        return
    if region.mesh.has_sidecars:
        yield from _split_notes(name, region, place, here)
        return
    shared = [
        each
        for placed in here
        for each in placed.services
        if each.release.metrics.pods is not None and each.release.metrics.pods.port == each.port
    ]
    outside = set(_readers(region)) if shared else set()
    gateway = region.gateway
    if not gateway.is_of_istio and not (gateway.makes_namespace and gateway.runs_in("") == gateway.namespace):
        outside |= {space for placed in here if (space := gateway.runs_in("")) != placed.cell.namespace and space}
    if outside:
        said = ", ".join(sorted(outside))
        yield (
            f"pods of region {name} answer to the mesh only ({place}): label the namespaces {said} "
            "istio.io/dataplane-mode: ambient, too"
        )


def _split_notes(name: str, region: Region, place: str, cells: Iterable[PlacedCell]) -> Iterator[str]:
    """Of the routes by which croupier's operator splits callers in cells."""
    if region.released_by != "croupier":
        return
    called = [(placed, each) for placed in cells for each in placed.services if placed.is_called(each)]
    at_once = {each.name for placed, each in called if not placed.splits_calls(each)}
    if at_once:
        yield (
            f"callers of {', '.join(sorted(at_once))} in region {name} move all at once, when a release has the "
            f"players ({place}): a route that splits them cannot hold calls.retries"
        )
    money = {each.name for placed, each in called if each.tier == "money"} - at_once
    if money:
        yield (
            f"Istio repeats calls by itself, also after 503, and no route that splits callers in region {name} can say "
            f"no ({place}): set meshConfig.defaultHttpRetryPolicy.attempts: 0, for {min(money)} moves money"
        )


def _readers(region: Region) -> list[str]:
    """Namespaces of those who read counters of pods."""
    operator = region.operator_namespace if region.released_by == "croupier" else None
    return [each for each in (operator, region.monitoring_namespace) if each is not None]
