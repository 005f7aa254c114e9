"""Redis as a service asks for it (S7.1), run by redis-operator.

Field names are the keys of the platform file; ``docs/reference/platform.md`` is made from this module.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.base import Memory, Name, Value
from croupier.model.connections import Demand, total
from croupier.model.container import Image, Resources
from croupier.model.quantity import size

REDIS_PORT, SENTINEL_PORT = 6379, 26379
HANDS = 100
"""Clients beside the pods of services: copies, sentinels, what measures it, the operator, people."""
_LEAST_MEMORY = 32 * 2**20
"""Bytes. Of less, what Redis itself takes leaves nothing for data."""
_SHARES = {"cache": 75, "data": 60}
"""Percent of the memory that is for data: the rest is for buffers of clients and copies and, where a log is written,
for what changes while it is written anew."""


class Redis(Value):
    """Redis, run by redis-operator in the region of the cell: one primary with failover, or shards."""

    KEY: ClassVar = "redis"
    PRODUCT: ClassVar = "Redis"
    OPERATOR: ClassVar = "redis-operator"
    DECLARED: ClassVar = "storage"
    IS_BACKED_UP: ClassVar = False
    HAS_COPIES: ClassVar = False
    LOST_BY: ClassVar = ("holds", "keep it in a database, and here only what can be made anew: holds: cache")

    holds: Literal["cache", "data"]
    """``cache``: what can be made anew; nothing is written to disk, and where memory is short the oldest goes.
    ``data``: what is nowhere else; every change is logged, nothing goes, and a primary without a copy takes no writes.
    What was confirmed last can still be lost with the primary, so money is no ``data`` of Redis."""
    mode: Literal["sentinel", "cluster"] = "sentinel"
    """``sentinel``: one primary, and sentinels that promote a copy. ``cluster``: keys are shared out among shards, and
    clients have to know of that."""
    shards: Annotated[int, Field(ge=3, le=100)] | None = None
    """Of mode ``cluster``. None: three."""
    instances: Annotated[int, Field(ge=2, le=6)] = 3
    """Of each shard: its primary, and copies of it."""
    storage: Name
    """Storage class, as ``stores`` of the region names it."""
    size: Memory
    """Of the volume of each instance: by it a copy catches up, and the log is there."""
    resources: Resources
    """Of each instance. Three quarters of the memory are for data; of ``holds: data`` three fifths."""
    image: Image | None = None
    """None: that of the region."""
    eviction: (
        Literal["allkeys-lru", "allkeys-lfu", "volatile-lru", "volatile-lfu", "volatile-ttl", "noeviction"] | None
    ) = None
    """What goes where memory is short (``maxmemory-policy``). None: of a cache ``allkeys-lru``, of data nothing."""
    fsync: Literal["everysec", "always"] = "everysec"
    """When the log of ``holds: data`` is on disk: once a second, or before each answer."""
    rto_seconds: Annotated[int, Field(ge=10, le=600)] = 60
    """From the loss of a primary to the next write. A primary that does not answer for a quarter of it is replaced."""
    most_connections: Annotated[int, Field(ge=20, le=65_000)] = 10_000
    """What ``maxclients`` may come to: it is computed from who connects."""

    @field_validator("resources")
    @classmethod
    def _memory_is_enough_to_start(cls, resources: Resources) -> Resources:
        if size(resources.memory) < _LEAST_MEMORY:
            message = f"with {resources.memory} of memory Redis has none for data"
            raise PydanticCustomError("resources", message, {"at": "memory"})
        return resources

    @model_validator(mode="after")
    def _shards_are_of_a_cluster(self) -> Self:
        if self.shards is not None and self.mode != "cluster":
            raise PydanticCustomError("shards", "shards are of mode cluster", {"at": "shards"})
        return self

    @model_validator(mode="after")
    def _data_stays(self) -> Self:
        if self.holds == "data" and self.policy != "noeviction":
            message = f"with {self.policy} data goes where memory is short"
            raise PydanticCustomError("eviction", message, {"at": "eviction"})
        if self.holds == "data" and self.instances < 3:
            message = f"data takes 3 instances: with {self.instances}, nothing is written while one is away"
            raise PydanticCustomError("instances", message)
        return self

    @property
    def is_cache(self) -> bool:
        return self.holds == "cache"

    @property
    def may_be_lost(self) -> str:
        """What of it is lost with a machine, in words; "" for nothing that cannot be made anew."""
        return "" if self.is_cache else "what Redis confirmed last"

    @property
    def policy(self) -> str:
        return self.eviction or ("allkeys-lru" if self.is_cache else "noeviction")

    @property
    def primaries(self) -> int:
        return (self.shards or 3) if self.mode == "cluster" else 1

    @property
    def pods(self) -> int:
        """Those that hold data."""
        return self.primaries * self.instances

    @property
    def credentials(self) -> tuple[str, ...]:
        """Keys of what a user reads in the secret store."""
        return ("password", *(["sentinelPassword"] if self.mode == "sentinel" else []), "username")

    @property
    def most_memory(self) -> int:
        """Bytes of data (``maxmemory``)."""
        return int(size(self.resources.memory)) * _SHARES[self.holds] // 100

    def used(self, users: Iterable[Demand]) -> int:
        """Connections that each instance has to take: clients open as many to every shard."""
        return total(users)

    def max_clients(self, users: Iterable[Demand]) -> int:
        return self.used(users) + HANDS
