"""What a container is made of and may use."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.base import Cpu, Memory, Value
from croupier.model.quantity import size

IMAGE = r"^[a-z0-9][a-z0-9._:-]*(/[a-z0-9][a-z0-9._-]*)*@sha256:[0-9a-f]{64}$"

Image = Annotated[str, StringConstraints(pattern=IMAGE)]
"""``registry/name@sha256:…``: never a tag (S3.7, S3.8)."""


class Resources(Value):
    """What a pod asks for and may use at most (S13.4). A limit is never below its request."""

    cpu: Cpu
    """Request, like 300m."""
    memory: Memory
    """Request, like 512Mi."""
    cpu_limit: Cpu | None = None
    """None: no limit; a pod may use what is idle."""
    memory_limit: Memory | None = None
    """None: the request."""

    @model_validator(mode="after")
    def _limits_hold_requests(self) -> Self:
        for name, request, limit in (("cpu", self.cpu, self.cpu_limit), ("memory", self.memory, self.memory_limit)):
            if limit is not None and size(limit) < size(request):
                raise PydanticCustomError("limits", f"{name}Limit {limit} is below the request {request}")
        return self
