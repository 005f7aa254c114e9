"""What ``render`` makes of MySQL: nodes that lose nothing, an archive of them, walls, users (S7.1 to S7.4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from tests.support.platforms import galera, manifests, mysql
from tests.support.promtool import fires, needs_promtool

from croupier.core.policy.catalogue import RULES
from croupier.core.policy.check import check
from croupier.core.render.cell import render
from croupier.core.render.mysql_watch import mysql_rules
from croupier.model.monitoring import Monitoring
from croupier.model.mysql import Mysql
from croupier.spec.manifests import read_text

HOME, CELL = "stores/eu-north/lucky-se-eu-north.yaml", "cells/lucky-se-eu-north"
CERTIFIED = mysql(certificate="casino/nodes", system="casino/system")
Made = dict[tuple[str, str], dict[str, Any]]


def _text(engine: Mysql | None) -> str:
    return manifests(galera(engine))[HOME]


def _made(engine: Mysql | None = None) -> Made:
    """(kind, name) -> object."""
    return {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(_text(engine))}


def _spec(engine: Mysql | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = _made(engine)["PerconaXtraDBCluster", "ledger"]["spec"]
    return spec


def _variables(engine: Mysql | None = None) -> dict[str, str]:
    first, *lines = _spec(engine)["pxc"]["configuration"].splitlines()
    assert first == "[mysqld]"
    return dict(line.split(" = ") for line in lines)


def test_what_is_confirmed_is_on_disk_and_clients_encrypt() -> None:
    """S7.4, S10.6: Percona's images say otherwise of all three. 4 GiB of 8 GiB: whole ones, up to three fifths."""
    said = _variables()
    assert said["innodb_flush_log_at_trx_commit"] == said["sync_binlog"] == "1"
    assert said["require_secure_transport"] == "ON"
    assert said["innodb_buffer_pool_size"] == str(4 * 2**30)
    assert said["max_connections"] == "100"


def test_parameters_are_added_and_a_week_of_the_log_may_be_another_time() -> None:
    said = _variables(mysql(parameters={"innodb_io_capacity": "2000", "binlog_expire_logs_seconds": "86400"}))
    assert (said["innodb_io_capacity"], said["binlog_expire_logs_seconds"]) == ("2000", "86400")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"parameters": {"max_connections": "9"}}, "max_connections is computed"),
        ({"parameters": {"sync_binlog": "0"}}, "sync_binlog stays as it is"),
        ({"parameters": {"wsrep_sync_wait": "1"}}, "wsrep_sync_wait is set by the operator"),
        ({"parameters": {"init_connect": "{{ containerMemoryLimit }}"}}, "should match"),
        ({"parameters": {"init_connect": "a\nmax_connections=9"}}, "should match"),
        ({"instances": 4}, "Input should be 3 or 5"),
        ({"resources": {"cpu": "1", "memory": "512Mi"}}, "has none for data"),
        ({"backup_schedule": "0 2 30 2 *"}, "never comes"),
    ],
)
def test_what_would_lose_data_or_break_it_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        mysql(**given)


@pytest.mark.parametrize(
    ("schedule", "days", "kept"),
    [
        ("0 2 * * *", 30, 32),
        ("0 */6 * * *", 7, 33),
        ("0 2 * * 0", 30, 6),
        ("30 1 1 * *", 365, 14),
        ("0 2 * * 1,2", 6, 3),
    ],
)
def test_so_many_copies_are_kept_that_every_promised_moment_has_one_before_it(
    schedule: str, days: int, kept: int
) -> None:
    """S7.2: the operator counts copies and no days."""
    (planned,) = _spec(mysql(backup_schedule=schedule, pitr_days=days))["backup"]["schedule"]
    assert planned["retention"] == {"type": "count", "count": kept, "deleteFromStorage": True}


