"""What ``render`` makes of stores: databases that lose nothing, in walls, with an archive and copies (S7, S13.6)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import pytest
from tests.support import quick_yaml
from tests.support.platforms import applied, database, manifests, stands, stored

from croupier.core.render.cell import objects, render
from croupier.engine.schemas import checked
from croupier.model.address import Endpoint
from croupier.model.monitoring import Monitoring
from croupier.model.platform import PlacedCell
from croupier.model.postgres import Pooler, Postgres
from croupier.model.schemas import NEWEST
from croupier.model.stores import ObjectStore

HOME, COPY = "stores/eu-north/lucky-se-eu-north.yaml", "stores/eu-south/lucky-se-eu-north.yaml"
ALONE = "stores/eu-south/lucky-mt-eu-south.yaml"
Made = dict[tuple[str, str], dict[str, Any]]


def _file(cells: Iterable[PlacedCell], name: str = HOME) -> Made:
    """(kind, name) -> object."""
    held = quick_yaml.load_all(manifests(cells)[name])
    return {(each["kind"], each["metadata"]["name"]): each for each in held}


def _spec(made: Made, kind: str, name: str = "ledger") -> dict[str, Any]:
    spec: dict[str, Any] = made[kind, name]["spec"]
    return spec


def _with(region: str, **changes: object) -> list[PlacedCell]:
    """With other things that stores of ``region`` stand on."""

    def other(placed: PlacedCell) -> PlacedCell:
        if placed.cell.region == region:
            return placed.model_copy(update={"region": placed.region.model_copy(update=changes)})
        elsewhere = {**placed.elsewhere, region: placed.elsewhere[region].model_copy(update=changes)}
        return placed.model_copy(update={"elsewhere": elsewhere})

    return [other(placed) for placed in stored()]


@pytest.mark.parametrize(
    "cells", [stored(), stored(postgres=database(rpo_seconds=30, instances=2)), stored(dr_backup="eu-south")]
)
def test_what_is_rendered_is_what_the_operators_define(cells: list[PlacedCell]) -> None:
    """Every kind of a store is known, and every field held against its definition."""
    held = checked(objects(cells), NEWEST)
    assert {each.api_version for each in held.unknown} <= {"external-secrets.io/v1"}


def test_a_confirmed_write_is_on_two_machines_in_two_zones() -> None:
    """S7.1, S7.4."""
    spec = _spec(_file(stored()), "Cluster")
    assert spec["postgresql"]["synchronous"] == {
        "method": "any",
        "number": 1,
        "dataDurability": "required",
        "failoverQuorum": True,
    }
    assert spec["instances"] == 3
    assert spec["affinity"]["podAntiAffinityType"] == "required"
    assert spec["topologySpreadConstraints"][0]["whenUnsatisfiable"] == "DoNotSchedule"


def test_a_switch_is_forced_only_where_nothing_can_be_lost_by_it() -> None:
    """Prevents: a planned switch that drops writes which no second machine has."""
    assert _spec(_file(stored()), "Cluster")["switchoverDelay"] == 120
    lax = _spec(_file(stored(postgres=database(rpo_seconds=60, storage="plain"))), "Cluster")
    assert "switchoverDelay" not in lax
    assert "synchronous" not in lax["postgresql"]


@pytest.mark.parametrize(
    ("postgres", "seconds"),
    [(database(), "150s"), (database(region_rpo_seconds=60), "30s"), (database(rpo_seconds=20), "10s")],
)
def test_the_log_is_archived_twice_as_often_as_may_be_lost(postgres: Postgres, seconds: str) -> None:
    """S7.4."""
    assert _spec(_file(stored(postgres=postgres)), "Cluster")["postgresql"]["parameters"]["archive_timeout"] == seconds


def test_money_has_storage_and_nodes_of_its_own() -> None:
    """S2.6, S7.7, S7.8."""
    files = manifests(stored())
    spec = _spec(_file(stored()), "Cluster")
    assert spec["storage"] == {"size": "100Gi", "storageClass": "money"}
    assert spec["walStorage"] == {"size": "20Gi", "storageClass": "money"}
    assert spec["affinity"]["nodeSelector"] == {"pool": "money"}
    assert spec["affinity"]["tolerations"] == [
        {"key": "pool", "operator": "Equal", "value": "money", "effect": "NoSchedule"}
    ]
    (held,) = quick_yaml.load_all(files["regions/eu-north/storage.yaml"])
    assert (held["metadata"]["name"], held["reclaimPolicy"]) == ("money", "Retain")
    assert held["volumeBindingMode"] == "WaitForFirstConsumer"


def test_what_is_taken_out_of_git_stays_in_the_cluster() -> None:
    made = _file(stored())
    for kept in (("Namespace", "lucky-se-eu-north-data"), ("Cluster", "ledger"), ("ObjectStore", "ledger")):
        annotations = made[kept]["metadata"]["annotations"]
        assert annotations["argocd.argoproj.io/sync-options"] == "Prune=false,Delete=false"
        assert annotations["kustomize.toolkit.fluxcd.io/prune"] == "disabled"


@pytest.mark.parametrize("tool", ["argocd", "flux"])
def test_stores_of_a_region_are_applied_by_themselves(tool: Literal["argocd", "flux"]) -> None:
    """S5.1: a cell that is taken away takes no database with it."""
    wanted = applied(tool)[0].gitops
    cells = [each.model_copy(update={"gitops": wanted}) for each in stored()]
    said = "".join(text for name, text in manifests(cells).items() if name.startswith("gitops/"))
    made = quick_yaml.load_all(said)
    names = {each["metadata"]["name"] for each in made if each["kind"] in ("AppProject", "Kustomization")}
    assert {"stores.eu-north", "stores.eu-south"} <= names


def test_any_moment_of_the_window_can_be_restored_and_backups_are_encrypted() -> None:
    """S7.2, S7.3, S5.5."""
    made = _file(stored(postgres=database(pitr_days=14, backup_schedule="30 3 * * *")))
    held = _spec(made, "ObjectStore")
    assert held["retentionPolicy"] == "14d"
    assert held["configuration"]["destinationPath"] == "s3://eu-north/lucky-se-eu-north/ledger"
    for part in ("wal", "data"):
        assert held["configuration"][part]["encryption"] == "aws:kms"
    assert held["configuration"]["data"]["additionalCommandArgs"] == ["--sse-kms-key-id", "key-of-eu-north"]
    scheduled = _spec(made, "ScheduledBackup")
    assert (scheduled["schedule"], scheduled["method"], scheduled["immediate"]) == ("0 30 3 * * *", "plugin", True)
    (archiver,) = _spec(made, "Cluster")["plugins"]
    assert archiver["isWALArchiver"] is True


def test_without_a_key_the_object_store_encrypts_with_its_own() -> None:
    held = _spec(_file(_with("eu-north", stores=stands("eu-north", kms_key=None))), "ObjectStore")
    assert held["configuration"]["wal"] == {"compression": "gzip", "encryption": "AES256"}


def test_a_copy_reads_the_archive_of_the_primary_and_either_may_become_the_other() -> None:
    """S7.4, S11.1: asynchronous to another region; no network between them."""
    home, copy = (_spec(_file(stored(), name), "Cluster") for name in (HOME, COPY))
    assert home["replica"] == {"self": "eu-north", "primary": "eu-north", "source": "eu-south"}
    assert copy["replica"] == {"self": "eu-south", "primary": "eu-north", "source": "eu-north"}
    assert home["externalClusters"] == copy["externalClusters"]
    assert "initdb" in home["bootstrap"]
    assert copy["bootstrap"]["recovery"]["source"] == "eu-north"
    servers = {each["plugins"][0]["parameters"]["serverName"] for each in (home, copy)}
    assert servers == {"eu-north", "eu-south"}
    limit = "max_connections"  # a standby with fewer than its primary refuses to start
    assert home["postgresql"]["parameters"][limit] == copy["postgresql"]["parameters"][limit]


def test_a_copy_may_archive_where_the_primary_is_not() -> None:
    copy = _file(stored(dr_backup="eu-south"), COPY)
    (archiver,) = _spec(copy, "Cluster")["plugins"]
    assert archiver["parameters"] == {"barmanObjectName": "ledger-dr", "serverName": "eu-south"}
    held = _spec(copy, "ObjectStore", "ledger-dr")["configuration"]
    assert held["destinationPath"] == "s3://eu-south/lucky-se-eu-north/ledger"
    assert held["data"]["additionalCommandArgs"] == ["--sse-kms-key-id", "key-of-eu-south"]
    assert ("ExternalSecret", "object-store-eu-south") in copy


def test_a_store_of_one_region_has_no_topology() -> None:
    assert not {"replica", "externalClusters"} & _spec(_file(stored(), ALONE), "Cluster").keys()


def test_the_pooler_takes_all_pods_at_their_most_and_the_database_takes_the_pooler() -> None:
    """S13.6, S13.7. lobby: 2 pods and 2 that surge, 5 each; wallet 3 and 3, 10 each: 80 clients. 2 × 40 and hands."""
    made = _file(stored())
    parameters = _spec(made, "Pooler", "ledger-pooler")["pgbouncer"]["parameters"]
    assert parameters["max_client_conn"] == "80"  # one instance alone takes them all
    assert parameters["default_pool_size"] == parameters["max_db_connections"] == "40"
    assert _spec(made, "Cluster")["postgresql"]["parameters"]["max_connections"] == "100"


def test_who_shares_a_database_cannot_starve_its_owner() -> None:
    """S13.6: without a pooler each user but the owner has a limit."""
    spec = _spec(_file(stored(postgres=database())), "Cluster")
    assert spec["managed"]["roles"] == [
        {
            "name": "lobby",
            "ensure": "present",
            "login": True,
            "inRoles": ["ledger"],
            "passwordSecret": {"name": "ledger-lobby"},
            "connectionLimit": 20,
        }
    ]
    assert spec["postgresql"]["parameters"]["max_connections"] == "100"


def test_pods_are_told_where_it_is_and_how_much_they_may_open() -> None:
    text = manifests(stored())["cells/lucky-se-eu-north/lobby.yaml"]
    (deployment,) = (each for each in quick_yaml.load_all(text) if each["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    environment = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
    assert environment["LEDGER_HOST"] == "ledger-pooler.lucky-se-eu-north-data"
    assert (environment["LEDGER_PORT"], environment["LEDGER_POOL_SIZE"]) == ("5432", "5")
    mounted = {each["mountPath"] for each in pod["containers"][0]["volumeMounts"]}
    assert "/secrets/ledger" in mounted


def test_passwords_come_from_the_secret_store_and_stand_in_no_file() -> None:
    """S5.4, S10.6."""
    made = _file(stored())
    external = {
        name: each["spec"]["data"][0]["remoteRef"]["key"]
        for (kind, name), each in made.items()
        if kind == "ExternalSecret"
    }
    assert external == {
        "object-store-eu-north": "casino/object-store",
        "ledger-wallet": "casino/ledger",
        "ledger-lobby": "casino/lobby",
    }
    assert ("Secret", "ledger-wallet") not in made
    beside = quick_yaml.load_all(manifests(stored())["cells/lucky-se-eu-north/01-secrets.yaml"])
    assert {each["metadata"]["name"] for each in beside} == {"wallet-ledger", "lobby-ledger"}


def _peers(policy: dict[str, Any], direction: str, key: str) -> list[tuple[dict[str, Any], set[int]]]:
    return [(peer, {port["port"] for port in rule["ports"]}) for rule in policy[direction] for peer in rule[key]]


def test_only_who_uses_a_store_reaches_it() -> None:
    """S2.4: its users by the pooler, the operator, itself, and who measures it."""
    made = _file(stored())
    users = [
        peer
        for peer, ports in _peers(_spec(made, "NetworkPolicy", "ledger-pooler"), "ingress", "from")
        if 5432 in ports
    ]
    assert [peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"] for peer in users] == ["lobby", "wallet"]
    assert {peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in users} == {"lucky-se"}
    database = _peers(_spec(made, "NetworkPolicy", "ledger"), "ingress", "from")
    assert [sorted(peer) for peer, _ in database] == [
        ["podSelector"],
        ["podSelector"],
        ["namespaceSelector"],
        ["namespaceSelector"],
    ]
    assert _spec(made, "NetworkPolicy", "default-deny") == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_a_database_reaches_itself_the_api_server_and_its_archive() -> None:
    reached = _peers(_spec(_file(stored()), "NetworkPolicy", "ledger"), "egress", "to")
    assert ({"ipBlock": {"cidr": "10.0.0.1/32"}}, {6443}) in reached
    assert ({"namespaceSelector": {"matchLabels": {"svc": "backup-egress"}}}, {443}) in reached
    assert len(reached) == 3


def test_an_object_store_in_the_cluster_is_reached_in_its_namespace() -> None:
    inside = ObjectStore(bucket="s3://backups", endpoint=Endpoint(host="s3.storage.svc", port=9000))
    made = _file(_with("eu-north", stores=stands("eu-north", object_store=inside)))
    reached = _peers(_spec(made, "NetworkPolicy", "ledger"), "egress", "to")
    assert ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "storage"}}}, {9000}) in reached
    held = _spec(made, "ObjectStore")["configuration"]
    assert held["endpointURL"] == "https://s3.storage.svc:9000"
    assert held["s3Credentials"] == {"inheritFromIAMRole": True}


def test_a_service_may_ask_the_stores_it_uses_and_no_other() -> None:
    cells = manifests(stored())
    asks = {}
    for name in ("lobby", "payments-api", "wallet"):
        made = quick_yaml.load_all(cells[f"cells/lucky-se-eu-north/{name}.yaml"])
        (policy,) = (each["spec"] for each in made if each["kind"] == "NetworkPolicy")
        asks[name] = [
            peer["podSelector"]["matchLabels"] for peer, ports in _peers(policy, "egress", "to") if 5432 in ports
        ]
    pooler = [{"cnpg.io/poolerName": "ledger-pooler"}]
    assert asks == {"lobby": pooler, "payments-api": [], "wallet": pooler}


def test_an_operators_prometheus_is_told_of_databases_and_poolers() -> None:
    """S9.3."""
    watched = Monitoring(form="operator", labels={"prometheus": "main"})
    made = _file(_with("eu-north", prometheus=watched))
    for name in ("ledger", "ledger-pooler"):
        assert made["PodMonitor", name]["metadata"]["labels"]["prometheus"] == "main"


def test_a_prometheus_that_reads_files_is_told_of_them_where_they_run() -> None:
    """The example's Prometheus reads files; the copy of Sweden's ledger is in the south."""
    named = {}
    for name, text in render(stored()).items():
        if name.endswith("scrape.conf"):
            (job,) = (each for each in quick_yaml.load(text)["scrape_configs"] if each["job_name"] == "croupier-stores")
            named[name.split("/")[1]] = job["kubernetes_sd_configs"][0]["namespaces"]["names"]
    assert named == {
        "eu-north": ["lucky-se-eu-north-data"],
        "eu-south": ["lucky-mt-eu-south-data", "lucky-se-eu-north-data"],
    }


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_statements_that_drivers_prepare_survive_the_pooler(mode: str) -> None:
    postgres = database(pooler=Pooler.model_validate({"size": 10, "mode": mode}))
    said = _spec(_file(stored(postgres=postgres)), "Pooler", "ledger-pooler")["pgbouncer"]
    assert ("max_prepared_statements" in said["parameters"]) == (mode == "transaction")
