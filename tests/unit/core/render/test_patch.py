"""Patches change what they name, where they apply, and nothing else; or they are refused (``tests/spec/bad``)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.platforms import EXAMPLE

from croupier.core.compare import compare
from croupier.core.render.cell import objects, render
from croupier.core.render.held import Held
from croupier.core.render.patch import blame
from croupier.engine.schemas import checked
from croupier.errors import SpecError
from croupier.model.schemas import NEWEST
from croupier.spec.cells import Described
from croupier.spec.explain import explained
from croupier.spec.platform import load_described


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLE, tmp_path / "demo")
    return tmp_path / "demo"


def _described(folder: Path, *layers: dict[str, Any]) -> Described:
    (folder / "patches.yaml").write_text(yaml.safe_dump({"layers": list(layers)}))
    return load_described(folder)


def _layer(at: dict[str, str], *patches: tuple[str, str, str, Any]) -> dict[str, Any]:
    made = []
    for kind, op, path, value in patches:
        given = {} if value is None else {"value": value}
        made.append({"kind": kind, "op": op, "path": path, **given, "why": "a test"})
    return {"at": at, "patches": made}


def _of(described: Described, cell: str, service: str, kind: str) -> dict[str, Any]:
    return next(each for each in objects(described.cells)[f"cells/{cell}/{service}.yaml"] if each["kind"] == kind)


STABILIZATION = "/spec/behavior/scaleDown/stabilizationWindowSeconds"


def test_a_patch_changes_the_objects_it_names_where_it_applies_and_nothing_else(folder: Path) -> None:
    before = objects(load_described(folder).cells)
    layer = _layer(
        {"service": "payments-api", "market": "mt"},
        ("HorizontalPodAutoscaler", "replace", STABILIZATION, 900),
        ("Deployment", "add", "/metadata/annotations/example~1owner", "payments"),
        ("Deployment", "add", "/spec/template/spec/containers/0/args", ["--fast"]),
        ("HorizontalPodAutoscaler", "remove", "/spec/behavior/scaleUp/policies/1", None),
    )
    described = _described(folder, layer)
    after = objects(described.cells)
    assert [name for name in before if before[name] != after[name]] == ["cells/lucky-mt-eu-south/payments-api.yaml"]
    scaler = _of(described, "lucky-mt-eu-south", "payments-api", "HorizontalPodAutoscaler")
    assert scaler["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 900
    assert len(scaler["spec"]["behavior"]["scaleUp"]["policies"]) == 1
    deployment = _of(described, "lucky-mt-eu-south", "payments-api", "Deployment")
    assert deployment["metadata"]["annotations"]["example/owner"] == "payments"
    assert deployment["spec"]["template"]["spec"]["containers"][0]["args"] == ["--fast"]


def test_the_heavier_layer_has_the_last_word(folder: Path) -> None:
    light = _layer({"service": "payments-api"}, ("HorizontalPodAutoscaler", "replace", STABILIZATION, 900))
    heavy = _layer(
        {"service": "payments-api", "market": "mt"}, ("HorizontalPodAutoscaler", "replace", STABILIZATION, 60)
    )
    for order in ((light, heavy), (heavy, light)):
        described = _described(folder, *order)
        found = {
            cell: _of(described, cell, "payments-api", "HorizontalPodAutoscaler")["spec"]["behavior"]["scaleDown"]
            for cell in ("lucky-mt-eu-south", "lucky-se-eu-north")
        }
        assert {cell: each["stabilizationWindowSeconds"] for cell, each in found.items()} == {
            "lucky-mt-eu-south": 60,
            "lucky-se-eu-north": 900,
        }


def test_the_same_patch_twice_is_one(folder: Path) -> None:
    """Two axes that meet in a cell and say the same are no conflict, as with values."""
    patch = ("Namespace", "add", "/metadata/annotations", {"a": "b"})
    described = _described(folder, _layer({"market": "mt"}, patch), _layer({"region": "eu-south"}, patch))
    assert _of(described, "lucky-mt-eu-south", "00-namespace", "Namespace")["metadata"]["annotations"] == {"a": "b"}


def test_a_market_without_locks_lets_the_same_patch_through(folder: Path) -> None:
    """The example's Sweden locks drainSeconds, its Malta does not."""
    grace = "/spec/template/spec/terminationGracePeriodSeconds"
    layers = {
        market: _layer({"service": "wallet", "market": market}, ("Deployment", "replace", grace, 31))
        for market in ("mt", "se")
    }
    assert objects(_described(folder, layers["mt"]).cells)
    with pytest.raises(SpecError, match=r"LOCKED .*market se locks it by drainSeconds"):
        objects(_described(folder, layers["se"]).cells)


