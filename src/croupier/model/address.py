"""Hosts outside, as the platform file names them."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated

from pydantic import StringConstraints
from pydantic_core import PydanticCustomError

from croupier.model.base import Value
from croupier.model.release_policy import Port

Hostname = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$", max_length=253)
]

_NUMBER = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
Address = Annotated[str, StringConstraints(pattern=rf"^({_NUMBER}\.){{3}}{_NUMBER}$")]
"""IPv4."""
Cidr = Annotated[str, StringConstraints(pattern=r"^([0-9]{1,3}\.){3}[0-9]{1,3}/[0-9]{1,2}$")]


def networks(ranges: tuple[str, ...]) -> tuple[str, ...]:
    """``ranges``, each of addresses and none of all. Raises ``PydanticCustomError`` at the first that is not."""
    for number, each in enumerate(ranges):
        try:
            held = ip_network(each)
        except ValueError:
            message = f"{each} is no range of addresses, like 10.0.0.0/24"
            raise PydanticCustomError("range", message, {"at": number}) from None
        if held.prefixlen == 0:
            raise PydanticCustomError("range", f"{each} holds every address", {"at": number})
    return ranges


class Endpoint(Value):
    """A host outside, and its port."""

    host: Hostname
    port: Port = 443

    @property
    def namespace(self) -> str | None:
        """Of a Service of the cluster that asks: its namespace. None: a host outside."""
        inside = self.host.removesuffix(".cluster.local").split(".")
        return inside[1] if inside[2:] == ["svc"] else None
