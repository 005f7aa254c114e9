"""Kafka by Strimzi 1.2 (kafka.strimzi.io/v1), in KRaft: nodes, topics, and what each service may do with them (S7.1).

Between regions there is no network, so nothing is mirrored: what must outlive a region is in the database that its
messages come from (S7.5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from croupier.core.render.kafka_watch import COMPONENT, STRIMZI, store_rules
from croupier.core.render.names import priority_class
from croupier.core.render.peers import allowed, door, within
from croupier.core.render.placement import placement
from croupier.core.render.pods import resources_of
from croupier.core.render.store import KEPT, NETWORK, Home, api_servers, callers, external_secret, watchers
from croupier.model.container import Resources
from croupier.model.kafka import IN_SYNC, KAFKA_PORT, REPLICAS, Access, CruiseControl, Kafka, Topic
from croupier.model.objects import JsonObject
from croupier.model.quantity import size
from croupier.model.store import Store, bootstrap_of, kafka_user_of, scaled_by
from croupier.model.stores import KafkaOperator

API = "kafka.strimzi.io/v1"
_MONITORING = "monitoring.coreos.com/v1"
_POOL = "strimzi.io/pool-name"
_CONTROL, _REPLICATION, _AGENT, _METRICS, _CRUISE = 9090, 9091, 8443, 9404, 9090
"""Ports by which nodes, operators and Cruise Control talk, and of what they count."""
METRICS_PORT = "tcp-prometheus"
_OPERATOR = Resources(cpu="100m", memory="384Mi", memory_limit="512Mi")
_EXPORTER = Resources(cpu="50m", memory="64Mi", memory_limit="128Mi")
_GRACE_SECONDS = 120
"""A broker hands over what it leads before it goes."""
_ZONE, _HOST = "topology.kubernetes.io/zone", "kubernetes.io/hostname"
_READ = (
    "kafka_controller_kafkacontroller_.*", "kafka_log_logmanager_.*", "kafka_network_requestmetrics_requests.*",
    "kafka_server_brokertopicmetrics_.*", "kafka_server_replicamanager_.*",
)  # fmt: skip
"""What brokers count that is kept: without series of every partition."""
_POD = {"fsGroup": 0, "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
"""Files of a volume are the group's that Strimzi's images run in."""
_CONTAINER = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "privileged": False}
"""Pod Security ``restricted``, however the operator is installed; its images write beside what is mounted."""


def cluster(home: Home, store: Store[Kafka]) -> list[JsonObject]:
    """All that one Kafka is in one region."""
    return [
        *_secrets(home, store),
        _nodes(home, store, "controllers"),
        _nodes(home, store, "brokers"),
        _kafka(home, store),
        *(_topic(home, store, name, each) for name, each in sorted(store.engine.topics.items())),
        *(_user(home, store, name, use.access) for name, use in sorted(store.shares.items()) if use.access is not None),
        *_doors(home, store),
        *_monitors(home, store),
    ]


def told(store: Store[Kafka], service: str, namespace: str) -> dict[str, str]:
    """End of a variable -> what pods of ``service`` are told by it."""
    access = store.shares[service].access or Access()
    return {
        "BOOTSTRAP_SERVERS": bootstrap_of(store.name, namespace),
        "SECURITY_PROTOCOL": "SASL_SSL",
        "SASL_MECHANISM": "SCRAM-SHA-512",
        "USERNAME": kafka_user_of(store.name, service),
        **({"GROUP": service} if access.consumes else {}),
    }


def reached(store: Store[Kafka]) -> Iterator[tuple[Mapping[str, str], Sequence[int]]]:
    """Labels of the pods that users connect to, and by which ports."""
    yield _labels(store, "kafka"), [KAFKA_PORT]


def _labels(store: Store[Kafka], part: str) -> dict[str, str]:
    """Of pods that Strimzi makes, nobody else's."""
    return {STRIMZI: store.name, COMPONENT: f"{store.name}-{part}"}


def _operator(home: Home) -> KafkaOperator:
    operator = home.stands.kafka
    assert operator is not None, "check refuses a region that runs no Kafka"
    return operator