def test_copies_and_log_are_kept_apart_and_the_log_leaves_twice_as_often_as_it_may_be_lost() -> None:
    backup = _spec(mysql(region_rpo_seconds=60))["backup"]
    assert backup["pitr"]["enabled"] is True
    assert backup["pitr"]["timeBetweenUploads"] == 30
    (planned,) = backup["schedule"]
    folders = [
        backup["storages"][each]["s3"]["bucket"] for each in (planned["storageName"], backup["pitr"]["storageName"])
    ]
    assert folders == [f"eu-north/archive/lucky-se-eu-north/ledger/{each}" for each in ("backups", "log")]


def test_policy_finds_what_it_asks_for_in_what_is_rendered() -> None:
    """S7.3, policy N24: as many days as are promised."""
    manifest = read_text(_text(None), "stores.yaml").manifests
    assert [each.message for each in check(manifest, _rules("backup-window", "backup-encryption"))] == []


def _workloads(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [spec["pxc"], spec["haproxy"], *spec["backup"]["storages"].values()]


def test_every_container_that_the_operator_makes_runs_restricted() -> None:
    """S3.8 to S3.12: what it makes them from is the context of the part, and of the init container."""
    spec = _spec()
    for each in _workloads(spec):
        assert each["podSecurityContext"]["runAsNonRoot"] is True
        assert each["podSecurityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for each in (*_workloads(spec), spec["initContainer"]):
        assert each["containerSecurityContext"]["allowPrivilegeEscalation"] is False
        assert each["containerSecurityContext"]["capabilities"] == {"drop": ["ALL"]}
    (exporter,) = spec["pxc"]["sidecars"]
    assert exporter["securityContext"]["readOnlyRootFilesystem"] is True


def test_no_image_is_of_the_operators_choice_and_nobody_is_asked_for_versions() -> None:
    spec = _spec()
    parts = (spec["pxc"], spec["haproxy"], spec["backup"], spec["initContainer"], *spec["pxc"]["sidecars"])
    assert len({each["image"] for each in parts}) == 5
    assert spec["upgradeOptions"] == {"apply": "disabled"}


def test_nodes_are_apart_one_at_a_time_goes_and_money_has_its_own_machines() -> None:
    """S2.2, S7.8."""
    spec = _spec()
    for part in ("pxc", "haproxy"):
        assert spec[part]["affinity"] == {"antiAffinityTopologyKey": "kubernetes.io/hostname"}
        assert spec[part]["podDisruptionBudget"] == {"maxUnavailable": 1}
        assert spec[part]["priorityClassName"] == "croupier-money"
    (zones,) = spec["pxc"]["topologySpreadConstraints"]
    assert zones["whenUnsatisfiable"] == "DoNotSchedule"
    assert spec["pxc"]["nodeSelector"] == {"pool": "money"}
    assert "nodeSelector" not in spec["haproxy"]
    assert spec["pxc"]["volumeSpec"]["persistentVolumeClaim"]["storageClassName"] == "money"


def test_its_pods_have_no_business_with_the_cluster() -> None:
    assert _made()["ServiceAccount", "ledger"]["automountServiceAccountToken"] is False


def test_what_is_taken_out_of_git_stays_and_deleting_it_deletes_no_volume() -> None:
    made = _made()["PerconaXtraDBCluster", "ledger"]["metadata"]
    assert made["annotations"]["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false"
    assert "finalizers" not in made


def test_the_owner_has_the_database_and_others_its_rows() -> None:
    """S5.4, S10.6: the operator reads the passwords where External Secrets puts them."""
    users = {each["name"]: each for each in _spec()["users"]}
    assert users.keys() == {"ledger", "lobby"}
    assert users["ledger"]["grants"] == ["ALL PRIVILEGES"]
    assert users["lobby"]["grants"] == ["SELECT", "INSERT", "UPDATE", "DELETE"]
    made = _made()
    for each in users.values():
        assert each["dbs"] == ["ledger"]
        read = made["ExternalSecret", each["passwordSecretRef"]["name"]]["spec"]["data"]
        assert each["passwordSecretRef"]["key"] in {one["secretKey"] for one in read}


def test_keys_of_the_object_store_have_the_names_that_the_operator_reads() -> None:
    spec = _made()["ExternalSecret", "ledger-object-store"]["spec"]
    asked = {each["secretKey"]: each["remoteRef"]["property"] for each in spec["data"]}
    assert asked == {"AWS_ACCESS_KEY_ID": "accessKeyId", "AWS_SECRET_ACCESS_KEY": "secretAccessKey"}
    assert _spec()["backup"]["storages"]["log"]["s3"]["credentialsSecret"] == "ledger-object-store"
    assert ("ExternalSecret", "object-store-eu-north") not in _made()


def test_certificates_and_the_operators_passwords_come_from_outside_where_asked() -> None:
    """Without them it makes its own, and nothing is rendered."""
    made, spec = _made(CERTIFIED), _spec(CERTIFIED)
    assert spec["sslSecretName"] == spec["sslInternalSecretName"] == "ledger-tls"
    asked = {each["secretKey"] for each in made["ExternalSecret", "ledger-tls"]["spec"]["data"]}
    assert asked == {"ca.crt", "tls.crt", "tls.key"}
    system = {each["secretKey"] for each in made["ExternalSecret", spec["secretsName"]]["spec"]["data"]}
    assert system == {"monitor", "operator", "proxyadmin", "replication", "root", "xtrabackup"}
    assert "sslSecretName" not in _spec()
    assert ("ExternalSecret", "ledger-secrets") not in _made()


def _peers(policy: dict[str, Any], direction: str, port: int) -> list[dict[str, Any]]:
    side = "from" if direction == "ingress" else "to"
    return [
        peer
        for rule in policy["spec"][direction]
        if port in {each["port"] for each in rule["ports"]}
        for peer in rule[side]
    ]


def test_only_proxies_reach_a_node_and_only_users_and_the_operator_a_proxy() -> None:
    """S2.4."""
    made = _made()
    (peer,) = _peers(made["NetworkPolicy", "ledger"], "ingress", 3306)
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "haproxy"
    *users, operator = _peers(made["NetworkPolicy", "ledger-haproxy"], "ingress", 3306)
    names = [each["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for each in users]
    assert names == ["lobby", "wallet"]
    assert operator == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "pxc-operator"}}}


@pytest.mark.parametrize("part", ["pitr", "backup", "restore"])
def test_only_what_archives_and_restores_leaves_the_cluster(part: str) -> None:
    made = _made()
    (out,) = _peers(made["NetworkPolicy", f"ledger-{part}"], "egress", 443)
    assert out == {"namespaceSelector": {"matchLabels": {"svc": "backup-egress"}}}
    assert _peers(made["NetworkPolicy", "ledger"], "egress", 443) == []


def test_a_copy_is_sent_to_the_backup_that_joined_the_group() -> None:
    made = _made()
    (sent,) = [each for each in _peers(made["NetworkPolicy", "ledger"], "egress", 4444) if "percona.com/backup-type" in
               each["podSelector"]["matchLabels"]]  # fmt: skip
    assert sent["podSelector"] == made["NetworkPolicy", "ledger-backup"]["spec"]["podSelector"]


def test_every_policy_is_for_pods_that_the_operator_is_known_to_make() -> None:
    found = check(read_text(_text(None), "f").manifests, _rules("dangling-network-policy"))
    assert [each.message for each in found] == []


def _rules(*names: str) -> list[Any]:
    return [RULES[name] for name in names]


def test_pods_are_told_where_it_is_and_whom_to_trust() -> None:
    made = yaml.safe_load_all(manifests(galera(CERTIFIED))[f"{CELL}/lobby.yaml"])
    (pod,) = (each["spec"]["template"]["spec"] for each in made if each["kind"] == "Deployment")
    told = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
    address = {"LEDGER_HOST": "ledger-haproxy.lucky-se-eu-north-data", "LEDGER_PORT": "3306"}
    assert {**address, "LEDGER_DATABASE": "ledger", "LEDGER_POOL_SIZE": "5"}.items() <= told.items()
    mounted = {each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
    assert {"/secrets/ledger", "/secrets/ledger-ca"} <= mounted


def _called(engine: Mysql | None = None, **of_region: object) -> dict[str, dict[str, Any]]:
    """Alert -> its rule."""
    (placed,) = (each for each in galera(engine, **of_region) if each.cell.name == "lucky-se-eu-north")
    (group,) = mysql_rules(placed)
    return {each["alert"]: each for each in group["rules"]}


_OF_LOG = {"MysqlLogNotArchived", "MysqlLogHasGap", "MysqlLogCountersMissing"}
_OF_NODES = {
    "MysqlWritesRefused",
    "MysqlNodesMissing",
    "MysqlWritesWait",
    "MysqlConnectionsFull",
    "MysqlCountersMissing",
}


def test_the_owner_is_called_about_nodes_and_about_what_is_kept() -> None:
    """S15.7."""
    called = _called(mysql(instances=5, region_rpo_seconds=120))
    assert called.keys() == _OF_LOG | _OF_NODES
    assert {each["labels"]["service"] for each in called.values()} == {"wallet"}
    assert called["MysqlNodesMissing"]["expr"].endswith("< 5")
    assert called["MysqlLogNotArchived"]["expr"].endswith("> 120")
    assert called["MysqlLogHasGap"]["labels"]["severity"] == "page"


def test_an_operators_prometheus_is_told_of_nodes_and_collector() -> None:
    cells = galera(prometheus=Monitoring(form="operator", labels={"prometheus": "main"}))
    made = {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(manifests(cells)[HOME])}
    monitors = {name: each["spec"] for (kind, name), each in made.items() if kind == "PodMonitor"}
    assert {name: each["podMetricsEndpoints"][0]["port"] for name, each in monitors.items()} == {
        "ledger": "mysql-exporter", "ledger-pitr": "metrics",
    }  # fmt: skip
    assert all("app.kubernetes.io/instance" in each["podTargetLabels"] for each in monitors.values())
    rule = made["PrometheusRule", "ledger"]["spec"]["groups"][0]["rules"][0]
    assert 'app_kubernetes_io_instance="ledger"' in rule["expr"]


def test_a_prometheus_that_reads_files_keeps_its_ports_and_rules() -> None:
    made = render(galera())
    scrapes = [text for name, text in made.items() if name.endswith("scrape.conf")]
    assert scrapes and all("mysql-exporter" in text for text in scrapes)
    (rules,) = (text for name, text in made.items() if name.endswith("lucky-se-eu-north.rules"))
    assert "MysqlLogHasGap" in rules


_WHICH = 'namespace="lucky-se-eu-north-data",app_kubernetes_io_instance="ledger"'


@needs_promtool
@pytest.mark.parametrize(
    ("ready", "expected"),
    [
        pytest.param(("1x20", "1x20", "1x20"), set(), id="sound"),
        pytest.param(("1x20", "0x20", "1x20"), {"MysqlNodesMissing page"}, id="one-away"),
        pytest.param(("0x20", "0x20", "0x20"), {"MysqlNodesMissing page", "MysqlWritesRefused page"}, id="no-majority"),
    ],
)
def test_nodes_are_missed(tmp_path: Path, ready: tuple[str, ...], expected: set[str]) -> None:
    series = {f'mysql_global_status_wsrep_ready{{{_WHICH},pod="{number}"}}': each for number, each in enumerate(ready)}
    series[f"mysql_up{{{_WHICH}}}"] = "1x20"
    series[f"pxc_binlog_collector_last_processing_timestamp{{{_WHICH}}}"] = "0+60x20"
    fires(tmp_path, [{"name": "mysql", "rules": [*_called().values()]}], series, {10: expected})
