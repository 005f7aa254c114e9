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