def _secrets(home: Home, store: Store[Kafka]) -> Iterator[JsonObject]:
    """Passwords of all users, and the certificate of the brokers; rotated in the secret store, they are so here."""
    for name, use in sorted(store.shares.items()):
        if use.credentials is not None:
            yield from external_secret(
                home, store, store.secret(name), use.credentials, keys=("password",), template={}
            )
    if (remote := store.engine.certificate) is not None:
        keys = ("tls.crt", "tls.key")
        yield from external_secret(home, store, _listener(store), remote, keys=keys, template={})


def _listener(store: Store[Kafka]) -> str:
    return f"{store.name}-listener"


def _nodes(home: Home, store: Store[Kafka], kind: str) -> JsonObject:
    """A pool of nodes, each on a machine of its own and, where there are several, spread over zones."""
    kafka, name = store.engine, f"{store.name}-{kind}"
    is_broker = kind == "brokers"
    amount, replicas, wanted = (
        (kafka.size, kafka.brokers, kafka.resources)
        if is_broker
        else (kafka.controllers.size, kafka.controllers.instances, kafka.controllers.resources)
    )
    volume = {"id": 0, "type": "persistent-claim", "size": amount, "class": kafka.storage}
    container = {"securityContext": dict(_CONTAINER)}
    spec = {
        "replicas": replicas,
        "roles": ["broker" if is_broker else "controller"],
        "storage": {"type": "jbod", "volumes": [{**volume, "kraftMetadata": "shared", "deleteClaim": False}]},
        "resources": resources_of(wanted),
        "template": {
            "pod": {
                **_pod(home, store),
                "terminationGracePeriodSeconds": _GRACE_SECONDS,
                **_placed(home, store, {STRIMZI: store.name, _POOL: name}),
            },
            "kafkaContainer": container,
            "initContainer": container,
        },
    }
    made = home.made(store, API, "KafkaNodePool", name, spec, **KEPT)
    made["metadata"]["labels"][STRIMZI] = store.name
    return made


def _pod(home: Home, store: Store[Kafka]) -> JsonObject:
    return {
        "metadata": {"labels": home.inherited(store)},
        "securityContext": dict(_POD),
        "priorityClassName": priority_class(store.owner.tier),
    }