def test_what_no_lock_is_about_may_be_patched_in_a_market_with_locks(folder: Path) -> None:
    layer = _layer({"service": "wallet", "market": "se"}, ("Deployment", "add", "/spec/minReadySeconds", 5))
    assert _of(_described(folder, layer), "lucky-se-eu-north", "wallet", "Deployment")["spec"]["minReadySeconds"] == 5


def test_explain_of_a_service_shows_its_patches_with_place_and_reason(folder: Path) -> None:
    layer = _layer({"service": "wallet"}, ("Deployment", "add", "/spec/minReadySeconds", 5))
    told = explained(_described(folder, layer), "lucky-se-eu-north", "wallet")[-1].as_text()
    assert told.splitlines()[0] == "patch of wallet Deployment/*/spec/minReadySeconds: 5"
    assert "layer service=wallet (a test)" in told
    assert "patches.yaml:7:11" in told


def test_a_plan_shows_patches_and_which_of_them_make_new_versions(folder: Path) -> None:
    before = load_described(folder).cells
    layer = _layer(
        {"service": "wallet"},
        ("Deployment", "add", "/spec/minReadySeconds", 5),
        ("Deployment", "add", "/spec/template/spec/hostname", "purse"),
    )
    found = compare(before, _described(folder, layer).cells)
    assert [(each.subject, each.path, each.after, bool(each.releases)) for each in found.changes] == [
        ("patches", "wallet Deployment/*/spec/minReadySeconds", {"add": 5}, False),
        ("patches", "wallet Deployment/*/spec/template/spec/hostname", {"add": "purse"}, True),
    ]
    assert found.versions == ("wallet in lucky-mt-eu-south", "wallet in lucky-se-eu-north")
    back = compare(_described(folder, layer).cells, before)
    assert (back.changes[0].before, back.changes[0].after) == ({"add": 5}, None)


def test_patches_are_in_what_is_written(folder: Path) -> None:
    layer = _layer(
        {"service": "wallet"}, ("PodDisruptionBudget", "add", "/spec/unhealthyPodEvictionPolicy", "AlwaysAllow")
    )
    files = render(_described(folder, layer).cells)
    assert sum("unhealthyPodEvictionPolicy: AlwaysAllow" in text for text in files.values()) == 2


# --- stores, and what a region has once -------------------------------------------------------------------------------


_REGION = f"""\
    secretStore: vault
    stores:
      apiServers: [10.0.0.1/32]
      postgres: {{image: "registry.example/postgresql:17.6@sha256:{64 * "d"}"}}
      objectStore: {{bucket: "s3://casino", credentials: casino/object-store}}
      storage: {{plain: {{purpose: replicated, provisioner: csi.example, pool: money}}}}
    pools: {{money: {{labels: {{pool: money}}, taints: [{{key: pool, value: money}}]}}}}
    egress: {{image: "registry.example/envoy@sha256:{64 * "e"}"}}
    traces: {{image: "registry.example/collector@sha256:{64 * "c"}", endpoint: {{host: traces.example.net}}}}
"""
_LEDGER = "postgres: {storage: plain, size: 100Gi, resources: {cpu: '2', memory: 8Gi}}"


@pytest.fixture
def stored(folder: Path) -> Path:
    """The example with the ledger rendered (Sweden's has a copy in eu-south), egress gateways and collectors."""
    platform, services = folder / "platform.yaml", folder / "services.yaml"
    head, rest = platform.read_text().split("  eu-south: *region\n")
    platform.write_text(f"{head.rstrip()}\n{_REGION}  eu-south: *region\n{rest}")
    said = services.read_text()
    assert said.count("namespace: databases") == 1
    services.write_text(said.replace("namespace: databases", _LEDGER))
    return folder


def _part(of: str, at: dict[str, str], patch: tuple[str, str, str, Any], **more: str) -> dict[str, Any]:
    layer = _layer(at, patch)
    layer["patches"][0] |= {"of": of, **more}
    return layer


