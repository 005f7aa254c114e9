"""External parties that services call, and the gateways that their calls leave by (S2.5, S8.9).

Field names are the keys of the platform file; ``docs/reference/platform.md`` is made from this module.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from croupier.model.address import Cidr, Endpoint, networks
from croupier.model.base import LongName, Value
from croupier.model.container import Image, Resources

ProviderClass = Literal["psp", "kyc", "game"]
EGRESS_GATEWAY = "gateway"
EGRESS_PORT = 3128
"""What the egress gateway of a class is called in its namespace, and where it takes ``CONNECT``."""


class Egress(Value):
    """The egress gateways of a region: one for each class of provider that its cells call (S2.5, S8.9)."""

    image: Image
    """Envoy."""
    replicas: Annotated[int, Field(ge=2, le=32)] = 2
    """Pods of each gateway."""
    resources: Resources = Resources(cpu="100m", memory="256Mi")
    """Of each pod."""


def egress_namespace(kind: ProviderClass) -> str:
    """Namespace of the egress gateway for providers of a class, and the value of its label ``svc``."""
    return f"{kind}-egress"


class Provider(Value):
    """An external party that services call. Pods reach it through the egress gateway of its class only (S2.5, S8.9)."""

    kind: ProviderClass
    endpoints: Annotated[tuple[Endpoint, ...], Field(min_length=1)]
    region: LongName
    """Where it handles what it is sent."""
    timeout_seconds: Annotated[float, Field(gt=0.0, le=120.0)]
    """How long a call may take. Pods that end wait for it, and the region's egress gateway closes a connection that
    has been silent for so long."""
    addresses: Annotated[tuple[Cidr, ...], Field(max_length=64)] = ()
    """Where its hosts are, like ``192.0.2.0/28``: the egress gateway of a region reaches nothing else for it. Empty:
    every address that is not private."""
    max_connections: Annotated[int, Field(ge=2, le=100_000)] = 1024
    """Connections at a time to each of its endpoints from each region with an egress gateway."""

    @field_validator("addresses")
    @classmethod
    def _addresses_are_some(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        return networks(addresses)