def _placed(home: Home, store: Store[Kafka], labels: dict[str, str]) -> JsonObject:
    """Where pods go that keep something: Strimzi takes no node selector."""
    storage = home.stands.storage[store.engine.storage]
    placed = placement(home.region.pools[storage.pool] if storage.pool is not None else None)
    apart = [{"topologyKey": _HOST, "labelSelector": {"matchLabels": labels}}]
    affinity: JsonObject = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": apart}}
    if wanted := placed.get("nodeSelector"):
        terms = [{"key": key, "operator": "In", "values": [value]} for key, value in wanted.items()]
        here = {"nodeSelectorTerms": [{"matchExpressions": terms}]}
        affinity["nodeAffinity"] = {"requiredDuringSchedulingIgnoredDuringExecution": here}
    spread = {
        "maxSkew": 1,
        "topologyKey": _ZONE,
        "whenUnsatisfiable": "DoNotSchedule" if len(home.region.zones) > 1 else "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }
    tolerated = {"tolerations": placed["tolerations"]} if "tolerations" in placed else {}
    return {"affinity": affinity, **tolerated, "topologySpreadConstraints": [spread]}


def _kafka(home: Home, store: Store[Kafka]) -> JsonObject:
    kafka, operator = store.engine, _operator(home)
    is_spread = len(home.region.zones) > 1
    racks = {"rack": {"topologyKey": _ZONE}, "brokerRackInitImage": operator.operator_image} if is_spread else {}
    watched = home.region.monitoring_namespace is not None
    counted = {"type": "strimziMetricsReporter", "values": {"allowList": list(_READ)}}
    brokers = {
        "version": operator.version,
        "image": operator.image,
        "listeners": [_tls(home, store)],
        "authorization": {"type": "simple"},
        "config": _config(kafka, is_spread=is_spread),
        **racks,
        **({"metricsConfig": counted} if watched else {}),
        "template": {"podDisruptionBudget": {"maxUnavailable": 1}},
    }
    kept = {"generateSecretOwnerReference": False}  # certificates outlive a Kafka that was deleted by mistake
    spec = {
        "kafka": brokers,
        "entityOperator": _entity_operator(home, store),
        "clusterCa": kept,
        "clientsCa": kept,
        **({"kafkaExporter": _exporter(home, store)} if watched else {}),
        **({"cruiseControl": _cruise_control(home, store, moves)} if (moves := kafka.cruise_control) else {}),
    }
    return home.made(store, API, "Kafka", store.name, spec, **KEPT)


def _tls(home: Home, store: Store[Kafka]) -> JsonObject:
    """The one listener of clients. Without peers, Strimzi writes a policy by which anybody comes to it."""
    shown = {"secretName": _listener(store), "certificate": "tls.crt", "key": "tls.key"}
    own = {"configuration": {"brokerCertChainAndKey": shown}} if store.engine.certificate is not None else {}
    return {
        "name": "tls",
        "port": KAFKA_PORT,
        "type": "internal",
        "tls": True,
        "authentication": {"type": "scram-sha-512"},
        **own,
        "networkPolicyPeers": _clients(home, store),
    }


def _clients(home: Home, store: Store[Kafka]) -> list[JsonObject]:
    """Pods of services that use it, and KEDA where it asks how far one of them is."""
    asked = scaled_by(home.placed, store.name)
    return [*callers(home.placed, store), *([within(_operator(home).keda_namespace)] if asked else [])]


def _config(kafka: Kafka, *, is_spread: bool) -> JsonObject:
    nearest = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
    config = {
        **kafka.parameters,
        "auto.create.topics.enable": False,
        "default.replication.factor": REPLICAS,
        "min.insync.replicas": IN_SYNC,
        "offsets.topic.replication.factor": REPLICAS,
        **({"replica.selector.class": nearest} if is_spread else {}),
        "transaction.state.log.min.isr": IN_SYNC,
        "transaction.state.log.replication.factor": REPLICAS,
        "unclean.leader.election.enable": False,
    }
    return dict(sorted(config.items()))


def _entity_operator(home: Home, store: Store[Kafka]) -> JsonObject:
    """Makes topics and users of their objects, in this namespace alone."""
    each = {"image": _operator(home).operator_image, "resources": resources_of(_OPERATOR)}
    container = {"securityContext": dict(_CONTAINER)}
    return {
        "topicOperator": each,
        "userOperator": each,
        "template": {
            "pod": _pod(home, store),
            "topicOperatorContainer": container,
            "userOperatorContainer": container,
        },
    }


def _exporter(home: Home, store: Store[Kafka]) -> JsonObject:
    """Counts how far consumers are behind."""
    return {
        "image": _operator(home).image,
        "groupRegex": ".*",
        "topicRegex": ".*",
        "resources": resources_of(_EXPORTER),
        "template": {"pod": _pod(home, store), "container": {"securityContext": dict(_CONTAINER)}},
    }


def _cruise_control(home: Home, store: Store[Kafka], moves: CruiseControl) -> JsonObject:
    return {
        "image": _operator(home).image,
        "resources": resources_of(moves.resources),
        "autoRebalance": [{"mode": "add-brokers"}, {"mode": "remove-brokers"}],
        "template": {"pod": _pod(home, store), "cruiseControlContainer": {"securityContext": dict(_CONTAINER)}},
    }


def _topic(home: Home, store: Store[Kafka], name: str, topic: Topic) -> JsonObject:
    """Kept when its lines go: the operator deletes the messages of a KafkaTopic that is deleted."""
    kept = {"retention.bytes": int(size(topic.partition_size)), "retention.ms": topic.retention_hours * 3_600_000}
    config = {
        "cleanup.policy": topic.cleanup,
        "min.insync.replicas": topic.in_sync,
        **(kept if topic.cleanup == "delete" else {}),
        "segment.bytes": topic.segment_bytes,
    }
    spec = {"topicName": name, "partitions": topic.partitions, "replicas": topic.replicas, "config": config}
    classes = ",".join(topic.classes or store.use.classes)
    made = home.made(
        store, API, "KafkaTopic", f"{store.name}.{name}", spec, **KEPT, **{"croupier.dev/data-classes": classes}
    )
    made["metadata"]["labels"][STRIMZI] = store.name
    return made


def _user(home: Home, store: Store[Kafka], service: str, access: Access) -> JsonObject:
    """A service: what it writes, what it reads and as which group, how much of it a second; and nothing else."""
    prefix, rules = f"{service}.", []
    for topic in access.produces:
        rules.append(_rule("topic", topic, "Describe", "Write"))
    if access.produces:
        rules.append(_rule("transactionalId", prefix, "Describe", "Write", pattern="prefix"))
    for topic in access.consumes:
        rules.append(_rule("topic", topic, "Describe", "Read"))
    if access.consumes:
        rules += [_rule("group", service, "Read"), _rule("group", prefix, "Read", pattern="prefix")]
    password = {"valueFrom": {"secretKeyRef": {"name": store.secret(service), "key": "password"}}}
    spec = {
        "authentication": {"type": "scram-sha-512", "password": password},
        "authorization": {"type": "simple", "acls": rules},
        "quotas": {
            "consumerByteRate": int(size(access.consume_rate)),
            "producerByteRate": int(size(access.produce_rate)),
        },
    }
    made = home.made(store, API, "KafkaUser", kafka_user_of(store.name, service), spec)
    made["metadata"]["labels"][STRIMZI] = store.name
    return made


def _rule(kind: str, name: str, *operations: str, pattern: str = "literal") -> JsonObject:
    resource = {"type": kind, "name": name, "patternType": pattern}
    return {"type": "allow", "resource": resource, "operations": list(operations), "host": "*"}


def _doors(home: Home, store: Store[Kafka]) -> list[JsonObject]:
    kafka, operator = store.engine, within(_operator(home).namespace)
    nodes, entities, exporter, moves = (
        {"podSelector": {"matchLabels": _labels(store, part)}}
        for part in ("kafka", "entity-operator", "kafka-exporter", "cruise-control")
    )
    watched = home.region.monitoring_namespace is not None
    inner = [nodes, entities, *([exporter] if watched else []), *([moves] if kafka.cruise_control else [])]
    ask_server = [api_servers(home.stands)]
    to_nodes, to_moves = allowed("to", [nodes], [_REPLICATION]), allowed("to", [moves], [_CRUISE])
    made = {
        store.name: door(
            nodes["podSelector"],
            [
                allowed("from", _clients(home, store), [KAFKA_PORT]),
                allowed("from", inner, [_REPLICATION]),
                allowed("from", [nodes], [_CONTROL]),
                allowed("from", [operator], [_CONTROL, _REPLICATION, _AGENT]),
                *watchers(home, _METRICS),
            ],
            # A node asks the API server in which zone it is.
            [allowed("to", [nodes], [_CONTROL, _REPLICATION]), *ask_server],
        ),
        f"{store.name}-entity-operator": door(
            entities["podSelector"], [], [to_nodes, *([to_moves] if kafka.cruise_control else []), *ask_server]
        ),
    }
    if watched:
        made[f"{store.name}-kafka-exporter"] = door(exporter["podSelector"], watchers(home, _METRICS), [to_nodes])
    if kafka.cruise_control:
        asked = [allowed("from", [entities, operator], [_CRUISE])]
        made[f"{store.name}-cruise-control"] = door(moves["podSelector"], asked, [to_nodes])
    return [home.made(store, NETWORK, "NetworkPolicy", name, spec) for name, spec in made.items()]


def _monitors(home: Home, store: Store[Kafka]) -> list[JsonObject]:
    """Nothing where the region's Prometheus is not an operator's."""
    prometheus = home.region.prometheus
    if prometheus is None or prometheus.form != "operator":
        return []
    parts = [f"{store.name}-{part}" for part in ("kafka", "kafka-exporter")]
    monitor = {
        "selector": {"matchExpressions": [{"key": COMPONENT, "operator": "In", "values": parts}]},
        "podTargetLabels": [STRIMZI],
        "podMetricsEndpoints": [{"port": METRICS_PORT}],
    }
    made = [home.made(store, _MONITORING, "PodMonitor", store.name, monitor)]
    if groups := store_rules(home.placed, store):
        made.append(home.made(store, _MONITORING, "PrometheusRule", store.name, {"groups": groups}))
    for each in made:
        each["metadata"]["labels"] |= prometheus.labels
    return made
