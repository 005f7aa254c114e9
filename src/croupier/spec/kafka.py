"""What is wrong with a store of Kafka that only Kafka and Strimzi know of, and with how services use it (S7)."""

from __future__ import annotations

from collections.abc import Iterator

from croupier.model.kafka import Kafka
from croupier.model.store import Store
from croupier.spec.load import Flaw, Location, did_you_mean

LONGEST_NAME = 23
"""Twice in the name of a node, which ends in -controllers-99, and is a host of at most 63 characters."""
_OPERATORS_SECRETS = (
    "cluster-ca", "cluster-ca-cert", "cluster-operator-certs", "clients-ca", "clients-ca-cert",
    "cruise-control-api", "cruise-control-certs", "entity-topic-operator-certs", "entity-user-operator-certs",
    "kafka-exporter-certs", "listener",
)  # fmt: skip
"""Secrets of a Kafka end so: Strimzi's, and the certificate of its brokers."""
_PARTS = ("kafka", "entity-operator", "kafka-exporter", "cruise-control")
_STRIMZIS_POLICIES = ("network-policy-kafka", "network-policy-kafka-exporter", "network-policy-cruise-control")


def made(store: Store[Kafka]) -> Iterator[tuple[str, str]]:
    """Kind and name of what is rendered, and of what Strimzi makes, where names of stores can meet."""
    yield "NetworkPolicy", store.name
    yield from (("NetworkPolicy", f"{store.name}-{each}") for each in (*_PARTS[1:], *_STRIMZIS_POLICIES))
    yield from (("ServiceAccount", f"{store.name}-{each}") for each in _PARTS)
    yield from (("Secret", f"{store.name}-{each}") for each in _OPERATORS_SECRETS)
    yield from (("Secret", store.secret(each)) for each in store.users)


def flaws(store: Store[Kafka]) -> Iterator[Flaw]:
    """Locations are paths in the service that owns it."""
    kafka, at = store.engine, ("data", store.name, Kafka.KEY)
    if store.owner.tier == "money" and (losable := kafka.losable) is not None:
        message = f"{store.owner.name} is of tier money, and {losable} may be lost"
        yield Flaw((*at, "topics", losable, "mayBeLost"), "STORE", message, "leave mayBeLost out")
    for name, topic in kafka.topics.items():
        for number, each in enumerate(topic.classes):
            if each not in store.use.classes:
                message = f"{each} would be kept in {name} of {store.name}, whose classes have no {each}"
                hint = did_you_mean(each, list(store.use.classes))
                yield Flaw((*at, "topics", name, "classes", number), "STORE", message, hint)
    for name in store.users:
        if name in _OPERATORS_SECRETS:
            message = f"the Secret {store.name}-{name} of service {name} is Strimzi's"
            yield Flaw((*at, Kafka.DECLARED), "DUPLICATE_NAME", message, "call the service otherwise")


def use_flaws(store: Store[Kafka], service: str) -> Iterator[Flaw]:
    """What is wrong with what ``service`` does with it; locations are paths in that service."""
    use = store.shares[service]
    at: Location = ("data", store.name)
    access, topics = use.access, store.engine.topics
    if access is None or not access.topics:
        message = f"{service} uses {store.name} and names no topic, so nothing is allowed to it"
        place = (*at, "access") if access else (*at, "classes")
        yield Flaw(place, "STORE", message, "access: {produces: […], consumes: […]}")
        return
    for key in ("produces", "consumes"):
        for number, name in enumerate(getattr(access, key)):
            place = (*at, "access", key, number)
            if name not in topics:
                hint = did_you_mean(name, list(topics)) or f"declare it at {store.owner.name}"
                yield Flaw(place, "UNKNOWN_NAME", f"{store.name} has no topic {name!r}", hint)
                continue
            missing = [each for each in topics[name].classes or store.use.classes if each not in use.classes]
            if missing and service != store.owner.name:
                message = f"{name} holds {', '.join(missing)}, and {service} does not say so"
                yield Flaw(place, "STORE", message, f"add it to data.{store.name}.classes")
