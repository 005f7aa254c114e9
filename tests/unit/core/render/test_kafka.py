"""What ``render`` makes of a store of Kafka: messages that are not lost, and that nobody else reads (S2.7, S7)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from tests.support import quick_yaml
from tests.support.platforms import STRIMZI, manifests, stands, streamed, streams

from croupier.core.render.cell import objects, render
from croupier.engine.schemas import checked
from croupier.model.kafka import Controllers, CruiseControl, Topic
from croupier.model.monitoring import Monitoring
from croupier.model.platform import PlacedCell
from croupier.model.schemas import NEWEST
from croupier.model.service_spec import Alerts

STORES, CELL = "stores/eu-north/lucky-se-eu-north.yaml", "cells/lucky-se-eu-north"
Made = dict[tuple[str, str], dict[str, Any]]
OPERATOR = Monitoring(form="operator", labels={"prometheus": "platform"})


def _file(cells: Iterable[PlacedCell], name: str = STORES) -> Made:
    """(kind, name) -> object."""
    return {(each["kind"], each["metadata"]["name"]): each for each in quick_yaml.load_all(manifests(cells)[name])}


def _spec(made: Made, kind: str, name: str = "events") -> dict[str, Any]:
    spec: dict[str, Any] = made[kind, name]["spec"]
    return spec


def _reached(policy: dict[str, Any]) -> set[int]:
    return {port["port"] for rule in policy["egress"] for port in rule["ports"]}


def _called(cells: Iterable[PlacedCell]) -> list[PlacedCell]:
    """Whose services have somebody to call."""
    said = Alerts(team="streams", runbook="https://runbooks.example/{service}")
    return [
        placed.model_copy(
            update={"services": tuple(each.model_copy(update={"alerts": said}) for each in placed.services)}
        )
        for placed in cells
    ]


@pytest.mark.parametrize(
    "cells",
    [
        streamed(),
        streamed(scaled=True),
        streamed(streams(certificate=None, cruise_control=CruiseControl())),
        _called(streamed(prometheus=OPERATOR)),
    ],
    ids=["plain", "scaled", "moved", "watched"],
)
def test_what_is_rendered_is_what_strimzi_defines(cells: list[PlacedCell]) -> None:
    """Every kind of a Kafka is known, and every field held against its definition."""
    held = checked(objects(cells), NEWEST)
    assert not held.unknown


def test_a_confirmed_message_is_on_two_machines_and_nothing_that_missed_it_leads() -> None:
    """S7.4: three copies, two of them confirmed, on machines and in zones of their own."""
    made = _file(streamed())
    config = _spec(made, "Kafka")["kafka"]["config"]
    assert config["default.replication.factor"] == config["offsets.topic.replication.factor"] == 3
    assert config["min.insync.replicas"] == config["transaction.state.log.min.isr"] == 2
    assert config["unclean.leader.election.enable"] is False
    assert config["auto.create.topics.enable"] is False
    topic = _spec(made, "KafkaTopic", "events.bets.settled")
    assert (topic["replicas"], topic["config"]["min.insync.replicas"]) == (3, 2)
    for pool, role in (("events-brokers", "broker"), ("events-controllers", "controller")):
        spec = _spec(made, "KafkaNodePool", pool)
        assert (spec["replicas"], spec["roles"]) == (3, [role])
        pod = spec["template"]["pod"]
        (apart,) = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert apart["topologyKey"] == "kubernetes.io/hostname"
        assert pod["topologySpreadConstraints"][0]["whenUnsatisfiable"] == "DoNotSchedule"
    assert _spec(made, "Kafka")["kafka"]["rack"] == {"topologyKey": "topology.kubernetes.io/zone"}


def test_in_one_zone_there_are_no_racks_to_tell_apart() -> None:
    spec = _spec(_file(streamed(zones=("a",))), "Kafka")["kafka"]
    assert not {"rack", "brokerRackInitImage"} & spec.keys()
    assert "replica.selector.class" not in spec["config"]


def test_what_may_be_lost_costs_less() -> None:
    clicks = _spec(_file(streamed()), "KafkaTopic", "events.clicks")
    assert (clicks["replicas"], clicks["config"]["min.insync.replicas"]) == (2, 1)
    assert clicks["config"]["retention.ms"] == 24 * 3_600_000


def test_compacted_topics_are_not_cut_by_age_or_size() -> None:
    made = _file(streamed(streams(topics={"limits": Topic(cleanup="compact")})))
    config = _spec(made, "KafkaTopic", "events.limits")["config"]
    assert config["cleanup.policy"] == "compact"
    assert not {"retention.ms", "retention.bytes"} & config.keys()


def test_a_line_that_is_deleted_deletes_no_message() -> None:
    """Prevents: the loss of a topic with its KafkaTopic, and of its volumes with the Kafka."""
    made = _file(streamed())
    for kind, name in (("Kafka", "events"), ("KafkaNodePool", "events-brokers"), ("KafkaTopic", "events.clicks")):
        assert "Delete=false" in made[kind, name]["metadata"]["annotations"]["argocd.argoproj.io/sync-options"]
    (volume,) = _spec(made, "KafkaNodePool", "events-brokers")["storage"]["volumes"]
    assert volume["deleteClaim"] is False


def test_each_service_may_do_what_it_says_and_nothing_else() -> None:
    """A consumer cannot write, a producer cannot read, and neither touches another's group."""

    def allowed(name: str) -> set[tuple[Any, ...]]:
        user = _spec(_file(streamed()), "KafkaUser", name)
        rules = user["authorization"]["acls"]
        assert all(each["type"] == "allow" for each in rules)
        return {
            (
                each["resource"]["type"],
                each["resource"]["name"],
                each["resource"]["patternType"],
                tuple(each["operations"]),
            )
            for each in rules
        }

    assert allowed("events.lobby") == {
        ("topic", "bets.settled", "literal", ("Describe", "Read")),
        ("group", "lobby", "literal", ("Read",)),
        ("group", "lobby.", "prefix", ("Read",)),
    }
    assert allowed("events.wallet") == {
        ("topic", "bets.settled", "literal", ("Describe", "Write")),
        ("topic", "clicks", "literal", ("Describe", "Write")),
        ("transactionalId", "wallet.", "prefix", ("Describe", "Write")),
    }


