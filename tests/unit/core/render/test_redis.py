"""What ``render`` makes of Redis: caches and data that are kept apart, in walls, with a user each (S7.1, S13.6)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tests.support import quick_yaml
from tests.support.platforms import manifests, redis, remembered
from tests.support.promtool import fires, needs_promtool

from croupier.core.render.cell import render
from croupier.model.monitoring import Monitoring
from croupier.model.redis import Redis

HOME, CELL = "stores/eu-north/lucky-se-eu-north.yaml", "cells/lucky-se-eu-north"
Made = dict[tuple[str, str], dict[str, Any]]
OPERATOR = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "redis-operator"}}}


def _made(engine: Redis | None = None, **of_region: object) -> Made:
    """(kind, name) -> object."""
    held = quick_yaml.load_all(manifests(remembered(engine, **of_region))[HOME])
    return {(each["kind"], each["metadata"]["name"]): each for each in held}


def _lines(made: Made) -> list[str]:
    (held,) = (each for (kind, _), each in made.items() if kind == "ConfigMap")
    text: str = held["data"]["redis-additional.conf"]
    return text.splitlines()


def test_a_cache_forgets_the_oldest_and_writes_nothing() -> None:
    """Three quarters of 1 GiB are for data; 1300 connections of pods, and 100 for copies and people."""
    assert _lines(_made()) == [
        "maxmemory 805306368",
        "maxmemory-policy allkeys-lru",
        "maxclients 1400",
        "appendonly no",
        'save ""',
    ]


def test_data_is_logged_and_never_pushed_out() -> None:
    lines = _lines(_made(redis(holds="data", fsync="always", rto_seconds=40)))
    assert {"maxmemory 644245094", "maxmemory-policy noeviction", "appendonly yes", "appendfsync always"} <= set(lines)
    assert {"min-replicas-to-write 1", "min-replicas-max-lag 10"} <= set(lines)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"holds": "data", "eviction": "allkeys-lru"}, "with allkeys-lru data goes where memory is short"),
        ({"holds": "data", "instances": 2}, "data takes 3 instances"),
        ({"shards": 5}, "shards are of mode cluster"),
    ],
)
def test_what_contradicts_itself_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        redis(**given)


def test_another_configuration_is_another_config_map_so_pods_roll() -> None:
    """Redis reads its file once, when it starts."""
    names = set()
    for engine in (redis(), redis(eviction="allkeys-lfu")):
        made = _made(engine)
        (name,) = (name for kind, name in made if kind == "ConfigMap")
        held = made["RedisReplication", "sessions"]["spec"]
        assert held["redisConfig"]["additionalRedisConfig"] == name
        names.add(name)
    assert len(names) == 2


def test_sentinels_watch_the_copies_and_a_majority_decides() -> None:
    """S7.1: a primary that is silent for a quarter of the RTO is replaced."""
    made = _made(redis(rto_seconds=20, instances=2))
    held = made["RedisReplication", "sessions"]["spec"]
    watching = made["RedisSentinel", "sessions"]["spec"]
    said = watching["redisSentinelConfig"]
    assert (held["clusterSize"], watching["clusterSize"], said["quorum"]) == (2, 3, "2")
    assert said["redisReplicationName"] == "sessions"
    assert (said["downAfterMilliseconds"], said["failoverTimeout"]) == ("5000", "20000")


def test_a_cluster_has_copies_for_every_shard_and_remembers_its_nodes() -> None:
    held = _made(redis(mode="cluster", shards=4, instances=2))["RedisCluster", "sessions"]["spec"]
    assert (held["redisLeader"]["replicas"], held["redisFollower"]["replicas"]) == (4, 4)
    assert held["storage"]["nodeConfVolume"] is True
    assert held["persistenceEnabled"] is True


@pytest.mark.parametrize(("engine", "end"), [(redis(), "RedisReplication"), (redis(mode="cluster"), "RedisCluster")])
def test_what_is_taken_out_of_git_keeps_its_volumes(engine: Redis, end: str) -> None:
    held = _made(engine)[end, "sessions"]
    assert held["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false"
    assert held["spec"]["storage"]["keepAfterDelete"] is True
    assert held["spec"]["kubernetesConfig"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain"


def test_leaders_avoid_followers_where_there_are_machines() -> None:
    """Any two may be a primary and its copy."""
    held = _made(redis(mode="cluster"))["RedisCluster", "sessions"]["spec"]
    for part in ("redisLeader", "redisFollower"):
        avoided = held[part]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        (term,) = (each["podAffinityTerm"] for each in avoided)
        assert term["labelSelector"] == {"matchLabels": {"cluster": "sessions"}}


def _workloads(made: Made) -> list[dict[str, Any]]:
    """What has pods of its own, with what is said of all of a cluster."""
    found = []
    for (kind, _), each in made.items():
        spec = each.get("spec", {})
        if kind == "RedisCluster":
            found += [{**spec, **spec[part]} for part in ("redisLeader", "redisFollower")]
        elif kind.startswith("Redis"):
            found.append(spec)
    return found


@pytest.mark.parametrize("engine", [redis(), redis(mode="cluster")])
def test_every_container_runs_restricted_and_reads_only(engine: Redis) -> None:
    """S3.8 to S3.12: the one that writes the configuration too, and the exporter."""
    for spec in _workloads(_made(engine)):
        assert spec["podSecurityContext"]["runAsNonRoot"] is True
        assert spec["podSecurityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for each in (spec, spec["initContainer"], spec["redisExporter"]):
            assert each["securityContext"]["readOnlyRootFilesystem"] is True
            assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert spec["serviceAccountName"] == "sessions"


def test_its_pods_have_no_business_with_the_cluster() -> None:
    assert _made()["ServiceAccount", "sessions"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("holds", ["cache", "data"])
def test_instances_are_apart_and_one_at_a_time_goes(holds: str) -> None:
    """S2.2; only data waits for a zone."""
    for spec in _workloads(_made(redis(holds=holds, storage="money"))):
        (apart,) = spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert apart["topologyKey"] == "kubernetes.io/hostname"
        (zones,) = spec["topologySpreadConstraints"]
        assert zones["whenUnsatisfiable"] == ("DoNotSchedule" if holds == "data" else "ScheduleAnyway")
        assert zones["labelSelector"] == apart["labelSelector"]
        assert spec["pdb"] == {"enabled": True, "maxUnavailable": 1}
        assert spec["nodeSelector"] == {"pool": "money"}


def test_each_service_has_a_user_of_its_own_and_no_password_stands_in_a_file() -> None:
    """S5.4, S10.6: who shares a store can do nothing with the server."""
    spec = _made()["ExternalSecret", "sessions-users"]["spec"]
    owner, other = spec["target"]["template"]["data"]["user.acl"].splitlines()
    assert owner == "user default on #{{ .password | sha256sum }} ~* &* +@all"
    assert other.startswith("user payments_api on #{{ .of_payments_api | sha256sum }} ~* &* +@all -@admin -@dangerous")
    asked = {each["secretKey"]: tuple(each["remoteRef"].values()) for each in spec["data"]}
    assert asked == {
        "password": ("casino/sessions", "password"),
        "of_payments_api": ("casino/payments", "password"),
        "sentinelPassword": ("casino/sessions", "sentinelPassword"),
    }
    made = _made()
    logins = [made[kind, "sessions"]["spec"]["kubernetesConfig"]["redisSecret"]["key"] for kind in
              ("RedisReplication", "RedisSentinel")]  # fmt: skip
    assert logins == ["password", "sentinelPassword"]


def test_a_cluster_has_no_sentinels_and_no_password_for_them() -> None:
    made = _made(redis(mode="cluster"))
    assert "sentinelPassword" not in made["ExternalSecret", "sessions-users"]["spec"]["target"]["template"]["data"]
    assert not [kind for kind, _ in made if kind == "RedisSentinel"]


def _from(policy: dict[str, Any], port: int) -> list[dict[str, Any]]:
    return [
        peer
        for rule in policy["spec"]["ingress"]
        if port in {each["port"] for each in rule["ports"]}
        for peer in rule["from"]
    ]


@pytest.mark.parametrize(("name", "port"), [("sessions", 6379), ("sessions-sentinel", 26379)])
def test_only_its_users_the_operator_and_sentinels_reach_it(name: str, port: int) -> None:
    """S2.4."""
    peers = _from(_made()["NetworkPolicy", name], port)
    services = [
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
        for peer in peers
        if "podSelector" in peer and "namespaceSelector" in peer
    ]
    assert services == ["lobby", "payments-api"]
    assert OPERATOR in peers
    inside = [peer["podSelector"]["matchLabels"]["app"] for peer in peers if "namespaceSelector" not in peer]
    assert set(inside) <= {"sessions", "sessions-sentinel"}


def test_leaders_and_followers_of_a_cluster_talk_over_the_bus() -> None:
    policy = _made(redis(mode="cluster"))["NetworkPolicy", "sessions"]
    (itself,) = _from(policy, 16379)
    assert itself["podSelector"] == policy["spec"]["podSelector"]


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        (redis(), {"SESSIONS_MODE": "sentinel", "SESSIONS_SENTINEL_MASTER": "mymaster"}
         | {"SESSIONS_SENTINELS": "sessions-sentinel.lucky-se-eu-north-data:26379"}),
        (redis(mode="cluster"), {"SESSIONS_MODE": "cluster"}),
    ],
)  # fmt: skip
def test_pods_are_told_where_it_is(engine: Redis, said: dict[str, str]) -> None:
    made = quick_yaml.load_all(manifests(remembered(engine))[f"{CELL}/lobby.yaml"])
    (pod,) = (each["spec"]["template"]["spec"] for each in made if each["kind"] == "Deployment")
    told = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
    address = {"SESSIONS_HOST": "sessions-master.lucky-se-eu-north-data", "SESSIONS_PORT": "6379"}
    assert {**address, "SESSIONS_POOL_SIZE": "10", **said}.items() <= told.items()
    assert "/secrets/sessions" in {each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}


@pytest.mark.parametrize(
    ("engine", "asked"),
    [
        (redis(), [("sessions", 6379), ("sessions-sentinel", 26379)]),
        (redis(mode="cluster"), [("sessions-leader", 6379), ("sessions-follower", 6379)]),
    ],
)
def test_its_users_may_ask_it(engine: Redis, asked: list[tuple[str, int]]) -> None:
    made = quick_yaml.load_all(manifests(remembered(engine))[f"{CELL}/lobby.yaml"])
    (policy,) = (each["spec"] for each in made if each["kind"] == "NetworkPolicy")
    found = [
        (peer["podSelector"]["matchLabels"]["app"], rule["ports"][0]["port"])
        for rule in policy["egress"]
        for peer in rule["to"]
        if "app" in peer.get("podSelector", {}).get("matchLabels", {})
    ]
    assert found == asked


def test_a_prometheus_finds_the_exporters() -> None:
    """S9.3: an operator's by PodMonitor, one that reads files by the name of the port."""
    scrapes = [text for name, text in render(remembered()).items() if name.endswith("scrape.conf")]
    assert scrapes
    for text in scrapes:
        (job,) = (each for each in quick_yaml.load(text)["scrape_configs"] if each["job_name"] == "croupier-stores")
        kept = next(each["regex"] for each in job["relabel_configs"] if each.get("action") == "keep")
        assert "redis-exporter" in kept.split("|")