def _changes(folder: Path, *layers: dict[str, Any]) -> list[tuple[str, str, str]]:
    """File, kind and name of what layers change."""
    (folder / "patches.yaml").unlink(missing_ok=True)
    before, after = objects(load_described(folder).cells), objects(_described(folder, *layers).cells)
    return [
        (file, one["kind"], one["metadata"]["name"])
        for file in before
        for one, other in zip(before[file], after[file], strict=True)
        if one != other
    ]


_NODES = "/spec/template/spec/nodeSelector"
CLUSTER = ("Cluster", "add", "/spec/description", "the ledger")
DOWN = ("Deployment", "add", "/spec/minReadySeconds", 5)


def test_a_patch_of_stores_reaches_them_wherever_they_are_and_no_cell(stored: Path) -> None:
    """S7.1: the primaries of both cells, and the copy of one."""
    assert [file for file, *_ in _changes(stored, _part("stores", {"brand": "lucky"}, CLUSTER))] == [
        "stores/eu-north/lucky-se-eu-north.yaml",
        "stores/eu-south/lucky-mt-eu-south.yaml",
        "stores/eu-south/lucky-se-eu-north.yaml",
    ]


@pytest.mark.parametrize(
    ("at", "files"),
    [
        ({"region": "eu-south"}, ["lucky-mt-eu-south", "lucky-se-eu-north"]),
        ({"region": "eu-south", "market": "se"}, ["lucky-se-eu-north"]),
        ({"region": "eu-south", "service": "wallet"}, ["lucky-mt-eu-south", "lucky-se-eu-north"]),
    ],
)
def test_a_region_of_a_patch_of_stores_is_where_they_stand(stored: Path, at: dict[str, str], files: list[str]) -> None:
    assert _changes(stored, _part("stores", at, CLUSTER)) == [
        (f"stores/eu-south/{name}.yaml", "Cluster", "ledger") for name in files
    ]


def test_a_patch_of_a_region_changes_what_it_has_once(stored: Path) -> None:
    assert _changes(stored, _part("region", {"region": "eu-south"}, DOWN, name="gateway")) == [
        ("regions/eu-south/egress-psp.yaml", "Deployment", "gateway")
    ]


def test_a_patch_of_cells_reaches_neither(stored: Path) -> None:
    with pytest.raises(SpecError, match=r"UNUSED there is no Cluster to patch"):
        objects(_described(stored, _layer({"brand": "lucky"}, CLUSTER)).cells)


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (_part("region", {"region": "eu-south", "market": "mt"}, DOWN), "PATCH a region has it once"),
        (_part("region", {"brand": "lucky"}, DOWN), "PATCH a region has it once"),
        (_part("stores", {"service": "lobby"}, CLUSTER), "UNUSED layer service=lobby fits no store"),
        (_part("stores", {"market": "se"}, ("Clster", "add", "/spec/a", 1)), "did you mean Cluster"),
        (_part("stores", {"market": "se"}, ("Cluster", "add", "/spec/instnces/a", 1)), "did you mean instances"),
        (_part("stores", {"market": "se"}, ("Cluster", "add", "/spec/instances", 9)), "is there already"),
        (
            _part("region", {"region": "eu-north"}, ("Deployment", "remove", "/spec/nothing", None)),
            "there is no /spec/nothing",
        ),
        (_part("region", {"region": "eu-north"}, ("Namespace", "remove", "/metadata/labels", None)), "IDENTITY"),
        (_part("stores", {"market": "mt"}, ("Cluster", "replace", "/metadata/name", "other")), "IDENTITY"),
    ],
)
def test_what_does_not_fit_there_is_a_problem_at_its_place(stored: Path, layer: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said) as refused:
        objects(_described(stored, layer).cells)
    assert all(problem.file.endswith("patches.yaml") and problem.line for problem in refused.value.problems)


def test_what_a_store_is_made_of_is_held_against_locks(stored: Path) -> None:
    file = stored / "platform.yaml"
    lock = "    locks:\n      - {path: data.ledger.postgres.instances, atLeast: 3, why: the ledger outlives a zone}\n"
    assert file.read_text().count("    locks:\n") == 1
    file.write_text(file.read_text().replace("    locks:\n", lock))
    fewer = ("Cluster", "replace", "/spec/instances", 2)
    with pytest.raises(SpecError, match=r"LOCKED .*market se locks it by data.ledger.postgres.instances"):
        objects(_described(stored, _part("stores", {"market": "se"}, fewer)).cells)
    assert _changes(stored, _part("stores", {"market": "mt"}, fewer))