def test_no_service_takes_all_of_a_broker() -> None:
    quotas = _spec(_file(streamed()), "KafkaUser", "events.lobby")["quotas"]
    assert quotas == {"consumerByteRate": 20 * 2**20, "producerByteRate": 10 * 2**20}


def test_passwords_come_from_the_secret_store_and_reach_pods_and_brokers() -> None:
    """S5.4: one place in the secret store, a Secret beside the brokers and one beside the pods."""
    cells = streamed()
    made = _file(cells)
    reference = _spec(made, "KafkaUser", "events.lobby")["authentication"]["password"]["valueFrom"]["secretKeyRef"]
    assert reference == {"name": "events-lobby", "key": "password"}
    beside = _spec(made, "ExternalSecret", "events-lobby")
    here = _spec(_file(cells, f"{CELL}/01-secrets.yaml"), "ExternalSecret", "lobby-events")
    assert (
        beside["data"][0]["remoteRef"]
        == here["data"][0]["remoteRef"]
        == {"key": "casino/lobby", "property": "password"}
    )


def test_pods_trust_the_certificate_that_brokers_show() -> None:
    cells = streamed()
    (listener,) = _spec(_file(cells), "Kafka")["kafka"]["listeners"]
    assert listener["configuration"]["brokerCertChainAndKey"]["secretName"] == "events-listener"
    trusted = _spec(_file(cells, f"{CELL}/01-secrets.yaml"), "ExternalSecret", "lobby-events-ca")
    assert trusted["data"] == [{"secretKey": "ca.crt", "remoteRef": {"key": "casino/tls", "property": "ca.crt"}}]
    container = _spec(_file(cells, f"{CELL}/lobby.yaml"), "Deployment", "lobby")["template"]["spec"]["containers"][0]
    assert "/secrets/events-ca" in {each["mountPath"] for each in container["volumeMounts"]}


def test_pods_are_told_where_brokers_are_and_who_they_are() -> None:
    deployment = _spec(_file(streamed(), f"{CELL}/lobby.yaml"), "Deployment", "lobby")
    told = {each["name"]: each.get("value") for each in deployment["template"]["spec"]["containers"][0]["env"]}
    assert told["EVENTS_BOOTSTRAP_SERVERS"] == "events-kafka-bootstrap.lucky-se-eu-north-data.svc:9093"
    assert (told["EVENTS_SECURITY_PROTOCOL"], told["EVENTS_SASL_MECHANISM"]) == ("SASL_SSL", "SCRAM-SHA-512")
    assert (told["EVENTS_USERNAME"], told["EVENTS_GROUP"]) == ("events.lobby", "lobby")


def test_only_users_reach_brokers_and_brokers_reach_nobody_else() -> None:
    """S10.6: Strimzi's own policy lets in everybody whom its listener does not name."""
    made = _file(streamed())
    (listener,) = _spec(made, "Kafka")["kafka"]["listeners"]
    policy = _spec(made, "NetworkPolicy")
    clients = policy["ingress"][0]
    assert clients["from"] == listener["networkPolicyPeers"]
    assert [each["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for each in clients["from"]] == [
        "lobby",
        "wallet",
    ]
    assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} == {9090, 9091, 6443}
    for name in ("events-entity-operator", "events-kafka-exporter"):
        assert {port["port"] for rule in _spec(made, "NetworkPolicy", name)["egress"] for port in rule["ports"]} <= {
            9091,
            6443,
        }


def test_pods_reach_the_brokers_of_their_cell_alone() -> None:
    rules = _spec(_file(streamed(), f"{CELL}/lobby.yaml"), "NetworkPolicy", "lobby")["egress"]
    (door,) = [rule for rule in rules if rule["ports"] == [{"port": 9093, "protocol": "TCP"}]]
    (peer,) = door["to"]
    assert peer["podSelector"]["matchLabels"] == {"strimzi.io/cluster": "events", "strimzi.io/name": "events-kafka"}
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "lucky-se-eu-north-data"}