def _called(engine: Redis | None = None) -> dict[str, dict[str, Any]]:
    """Alert -> its rule."""
    (text,) = (text for name, text in render(remembered(engine)).items() if name.endswith("lucky-se-eu-north.rules"))
    (group,) = (each for each in quick_yaml.load(text)["groups"] if each["name"].endswith("/sessions/redis"))
    return {each["alert"]: each for each in group["rules"] if "alert" in each}


_ALWAYS = {"RedisPrimaryMissing", "RedisCopiesMissing", "RedisConnectionsFull", "RedisCountersMissing"}
_OF_DATA = {"RedisMemoryFull", "RedisLogFailing"}


@pytest.mark.parametrize(
    ("engine", "named"),
    [
        (redis(), {"RedisFailoverImpossible"}),
        (redis(holds="data"), {"RedisFailoverImpossible", *_OF_DATA}),
        (redis(mode="cluster", holds="data"), {"RedisSlotsMissing", *_OF_DATA}),
    ],
)
def test_the_owner_is_called_about_what_can_happen_to_it(engine: Redis, named: set[str]) -> None:
    """S15.7: a full cache is no incident."""
    called = _called(engine)
    assert called.keys() == _ALWAYS | named
    assert {each["labels"]["service"] for each in called.values()} == {"lobby"}
    assert all("runbook_url" in each["annotations"] for each in called.values())


