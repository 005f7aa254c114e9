"""When somebody is called about a Kafka that is rendered (S9.3, S15.7): messages that could be lost, or are not read.

What brokers count says whether copies are whole; how far consumers are, Strimzi's exporter says. The names are those of
Strimzi's metrics reporter and of its Kafka Exporter.
"""

from __future__ import annotations

from collections.abc import Iterator

from croupier.core.render.store_watch import Alert, group
from croupier.model.kafka import Kafka
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.slo import Severity
from croupier.model.store import Store, is_kafka, stores_of

STRIMZI, COMPONENT = "strimzi.io/cluster", "strimzi.io/name"
"""Labels of pods that Strimzi makes: their Kafka, and which part of it they are."""
_LABEL = "strimzi_io_cluster"
_LASTING = "5m"
_WINDOW = "10m"
_SLOWEST = 0.01
"""Messages a second. What nobody writes any more and somebody has not read is still behind."""


def kafka_rules(placed: PlacedCell) -> list[JsonObject]:
    """Of every Kafka of ``placed``, for a Prometheus that reads files."""
    return [group for store in stores_of(placed) if is_kafka(store) for group in store_rules(placed, store)]


def store_rules(placed: PlacedCell, store: Store[Kafka]) -> list[JsonObject]:
    """One group; nothing where nobody is to be called."""
    return group(placed, store, [*_of_brokers(placed, store), *_of_consumers(placed, store)], _LASTING)


def _of_brokers(placed: PlacedCell, store: Store[Kafka]) -> Iterator[Alert]:
    which, owner = _which(placed, store), store.owner
    where = f"of {store.name} in {placed.cell.name}"
    urgent: Severity = "page" if owner.tier == "money" else "ticket"
    yield Alert(
        "KafkaPartitionsOffline",
        "page",
        f"sum(kafka_controller_kafkacontroller_offlinepartitionscount{which}) > 0",
        f"Partitions {where} have no leader",
        "{{ $value }} can be neither written nor read. None that missed messages leads instead: bring brokers back.",
        owner,
    )
    yield Alert(
        "KafkaWritesRefused",
        "page",
        f"sum(kafka_server_replicamanager_underminisrpartitioncount{which}) > 0",
        f"Partitions {where} have too few copies to be written",
        "{{ $value }} take no message that must not be lost.",
        owner,
    )
    yield Alert(
        "KafkaUnderReplicated",
        urgent,
        f"sum(kafka_server_replicamanager_underreplicatedpartitions{which}) > 0",
        f"Partitions {where} miss a copy",
        "{{ $value }}: with one broker more gone, they may not be written.",
        owner,
    )
    missing = ("kafka_server_replicamanager_underreplicatedpartitions", "kafka_brokers")
    yield Alert(
        "KafkaCountersMissing",
        urgent,
        "\nor\n".join(f"absent({each}{which})" for each in missing),
        f"Nobody counts what becomes {where}",
        "Brokers or the exporter are not scraped: no alert on them can tell anything.",
        owner,
    )


def _of_consumers(placed: PlacedCell, store: Store[Kafka]) -> Iterator[Alert]:
    """Behind is what is not read yet, by how fast it is written: seconds."""
    for service in placed.services:
        use = store.shares.get(service.name)
        for name in use.access.consumes if use is not None and use.access is not None else ():
            topic = store.engine.topics.get(name)
            if topic is None:
                continue  # told by check
            of_topic = _which(placed, store, f'topic="{name}"')
            of_group = _which(placed, store, f'topic="{name}"', f'consumergroup=~"{service.name}([.].*)?"')
            written = f"sum(rate(kafka_topic_partition_current_offset{of_topic}[{_WINDOW}]))"
            unread = f"max(sum by (consumergroup) (kafka_consumergroup_lag{of_group}))"
            yield Alert(
                "KafkaConsumerBehind",
                "page" if service.tier == "money" else "ticket",
                f"{unread}\n/ clamp_min({written}, {_SLOWEST:g}) > {topic.lag_seconds}",
                f"{service.name} in {placed.cell.name} reads {name} too late",
                f"{{{{ $value | humanizeDuration }}}} behind; {topic.lag_seconds} s may be.",
                service,
            )


def _which(placed: PlacedCell, store: Store[Kafka], *more: str) -> str:
    said = (f'namespace="{placed.cell.data_namespace}"', f'{_LABEL}="{store.name}"', *more)
    return f"{{{','.join(said)}}}"