def test_a_scaler_asks_the_store_as_the_service() -> None:
    """S6.2: KEDA is let in, and logs in with what the pods have."""
    cells = streamed(scaled=True)
    made = _file(cells, f"{CELL}/lobby.yaml")
    (trigger,) = _spec(made, "ScaledObject", "lobby")["triggers"]
    asked = trigger["metadata"]
    assert asked["bootstrapServers"] == "events-kafka-bootstrap.lucky-se-eu-north-data.svc:9093"
    assert (asked["consumerGroup"], asked["sasl"], asked["tls"]) == ("lobby", "scram_sha512", "enable")
    spoken = _spec(made, "TriggerAuthentication", "lobby")
    assert spoken["env"] == [{"parameter": "username", "name": "EVENTS_USERNAME", "containerName": "app"}]
    assert spoken["secretTargetRef"] == [
        {"parameter": "ca", "name": "lobby-events-ca", "key": "ca.crt"},
        {"parameter": "password", "name": "lobby-events", "key": "password"},
    ]
    keda = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}}
    assert keda in _spec(_file(cells), "NetworkPolicy")["ingress"][0]["from"]
    assert keda not in _spec(_file(streamed()), "NetworkPolicy")["ingress"][0]["from"]


def test_every_pod_is_run_as_pod_security_restricted_wants_it() -> None:
    """However the operator is installed: its default leaves out what ``restricted`` asks for."""
    made = _file(streamed(streams(cruise_control=CruiseControl())))
    spec = _spec(made, "Kafka")
    parts = {
        **{name: _spec(made, "KafkaNodePool", name)["template"] for name in ("events-brokers", "events-controllers")},
        **{name: spec[name]["template"] for name in ("entityOperator", "kafkaExporter", "cruiseControl")},
    }
    for part in parts.values():
        pod = part["pod"]["securityContext"]
        assert pod["runAsNonRoot"]
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
        containers = [each for name, each in part.items() if name != "pod"]
        assert containers
        for each in containers:
            assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert each["securityContext"]["allowPrivilegeEscalation"] is False


def test_cruise_control_is_there_only_where_it_is_asked_for() -> None:
    assert "cruiseControl" not in _spec(_file(streamed()), "Kafka")
    made = _file(streamed(streams(cruise_control=CruiseControl())))
    assert [each["mode"] for each in _spec(made, "Kafka")["cruiseControl"]["autoRebalance"]] == [
        "add-brokers",
        "remove-brokers",
    ]
    assert ("NetworkPolicy", "events-cruise-control") in made


def test_a_majority_of_controllers_is_asked_for() -> None:
    made = _file(streamed(streams(controllers=Controllers(instances=5, size="10Gi"))))
    assert _spec(made, "KafkaNodePool", "events-controllers")["replicas"] == 5


def test_nothing_is_backed_up_so_no_credentials_of_a_bucket_are_there() -> None:
    """Prevents: a region that must have an object store for what is never archived."""
    without = [
        placed.model_copy(
            update={
                "region": placed.region.model_copy(
                    update={"stores": stands(placed.cell.region, kafka=STRIMZI, object_store=None)}
                )
            }
        )
        for placed in streamed()
    ]
    assert not [name for kind, name in _file(without) if name.startswith("object-store")]


def test_somebody_is_called_when_messages_may_be_lost_or_are_not_read() -> None:
    """S9.3, S15.7: copies by the owner's team, lag by that of who reads."""
    made = _file(_called(streamed(prometheus=OPERATOR)))
    monitor = _spec(made, "PodMonitor")
    assert monitor["podMetricsEndpoints"] == [{"port": "tcp-prometheus"}]
    (group,) = _spec(made, "PrometheusRule")["groups"]
    rules = {each["alert"]: each for each in group["rules"]}
    assert rules.keys() == {
        "KafkaPartitionsOffline",
        "KafkaWritesRefused",
        "KafkaUnderReplicated",
        "KafkaCountersMissing",
        "KafkaConsumerBehind",
    }
    behind = rules["KafkaConsumerBehind"]
    assert behind["labels"]["service"] == "lobby"
    assert 'topic="bets.settled"' in behind["expr"]
    assert behind["expr"].endswith("> 300")
    assert behind["annotations"]["runbook_url"] == "https://runbooks.example/lobby#kafka-consumer-behind"
    assert all('namespace="lucky-se-eu-north-data"' in each["expr"] for each in rules.values())


def test_a_prometheus_that_reads_files_has_the_same_rules_and_finds_the_pods() -> None:
    files = render(_called(streamed(prometheus=Monitoring(form="files"))))
    rules = quick_yaml.load(files["prometheus/eu-north/lucky-se-eu-north.rules"])
    assert "lucky-se-eu-north/events/kafka" in {each["name"] for each in rules["groups"]}
    jobs = quick_yaml.load(files["prometheus/eu-north/scrape.conf"])["scrape_configs"]
    (job,) = [each for each in jobs if each["job_name"] == "croupier-stores"]
    assert "tcp-prometheus" in job["relabel_configs"][0]["regex"].split("|")
