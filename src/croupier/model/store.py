"""The stores that a cell renders: each with its owner, those that share it, and what they come to together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, TypeGuard, TypeVar

from croupier.model.base import Remote
from croupier.model.connections import Demand, demand
from croupier.model.container import Resources
from croupier.model.data import DataUse, Engine
from croupier.model.kafka import KAFKA_PORT, Kafka
from croupier.model.mysql import Mysql
from croupier.model.platform import PlacedCell
from croupier.model.postgres import Postgres
from croupier.model.redis import Redis
from croupier.model.service_spec import SecretRef, ServiceSpec
from croupier.model.trigger import KafkaLag

EngineT_co = TypeVar("EngineT_co", bound=Engine, covariant=True)


class Store(NamedTuple, Generic[EngineT_co]):
    """``users``: service -> what its pods may open at once; the owner is one of them. ``shares``: service -> what it
    says of the store."""

    name: str
    owner: ServiceSpec
    use: DataUse
    engine: EngineT_co
    users: Mapping[str, Demand]
    shares: Mapping[str, DataUse]

    @property
    def role(self) -> str:
        """Its database, and the user that owns that."""
        return role_of(self.name)

    def secret(self, service: str) -> str:
        """The Secret beside the store with the user and password of ``service``."""
        return f"{self.name}-{service}"


def stores_of(placed: PlacedCell) -> list[Store[Engine]]:
    """What ``placed`` renders, by name; of two of one name the first."""
    found: dict[str, Store[Engine]] = {}
    said: dict[str, list[tuple[ServiceSpec, DataUse]]] = {}
    for service in placed.services:
        for name, use in service.data.items():
            said.setdefault(name, []).append((service, use))
    for name, every in said.items():
        for owner, use in every:
            if (engine := use.engine) is not None and name not in found:
                sharing = [(each, its) for each, its in every if each is owner or its.of == owner.name]
                users = {service.name: demand_of(placed, service, shared.connections) for service, shared in sharing}
                shares = {service.name: shared for service, shared in sharing}
                found[name] = Store(name, owner, use, engine, users, shares)
    return [found[name] for name in sorted(found)]


def used_by(placed: PlacedCell, service: ServiceSpec) -> list[Store[Engine]]:
    """Stores of ``placed`` that ``service`` owns or shares, by name."""
    if all(use.engine is None and use.of is None for use in service.data.values()):
        return []
    return [store for store in stores_of(placed) if service.name in store.users]


def secrets_of(placed: PlacedCell, service: ServiceSpec) -> dict[str, SecretRef]:
    """What its pods mount: what it says, and the credentials of its providers and stores below their names."""
    own = dict(service.secrets)
    for name in service.egress:
        key = placed.providers[name].key if name in placed.providers else None
        if key is not None and name not in own:
            own[name] = key
    for store in used_by(placed, service):
        remote = service.data[store.name].credentials
        if remote is not None and store.name not in own:
            secret = credentials_of(service, store.name)
            own[store.name] = SecretRef(secret=secret, keys=store.engine.credentials, remote=remote)
        certificate = certificate_of(store.engine)
        if certificate is not None and authority_of(store.name) not in own:
            secret = credentials_of(service, authority_of(store.name))
            own[authority_of(store.name)] = SecretRef(secret=secret, keys=("ca.crt",), remote=certificate)
    return own


def agent_of(placed: PlacedCell, service: ServiceSpec) -> Resources | None:
    """What the agent beside each of its pods asks for; None: there is none."""
    agent = placed.region.secrets_agent
    has_one = any(each.sidecar for each in secrets_of(placed, service).values())
    return agent.resources if agent is not None and has_one else None


def credentials_of(service: ServiceSpec, store: str) -> str:
    """The Secret beside the pods of ``service`` with what it may log in to ``store`` by."""
    return f"{service.name}-{store}"


def pooler_of(store: Store[Postgres]) -> str | None:
    """What stands before the database; None: nothing."""
    return f"{store.name}-pooler" if store.engine.pooler else None


def certificate_of(engine: Engine) -> Remote | None:
    """Where the certificate of a store is, as the platform says; None: it has none, or its operator makes one."""
    return engine.certificate if isinstance(engine, Kafka | Mysql) else None


def is_mysql(store: Store[Engine]) -> TypeGuard[Store[Mysql]]:
    return isinstance(store.engine, Mysql)


def is_redis(store: Store[Engine]) -> TypeGuard[Store[Redis]]:
    return isinstance(store.engine, Redis)


def is_postgres(store: Store[Engine]) -> TypeGuard[Store[Postgres]]:
    return isinstance(store.engine, Postgres)


def largest_first(store: Store[Any]) -> str:
    """Who opens how many connections to it, in words."""
    users = sorted(store.users.items(), key=lambda each: (-each[1].connections, each[0]))
    return " + ".join(each.told(name) for name, each in users)


def is_kafka(store: Store[Engine]) -> TypeGuard[Store[Kafka]]:
    return isinstance(store.engine, Kafka)


def bootstrap_of(store: str, namespace: str) -> str:
    """Address of a Kafka that its clients begin with."""
    return f"{store}-kafka-bootstrap.{namespace}.svc:{KAFKA_PORT}"


def kafka_user_of(store: str, service: str) -> str:
    """A user of Kafka, and the KafkaUser and Secret of it: no store or service has a dot in its name."""
    return f"{store}.{service}"


def authority_of(store: str) -> str:
    """Folder below ``/secrets`` with what pods trust brokers or nodes by."""
    return f"{store}-ca"


def scaled_by(placed: PlacedCell, store: str) -> bool:
    """Whether any service of ``placed`` is scaled by how far it is in ``store``."""
    triggers = (service.scaling.trigger for service in placed.services if service.scaling is not None)
    return any(isinstance(each, KafkaLag) and each.store == store for each in triggers)


def role_of(name: str) -> str:
    """A user or database of PostgreSQL or MySQL that is called like a store or a service."""
    return name.replace("-", "_")


def demand_of(placed: PlacedCell, service: ServiceSpec, connections: int = 1) -> Demand:
    """Pods of ``service`` at their greatest, each with so many connections."""
    scaling = service.scaling
    return demand(
        scaling.max if scaling else service.replicas,
        connections,
        placed.grace_seconds(service),
        is_scaled=scaling is not None,
        is_released=placed.region.released_by == "croupier",
    )