@pytest.mark.parametrize(
    ("lock", "patch"),
    [
        (
            "data.ledger.postgres.storage, within: [plain]",
            ("Cluster", "replace", "/spec/storage/storageClass", "cheap"),
        ),
        ("data.ledger.postgres.size, within: [100Gi]", ("Cluster", "replace", "/spec/storage/size", "1Gi")),
        ("data.ledger.dr, within: [eu-south]", ("Cluster", "replace", "/spec/externalClusters/1/name", "us-east")),
    ],
)
def test_a_lock_on_what_is_called_by_a_name_holds_for_stores(
    stored: Path, lock: str, patch: tuple[str, str, str, Any]
) -> None:
    """Of a name that nobody declares, what it stands for is there while croupier looks what depends on it."""
    file = stored / "platform.yaml"
    said = f"    locks:\n      - {{path: {lock}, why: the licence says so}}\n"
    file.write_text(file.read_text().replace("    locks:\n", said))
    with pytest.raises(SpecError, match=r"LOCKED .*market se locks it by data.ledger"):
        objects(_described(stored, _part("stores", {"market": "se", "region": "eu-north"}, patch)).cells)


def test_a_lock_on_a_pool_holds_for_the_nodes_of_pods(stored: Path) -> None:
    file = stored / "platform.yaml"
    lock = "    locks:\n      - {path: pool, within: [money], why: the licence says so}\n"
    file.write_text(file.read_text().replace("    locks:\n", lock))
    pooled = {"at": {"market": "se", "service": "wallet"}, "set": {"pool": "money"}}
    patch = _layer({"market": "se", "service": "wallet"}, ("Deployment", "replace", _NODES, {"pool": "cheap"}))
    with pytest.raises(SpecError, match=r"LOCKED .*market se locks it by pool"):
        objects(_described(stored, pooled, patch).cells)


def test_a_lock_on_people_holds_where_two_services_name_the_same(folder: Path) -> None:
    """S1.3: one RoleBinding has the groups of all, so it stays as it is when one service alone names others."""
    file = folder / "platform.yaml"
    lock = "    locks:\n      - {path: people.releasers, within: [money-team], why: the licence names them}\n"
    file.write_text(file.read_text().replace("    locks:\n", lock))
    team = {"at": {"market": "se"}, "set": {"people": {"releasers": ["money-team"]}}}
    stranger = {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "strangers"}
    patch = _layer({"market": "se"}, ("RoleBinding", "add", "/subjects/-", stranger))
    patch["patches"][0]["name"] = "releaser"
    with pytest.raises(SpecError, match=r"LOCKED .*market se locks it by people.releasers"):
        objects(_described(folder, team, patch).cells)


def test_what_a_region_has_once_is_held_against_locks_of_every_market_in_it(stored: Path) -> None:
    """Collectors count as slow what is slower than the objective; Malta, in another region, has no such lock."""
    file = stored / "platform.yaml"
    lock = "    locks:\n      - {path: objectives.latency.p95Seconds, atMost: 0.4, why: players see it}\n"
    file.write_text(file.read_text().replace("    locks:\n", lock))
    told = ("ConfigMap", "replace", "/data", {})
    with pytest.raises(SpecError, match=r"LOCKED .*market se locks it by objectives.latency.p95Seconds"):
        objects(_described(stored, _part("region", {"region": "eu-north"}, told)).cells)
    assert _changes(stored, _part("region", {"region": "eu-south"}, told))


