"""Where a service keeps players' data, and what runs there where croupier renders it (S7).

Field names are the keys of the platform file; ``docs/reference/platform.md`` is made from this module. A new engine of
stores is a module beside this one, a field of ``DataUse``, and a member of ``Engine`` and ``ENGINES``.
"""

from __future__ import annotations

from typing import Annotated, Self, TypeAlias

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.base import Name, Remote, Value
from croupier.model.kafka import Access, Kafka
from croupier.model.mysql import Mysql
from croupier.model.postgres import Postgres
from croupier.model.redis import Redis
from croupier.model.release_policy import Port

Engine: TypeAlias = Postgres | Mysql | Redis | Kafka
"""What runs a store that is rendered."""
ENGINES: tuple[type[Engine], ...] = (Postgres, Mysql, Redis, Kafka)


class DataUse(Value):
    """A data store that a service keeps players' data in, and every place that data gets to.

    A market's residency block says where that may be; each place is held against it.
    """

    classes: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Classes of data in it, as the residency block of a market names them."""
    namespace: Name | None = None
    """Namespace of the store in the cell's cluster. None: it is rendered, or not reached over the cluster's network."""
    port: Port | None = None
    """None with ``namespace``: 5432."""
    region: Name | None = None
    """Where its primary is. None: the region of the cell."""
    replicas: tuple[Name, ...] = ()
    """Regions of its replicas."""
    dr: Name | None = None
    """Region it is moved to in a disaster. None: none."""
    backup: Name | None = None
    """Region of its backups. None: the one of the primary."""
    dr_backup: Name | None = None
    """Region that copies archive to. None: ``backup``, which may be lost with the primary."""
    keys: Name | None = None
    """Region of its encryption keys. None: the one of the primary."""
    of: Name | None = None
    """The service of the cell whose store of this name it shares; all places are then said there. None: its own."""
    connections: Annotated[int, Field(ge=1, le=1000)] = 10
    """Of a database that is rendered: how many connections a pod opens at most. It is told (``<STORE>_POOL_SIZE``)."""
    credentials: Remote | None = None
    """Of a store that is rendered: where ``username`` and ``password`` are in the secret store of the region. Pods find
    them below ``/secrets/<store>/``. The user of the owner is called like the store (of Redis ``default``), that of
    another like its service, with ``_`` for ``-``. Redis with sentinels has a ``sentinelPassword``, too; Kafka has
    ``password`` alone, and ``<STORE>_USERNAME`` tells the user. None: somebody else makes the Secret
    ``<store>-<service>`` beside the store, which Redis does without."""
    postgres: Postgres | None = None
    """PostgreSQL. None, as every other engine: the store is run by other means."""
    mysql: Mysql | None = None
    """MySQL, in the region of the cell alone, with backups where ``backup`` says."""
    kafka: Kafka | None = None
    """Kafka, in the region of the cell alone."""
    access: Access | None = None
    """Of a store of Kafka: what the service does with its topics. Every service that uses it says so."""

    redis: Redis | None = None

    @model_validator(mode="after")
    def _one_engine_runs_it(self) -> Self:
        given = [each.KEY for each in ENGINES if getattr(self, each.KEY) is not None]
        if len(given) > 1:
            raise PydanticCustomError("engine", f"{given[0]} runs the store already", {"at": given[1]})
        return self

    @model_validator(mode="after")
    def _topics_are_of_kafka(self) -> Self:
        if self.access is not None and self.kafka is None and self.of is None:
            raise PydanticCustomError("engine", "only a store of Kafka has topics", {"at": "access"})
        return self

    @property
    def engine(self) -> Engine | None:
        """What runs it; None: it is not rendered here."""
        return self.postgres or self.mysql or self.redis or self.kafka

    @property
    def copies(self) -> tuple[str, ...]:
        """Regions beside that of the primary that hold all of it."""
        return tuple(sorted({*self.replicas, *((self.dr,) if self.dr else ())}))
