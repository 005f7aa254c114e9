"""The base of values that cross a boundary (file, journal, HTTP): frozen, strict about unknown fields."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError


class Value(BaseModel):
    """A frozen value. camelCase in files and JSON, snake_case in Python; unknown fields are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True, validate_by_alias=True
    )


Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
"""A content digest. Releases name versions by digest only (S3.7)."""

NAME = r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"

Name = Annotated[str, StringConstraints(pattern=NAME)]
"""A DNS label, as Kubernetes wants names."""

ServiceName = Annotated[
    str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)?$")
]
"""A service of a platform: a DNS label, on Kubernetes followed by its namespace (``payments-api.casino``)."""

Cpu = Annotated[str, StringConstraints(pattern=r"^([1-9][0-9]{0,5}m|[1-9][0-9]{0,3}|[0-9]{1,3}\.[0-9]{1,3})$")]
"""Cores, or thousandths of one (``300m``)."""

Memory = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,5}(Ki|Mi|Gi|Ti)$")]
"""Bytes with a power of 1024 (``512Mi``)."""

KmsKey = Annotated[str, StringConstraints(pattern=r"^[^\s]{1,500}$")]
"""A key as the key management service names it."""

LabelKey = Annotated[
    str, StringConstraints(pattern=r"^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")
]
LabelValue = Annotated[str, StringConstraints(pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$")]

LongName = Annotated[str, Field(min_length=1, max_length=200)]
Remote = Annotated[str, StringConstraints(pattern=r"^[^\s{}]{1,500}$")]
"""Where something is in the secret store of a region, like ``casino/ledger``."""
Cron = Annotated[str, StringConstraints(pattern=r"^[0-9*/,-]+( [0-9*/,-]+){4}$")]
"""Minute, hour, day, month, day of the week, in UTC."""


def _of_people(groups: tuple[str, ...]) -> tuple[str, ...]:
    for at, group in enumerate(groups):
        if group.startswith("system:"):
            raise PydanticCustomError("group", f"{group} is everybody, or machines", {"at": at})
    return groups


Group = Annotated[str, StringConstraints(pattern=r"^[^\s]{1,200}$")]
"""A group of people as the clusters' identity provider names it."""
Groups = Annotated[tuple[Group, ...], Field(max_length=32), AfterValidator(_of_people)]
