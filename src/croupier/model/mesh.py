"""A mesh that carries calls between pods of a region, by TLS with a certificate of each service's own (S8.5-S8.8).

Field names are the keys of the platform file; ``docs/reference/platform.md`` is made from this module.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.base import Name, Value
from croupier.model.container import Resources
from croupier.model.edge import RouteBreaker, RouteRetries

PROXY_USER = 1337
"""The user that sidecars of Istio run as: what a pod sends as that user, they do not carry."""
TUNNEL = 15_008
"""Where pods in ambient mode are asked, whatever port is meant (HBONE)."""
CONTROL = 15_012
"""Where sidecars ask Istio's control plane for certificates and configuration."""
PROBED_FROM = "169.254.7.127/32"
"""Whom kubelet's probes come from in ambient mode (Istio, "Ambient and Kubernetes NetworkPolicy")."""


class Mesh(Value):
    """The mesh of a region, which somebody else has installed. Pods of its cells speak to each other by TLS and nothing
    else, and each shows who it is (S8.8)."""

    kind: Literal["istio"] = "istio"
    mode: Literal["ambient", "sidecar"] = "ambient"
    """``ambient``: a proxy a node carries calls, and pods stay as they are. ``sidecar``: a proxy a pod, which holds to
    ``calls`` of services and knows providers, too."""
    namespace: Name = "istio-system"
    """Where its control plane runs."""
    revision: Name | None = None
    """Of ``sidecar``: which of several control planes. None: the only one."""
    proxy: Resources = Resources(cpu="100m", memory="128Mi")
    """Of each sidecar: counted where cells and nodes are filled."""

    @property
    def has_sidecars(self) -> bool:
        return self.mode == "sidecar"

    @property
    def labels(self) -> dict[str, str]:
        """Of a namespace whose pods are in it."""
        if not self.has_sidecars:
            return {"istio.io/dataplane-mode": "ambient"}
        return {"istio.io/rev": self.revision} if self.revision is not None else {"istio-injection": "enabled"}

    @model_validator(mode="after")
    def _revisions_inject(self) -> Self:
        if self.revision is not None and not self.has_sidecars:
            raise PydanticCustomError("mesh", "revision is of mode sidecar", {"at": "revision"})
        return self


class Calls(Value):
    """How callers in its cell reach a service, where the mesh of the region has sidecars (S8.6, S8.7)."""

    timeout_seconds: Annotated[float, Field(ge=0.1, le=86_400.0)] | None = None
    """None: ``timeoutSeconds`` of the service."""
    retries: RouteRetries | None = None
    """None: nothing is sent again. All attempts fit into the timeout; of money as for ``edge.retries``."""
    breaker: RouteBreaker | None = None
    """None: that of ``edge``, or so many to a pod as ``sockets`` says, or 1024."""
