"""Whether what a service listens on is reached, grows with who comes, and is replaced as asked (S4.2, S6.1, S16.5)."""

from __future__ import annotations

from collections.abc import Iterator

from croupier.model.platform import Region
from croupier.model.service_spec import ServiceSpec
from croupier.spec.load import Flaw


def front_flaws(service: ServiceSpec, region: Region, name: str) -> Iterator[Flaw]:
    """What is wrong with a service in the region ``name``. Locations are paths in it."""
    yield from _dead_ports(service, region, name)
    scaling = service.scaling
    if service.traffic != "batch" and scaling is not None and scaling.metric is None and scaling.trigger is None:
        message = "CPU rises when those who ask wait already, and nothing counts them"
        hint = "give scaling a metric, like rps_per_pod, or a trigger"
        if service.traffic == "websocket":
            message = "who holds a connection and says nothing takes no CPU: pods are full before it rises"
            hint = "give scaling a metric that counts connections, like sockets_per_pod"
        yield Flaw(("scaling",), "SCALING", message, hint)
    if service.rollout is not None and region.released_by == "croupier":
        message = f"region {name} is released by croupier, which rolls nothing: a version has pods of its own"
        yield Flaw(("rollout",), "ROLLOUT", message, "take it away, or give releasedBy: kubernetes")
    elif service.rollout is not None and service.volumes:
        message = "pods with disks of their own are replaced one after the other"
        yield Flaw(("rollout",), "ROLLOUT", message, "take it away")


def _dead_ports(service: ServiceSpec, region: Region, name: str) -> Iterator[Flaw]:
    """Where croupier releases, its operator makes Services, and they have ``http``, and TLS, and nothing else."""
    tls = service.edge.backend_tls
    # A port that TLS is to come to by a name that none has is told already.
    is_told = tls is not None and tls.port not in {each.name for each in service.ports}
    for at, port in enumerate(service.ports) if region.released_by == "croupier" and not is_told else ():
        if port in service.spare_ports:
            message = f"nobody reaches port {port.name} in region {name}: players and callers come to http"
            hint = "take it away and answer at http, or give releasedBy: kubernetes, where callers in the cell reach it"
            yield Flaw(("ports", at), "PORT", message, hint)
