"""What the gateway does for a service before a request reaches it (S8.1-S8.7). Which gateway can do what: ``gateway``.

Field names are the keys of the platform file; ``docs/reference/platform.md`` is made from this module.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.address import Hostname
from croupier.model.base import Name, Value
from croupier.model.release_policy import Hsts, PortName


class RateLimit(Value):
    """How often may be asked (S8.4). More is answered with 429. Each pod of the gateway counts for itself."""

    requests: Annotated[int, Field(ge=1, le=10_000_000)]
    per: Literal["second", "minute"] = "second"
    by: Literal["address", "everybody"] = "address"
    """Whose requests are counted together: those of one address, as the gateway knows it, or all."""


class RouteRetries(Value):
    """When the gateway sends a request again by itself (S8.6)."""

    attempts: Annotated[int, Field(ge=1, le=5)]
    """How often, after the first time."""
    per_try_seconds: Annotated[float, Field(ge=0.01, le=3600.0)]
    """How long each may take. All of them fit into ``timeoutSeconds``."""
    budget_percent: Annotated[int, Field(ge=1, le=100)] = 20
    """Share of the requests under way that may be such: a service that is ill as a whole is not asked twice as much."""
    when: Literal["unheard", "failed"] = "unheard"
    """``unheard``: while the service cannot have heard it; ``failed``: also after 502, 503, 504, or when the connection
    was cut."""
    idempotent: bool = False
    """The service takes every request twice without harm: orders bear a key and are booked once (S7.5). Without it,
    nothing of the money tier is sent again."""


class RouteBreaker(Value):
    """How much the gateway lets through to a service at a time; more is answered with 503 at once (S8.7)."""

    per_pod: Annotated[int, Field(ge=1, le=1_000_000)]
    """Requests, and of websocket: connections, that one pod holds. Times the most pods, it is what the gateway lets
    through, and as much may wait; by themselves, gateways stop at 1,024."""
    failures: Annotated[int, Field(ge=1, le=1000)] = 5
    """After so many failures in a row a pod is left out for a while. Not where croupier releases: a version that does
    harm must be seen by its gates, not hidden from them."""
    eject_seconds: Annotated[int, Field(ge=1, le=3600)] = 30
    """The while; longer each time."""


class BackendTls(Value):
    """The gateway speaks TLS to the pods, and asks for their certificate (S8.1)."""

    port: PortName = "https"
    """The port of the container that speaks it. ``http`` stays for probes, counters and callers in the cell."""
    hostname: Hostname | None = None
    """The name that the certificate bears. None: ``<service>.<namespace>.svc``."""
    ca: Name | None = None
    """Who has signed it: a ConfigMap of the cell's namespace with ``ca.crt``; of ``istio``, which needs it, a Secret
    where the gateway's pods run. None: whom the gateway's system trusts."""


class Sticky(Value):
    """How a player comes back to the same pod (S6.7): by the hash of something that the requests bear. Whoever's pod is
    gone, or who is moved to another version, comes to another; the rest stay."""

    by: Literal["cookie", "header", "address", "nothing"] = "cookie"
    """``cookie``: the gateway gives one to who has none. ``header``: one that clients send, like a player's number.
    ``address``: everybody behind one address shares a pod. ``nothing``: any pod will do, because what a player left is
    in a store."""
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = None
    """Of the cookie or header. None: the cookie ``croupier-pod``."""
    keep_seconds: Annotated[int, Field(ge=60, le=2_592_000)] = 86_400
    """How long a browser keeps the cookie."""

    @property
    def named(self) -> str:
        """Of the cookie or header."""
        return self.name or "croupier-pod"

    @model_validator(mode="after")
    def _a_header_has_a_name(self) -> Self:
        if self.by == "header" and self.name is None:
            raise PydanticCustomError("sticky", "header needs name: the header that clients send")
        if self.by in ("address", "nothing") and self.name is not None:
            raise PydanticCustomError("sticky", f"name is of a cookie or a header, not of {self.by}", {"at": "name"})
        return self


class Edge(Value):
    """What the gateway does for a service that players reach. What the gateway of a region cannot do is an error."""

    hsts: Hsts | None = None
    """None: browsers are told nothing."""
    rate_limit: RateLimit | None = None
    """None: no limit."""
    retries: RouteRetries | None = None
    """None: nothing is sent again."""
    breaker: RouteBreaker | None = None
    """None: what the gateway does by itself; of websocket, ``sockets`` to a pod where it can be told so."""
    backend_tls: BackendTls | None = None
    """None: what is behind the gateway is asked in the clear, or by what a mesh does unasked."""
    sticky: Sticky | None = None
    """None: of ``traffic: websocket`` by cookie, of others any pod takes any request."""