@pytest.mark.parametrize(
    ("of", "free", "patch"),
    [
        (
            "stores",
            {"market": "mt"},
            ("ObjectStore", "replace", "/spec/configuration/destinationPath", "s3://elsewhere"),
        ),
        (
            "stores",
            {"market": "mt"},
            ("ObjectStore", "add", "/spec/configuration/endpointURL", "https://s3.example.net"),
        ),
        ("stores", {"market": "mt"}, ("Cluster", "add", "/spec/plugins/-", {"name": "another.example"})),
        ("stores", {"market": "mt"}, ("Cluster", "add", "/spec/externalClusters", [{"name": "abroad"}])),
        ("stores", {"market": "mt"}, ("ScheduledBackup", "add", "/spec/pluginConfiguration/parameters", {"a": "b"})),
        (
            "stores",
            {"market": "mt"},
            ("Cluster", "add", "/spec/backup", {"barmanObjectStore": {"destinationPath": "s3://elsewhere"}}),
        ),
        ("region", {"region": "eu-south"}, ("ConfigMap", "replace", "/data", {})),
    ],
)
def test_where_data_goes_is_not_patched_where_a_market_says_where_it_may_be(
    stored: Path, of: str, free: dict[str, str], patch: tuple[str, str, str, Any]
) -> None:
    """S10.14: backups and traces. Malta has no rule about either."""
    held = {"market": "se"} if of == "stores" else {"region": "eu-north"}
    with pytest.raises(SpecError, match=r"RESIDENCY .*market se says where its data may be"):
        objects(_described(stored, _part(of, held, patch)).cells)
    assert _changes(stored, _part(of, free, patch))


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Cluster", "spec.externalClusters.0.connectionParameters.host"),
        ("Kafka", "spec.kafka.tieredStorage"),
        ("PerconaXtraDBCluster", "spec.pxc.replicationChannels"),
        ("PerconaXtraDBCluster", "spec.backup.storages.another"),
    ],
)
def test_no_patch_says_whom_a_store_is_copied_from_or_to(kind: str, path: str) -> None:
    """S10.14: what croupier does not render there, operators know nevertheless."""
    about = {"kind": kind, "metadata": {"name": "ledger"}}
    for cell in load_described(EXAMPLE).cells:
        refused = Held([cell], lambda *_: {}).against(tuple(path.split(".")), "stores/ledger.yaml", about, [None])
        assert (refused is not None and refused.code) == ("RESIDENCY" if cell.cell.market == "se" else False)


def test_a_lock_on_a_list_holds_for_what_each_of_its_items_brings_about(folder: Path) -> None:
    """Two providers of a class need the same hole in the wall, so taking one of them away does not show there."""
    file = folder / "platform.yaml"
    lock = "    locks:\n      - {path: egress, within: [psp-a, psp-b], why: the licence names them}\n"
    other = "  psp-b: {kind: psp, region: EU, timeoutSeconds: 8, endpoints: [{host: api.psp-b.example}]}\n"
    file.write_text(file.read_text().replace("    locks:\n", lock) + other)
    both = {"at": {"service": "payments-api"}, "set": {"egress": ["psp-a", "psp-b"]}}
    hole = ("NetworkPolicy", "add", "/spec/egress/-", {"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]})
    with pytest.raises(SpecError, match=r"LOCKED .*market se locks it by egress"):
        objects(_described(folder, both, _layer({"service": "payments-api", "market": "se"}, hole)).cells)
    assert objects(_described(folder, both, _layer({"service": "payments-api", "market": "mt"}, hole)).cells)


def test_plan_and_explain_tell_whose_objects_a_patch_is_about(stored: Path) -> None:
    before = load_described(stored).cells
    described = _described(
        stored,
        _part("stores", {"service": "wallet", "region": "eu-south"}, CLUSTER),
        _part("region", {"region": "eu-south"}, DOWN, name="gateway"),
    )
    assert {each.path for each in compare(before, described.cells).changes} == {
        "stores in eu-south wallet Cluster/*/spec/description",
        "region in eu-south Deployment/gateway/spec/minReadySeconds",
    }
    assert not compare(before, described.cells).versions
    told = explained(described, "lucky-mt-eu-south", "region")[-1].as_text()
    assert told.startswith("patch of region in eu-south Deployment/gateway/spec/minReadySeconds: 5")
    assert "description" in explained(described, "lucky-mt-eu-south", "wallet")[-1].as_text()
    assert "description" not in explained(described, "lucky-mt-eu-south", "lobby")[-1].as_text()


def test_what_kubernetes_refuses_of_a_store_is_told_where_the_patch_stands(stored: Path) -> None:
    two = ("Cluster", "replace", "/spec/instances", "two")
    cells = _described(stored, _part("stores", {"market": "se"}, two)).cells
    with pytest.raises(SpecError, match=r"patches.yaml:\d+:\d+ SCHEMA patch of Cluster ledger"):
        checked(objects(cells), NEWEST, blame(cells))
