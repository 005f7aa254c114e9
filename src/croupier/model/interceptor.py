"""Pods by the requests that come, as KEDA's HTTP add-on counts them: its interceptor stands between the gateway and the
pods, and holds what comes while there are none (S6.2).

Field names are the keys of the platform file; ``docs/reference/platform.md`` is made from this module.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.base import Name, Value

_Port = Annotated[int, Field(ge=1, le=65_535)]


class HttpAddOn(Value):
    """KEDA's HTTP add-on of a region, which somebody else has installed, as its chart names what it makes."""

    namespace: Name = "keda"
    """Where it runs: pods of services that are scaled by it take what comes from there."""
    interceptor: Name = "keda-add-ons-http-interceptor-proxy"
    """The Service that passes requests on."""
    port: _Port = 8080
    """Of that Service; requests go there in the clear."""
    scaler: Name = "keda-add-ons-http-external-scaler"
    """The Service that KEDA asks how many there are."""
    scaler_port: _Port = 9090


class Http(Value):
    """Requests of players, which pass the interceptor of KEDA's HTTP add-on. Exactly one of ``requestRate`` and
    ``concurrency``. Hosts are those of the cell, paths ``routes`` of the service."""

    kind: Literal["http"]
    request_rate: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Requests a second and pod."""
    concurrency: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Requests under way at a time, those that are held included, a pod."""
    window_seconds: Annotated[int, Field(ge=1, le=300)] | None = None
    """Of ``requestRate``: what the average is of. None: a minute."""
    cold_start_seconds: Annotated[int, Field(ge=1, le=300)] | None = None
    """How long a request is held while no pod is ready; the gateway waits so much longer. ``scaling.min`` 0 needs it.
    None: one second."""
    fallback: Name | None = None
    """A service of the cell that answers where no pod was ready in time. None: the interceptor, with 502."""

    @property
    def average(self) -> int:
        """What one pod carries."""
        return self.request_rate or self.concurrency or 1

    @property
    def held_seconds(self) -> int:
        """How long a request is held at most."""
        return self.cold_start_seconds or 1

    @model_validator(mode="after")
    def _counts_one_thing(self) -> Self:
        if (self.request_rate is None) == (self.concurrency is None):
            raise PydanticCustomError("trigger", "give requestRate or concurrency, and not both")
        if self.window_seconds is not None and self.request_rate is None:
            raise PydanticCustomError("trigger", "windowSeconds is of requestRate", {"at": "windowSeconds"})
        return self