def test_alerts_count_what_is_declared() -> None:
    called = _called(redis(mode="cluster", shards=4, instances=2))
    assert called["RedisPrimaryMissing"]["expr"].endswith("< 4")
    assert called["RedisCopiesMissing"]["expr"].endswith("< 4")
    assert called["RedisConnectionsFull"]["expr"].endswith("> 1260")  # nine tenths of 1400
    assert called["RedisCopiesMissing"]["labels"]["severity"] == "ticket"  # a cache


def test_an_operators_prometheus_is_told_of_every_workload_and_whom_to_call() -> None:
    watched = Monitoring(form="operator", labels={"prometheus": "main"})
    made = _made(redis(mode="cluster"), prometheus=watched)
    assert {name for kind, name in made if kind == "PodMonitor"} == {"sessions-leader", "sessions-follower"}
    rule = made["PrometheusRule", "sessions"]
    assert rule["metadata"]["labels"]["prometheus"] == "main"
    # Alerts ask by the label that the monitors have copied.
    copied = made["PodMonitor", "sessions-leader"]["spec"]["podTargetLabels"]
    assert "app.kubernetes.io/name" in copied
    assert 'app_kubernetes_io_name="sessions"' in rule["spec"]["groups"][0]["rules"][0]["expr"]


_OF_SESSIONS = 'namespace="lucky-se-eu-north-data",app_kubernetes_io_name="sessions"'


@needs_promtool
@pytest.mark.parametrize(
    ("series", "expected"),
    [
        pytest.param({"master": "1x20", "slave": "1x20"}, set(), id="sound"),
        pytest.param({"slave": "1x20"}, {"RedisPrimaryMissing page"}, id="no-primary"),
        pytest.param({}, {"RedisCountersMissing ticket"}, id="nobody-counts"),
    ],
)
def test_a_primary_is_missed_by_those_who_count(tmp_path: Path, series: dict[str, str], expected: set[str]) -> None:
    """Exporters that are gone say nothing of primaries: that is a ticket, not a page."""
    given = {f'redis_instance_info{{{_OF_SESSIONS},role="{role}"}}': values for role, values in series.items()}
    up = {f"redis_up{{{_OF_SESSIONS}}}": "1x20"} if series else {}
    fires(tmp_path, [{"name": "redis", "rules": [*_called().values()]}], given | up, {10: expected})
