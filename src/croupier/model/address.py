"""Hosts outside, as the platform file names them."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from croupier.model.base import Value
from croupier.model.release_policy import Port

Hostname = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$", max_length=253)
]


class Endpoint(Value):
    """A host outside, and its port."""

    host: Hostname
    port: Port = 443

    @property
    def namespace(self) -> str | None:
        """Of a Service of the cluster that asks: its namespace. None: a host outside."""
        inside = self.host.removesuffix(".cluster.local").split(".")
        return inside[1] if inside[2:] == ["svc"] else None
