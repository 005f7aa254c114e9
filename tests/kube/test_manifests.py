"""What ``croupier init`` and ``render`` make is taken by a real API server; a second time changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, Literal

import pytest
from tests.support import quick_yaml
from tests.support.cluster import Cluster
from tests.support.crds import (
    ARGO_CD,
    BARMAN_CLOUD,
    CILIUM,
    CLOUDNATIVE_PG,
    ENVOY_GATEWAY,
    EXTERNAL_SECRETS,
    FLUX,
    HTTP_ADD_ON,
    ISTIO,
    KEDA,
    PERCONA_XTRADB,
    PROMETHEUS_OPERATOR,
    REDIS_OPERATOR,
    SECRETS_STORE,
    VPA,
    definitions,
    strimzi,
)
from tests.support.platforms import (
    agented,
    ahead,
    applied,
    eventful,
    example,
    fronted,
    galera,
    gated,
    intercepted,
    kept,
    manifests,
    meshed,
    mysql,
    queued,
    redis,
    remembered,
    stored,
    streamed,
    traced,
    volumed,
    warmed,
    watched,
)

from croupier.core.render.collector import RECEIVER, SAMPLER
from croupier.core.render.names import priority_class
from croupier.core.render.warm import RANK
from croupier.model.gateway import Target
from croupier.model.platform import PlacedCell, SecretsDriver
from croupier.model.providers import EGRESS_GATEWAY
from croupier.model.redis import Redis
from croupier.operator.crds import custom_resources

MANAGER = "gitops"
RENDERED = manifests(example())
OBJECTS: list[dict[str, Any]] = [each for text in RENDERED.values() for each in quick_yaml.load_all(text)]
NAMESPACES = [each["metadata"]["name"] for each in OBJECTS if each["kind"] == "Namespace"]


@pytest.fixture
def kinds(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with croupier's kinds, without its operator; what was rendered is removed at the end."""
    _define_ours(cluster)
    yield cluster
    cluster.kubectl("delete", "namespace", *NAMESPACES, "--ignore-not-found", "--timeout=60s")
    classes = {each["metadata"]["name"] for each in OBJECTS if each["kind"] == "PriorityClass"}
    cluster.kubectl("delete", "priorityclass", *classes, priority_class(RANK), "--ignore-not-found")


@cache
def _define_ours(cluster: Cluster) -> None:
    """Once: nothing here takes a definition away."""
    cluster.define(custom_resources())


@cache
def _define(cluster: Cluster, module: str, pattern: str) -> None:
    """Once, too."""
    cluster.define(definitions(module, pattern))


def _same(cluster: Cluster, text: str) -> bool:
    return cluster.diff(text, manager=MANAGER) == ""


def _applies_once(cluster: Cluster, files: Mapping[str, str]) -> None:
    """All is taken; a second time changes nothing, but for the status of what runs, which comes to rest.

    All files at once, in their order: a kubectl for each takes longer than the API server does.
    """
    cluster.apply(*files.values(), manager=MANAGER, force=False)
    if cluster.diff(*files.values(), manager=MANAGER) == "":
        return
    for name, text in files.items():
        cluster.until(f"no difference in {name}", partial(_same, cluster, text), 60.0)


def test_the_example_applies_and_a_second_time_changes_nothing(kinds: Cluster) -> None:
    """REQUIREMENTS S14.11: valid, and applied cleanly, under Pod Security restricted and server-side validation."""
    _applies_once(kinds, RENDERED)


def test_what_rolls_by_itself_applies_and_a_second_time_changes_nothing(kinds: Cluster) -> None:
    """The same for a region without the operator."""
    _applies_once(kinds, manifests(example(released_by="kubernetes")))


def test_secrets_of_a_store_apply_and_a_second_time_change_nothing(kinds: Cluster) -> None:
    """Against the definition that External Secrets publishes."""
    _define(kinds, *EXTERNAL_SECRETS)
    _applies_once(kinds, manifests(kept()))


def test_secrets_by_a_driver_apply_and_a_second_time_change_nothing(kinds: Cluster) -> None:
    """Against the definition that the Secrets Store CSI driver publishes; the driver is not there."""
    _define(kinds, *SECRETS_STORE)
    _applies_once(kinds, manifests(kept(secrets_driver=SecretsDriver(provider="vault"))))


def test_secrets_by_an_agent_apply_and_pods_that_ask_for_one_are_taken(kinds: Cluster) -> None:
    """S10.8: annotations that Vault's injector reads, and a token that only its agent has; no injector is there."""
    _applies_once(kinds, manifests(agented()))
    held = ("get", "pods", "--namespace=lucky-se", "--selector=app.kubernetes.io/name=payments-api", "--output=json")
    kinds.until("pods of payments-api", lambda: bool(json.loads(kinds.kubectl(*held))["items"]), 60.0)
    (pod, *_) = json.loads(kinds.kubectl(*held))["items"]
    assert pod["metadata"]["annotations"]["vault.hashicorp.com/agent-inject"] == "true"


def test_scalers_by_queue_apply_and_a_second_time_changes_nothing(kinds: Cluster) -> None:
    """Against the definitions that KEDA publishes, with the calendar's schedules (S6.4)."""
    _define(kinds, *KEDA)
    _applies_once(kinds, manifests(eventful(queued())))


def test_scalers_by_requests_apply_and_a_second_time_changes_nothing(kinds: Cluster) -> None:
    """S6.2: against the definitions that KEDA and its HTTP add-on publish; neither runs. Of one region: each is a
    cluster."""
    for each in (KEDA, HTTP_ADD_ON):
        _define(kinds, *each)
    files = manifests([each for each in eventful(intercepted()) if each.cell.region == "eu-north"])
    made = {each["kind"] for text in files.values() for each in quick_yaml.load_all(text)}
    assert {"HTTPScaledObject", "ScaledObject", "ReferenceGrant"} <= made
    kinds.kubectl("create", "namespace", "keda")
    try:
        _applies_once(kinds, files)
    finally:
        kinds.kubectl("delete", "namespace", "keda", "--ignore-not-found", "--timeout=60s")


def test_nodes_ahead_of_an_event_apply_and_a_second_time_change_nothing(kinds: Cluster) -> None:
    """S6.4: what keeps room on warm nodes, and the schedule that raises it, against the definition that KEDA
    publishes."""
    _define(kinds, *KEDA)
    files = {name: text for name, text in manifests(ahead()).items() if name.startswith("regions/eu-north/")}
    made = {each["kind"] for text in files.values() for each in quick_yaml.load_all(text)}
    assert "ScaledObject" in made
    try:
        _applies_once(kinds, files)
    finally:
        kinds.kubectl("delete", "namespace", "warm", "--ignore-not-found", "--timeout=60s")


@pytest.mark.parametrize(
    "engine", [redis(), redis(holds="data"), redis(mode="cluster")], ids=lambda each: f"{each.mode}-{each.holds}"
)
def test_redis_applies_and_a_second_time_changes_nothing(kinds: Cluster, engine: Redis) -> None:
    """S2.7, S7.1: with Sentinel and as a Cluster, against the definitions that redis-operator publishes."""
    for each in (REDIS_OPERATOR, EXTERNAL_SECRETS):
        _define(kinds, *each)
    _applies_stores(kinds, manifests(remembered(engine)), "eu-north", _take_pods_of_redis)


def _take_pods_of_redis(kinds: Cluster, made: Sequence[dict[str, Any]]) -> None:
    """Pods are taken as redis-operator 0.23 makes them, with the container that writes the configuration."""
    for each in made:
        spec = each.get("spec", {})
        parts = ("redisLeader", "redisFollower") if each["kind"] == "RedisCluster" else ("",)
        for part in parts if each["kind"].startswith("Redis") else ():
            held = {**spec, **spec.get(part, {})}
            of_redis = {**held["kubernetesConfig"], "securityContext": held["securityContext"]}
            writer = {**of_redis, "securityContext": held["initContainer"]["securityContext"]}
            pod = {
                "serviceAccountName": held["serviceAccountName"],
                "priorityClassName": held["priorityClassName"],
                "securityContext": held["podSecurityContext"],
                "affinity": held["affinity"],
                "topologySpreadConstraints": held["topologySpreadConstraints"],
                "initContainers": [_container("init-config", writer)],
                "containers": [_container("redis", of_redis), _container("redis-exporter", held["redisExporter"])],
            }
            name = f"{each['kind']}-{each['metadata']['name']}-{part}".lower().rstrip("-")
            metadata = {"name": name, "namespace": each["metadata"]["namespace"]}
            kinds.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod})


def test_mysql_applies_and_a_second_time_changes_nothing(kinds: Cluster) -> None:
    """S2.7, S7.1: against the definition that Percona publishes."""
    for each in (PERCONA_XTRADB, EXTERNAL_SECRETS):
        _define(kinds, *each)
    certified = galera(mysql(certificate="casino/nodes", system="casino/system"))
    _applies_stores(kinds, manifests(certified), "eu-north", _take_pods_of_mysql)


def _take_pods_of_mysql(kinds: Cluster, made: Sequence[dict[str, Any]]) -> None:
    """Pods are taken as Percona's operator 1.18 makes them: nodes, proxies, and what takes a copy or brings the log."""
    for each in made:
        if each["kind"] != "PerconaXtraDBCluster":
            continue
        spec, whose = each["spec"], each["metadata"]["name"]
        scripts = spec["initContainer"]
        parts = {"pxc": spec["pxc"], "haproxy": spec["haproxy"]}
        parts |= {name: {**held, "image": spec["backup"]["image"]} for name, held in spec["backup"]["storages"].items()}
        for name, held in parts.items():
            containers = [{"name": "main", **_of_percona(held)}]
            for sidecar in held.get("sidecars", ()):
                containers.append(_container(sidecar["name"], sidecar))
            if name == "haproxy":
                containers.append({"name": "watch", **_of_percona(held), "resources": held["sidecarResources"]})
            pod = {
                "serviceAccountName": spec["backup"]["serviceAccountName"],
                "priorityClassName": held["priorityClassName"],
                "securityContext": held["podSecurityContext"],
                "initContainers": [{"name": "scripts", **_of_percona(scripts)}],
                "containers": containers,
            }
            metadata = {"name": f"{whose}-{name}", "namespace": each["metadata"]["namespace"]}
            kinds.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod})


def _of_percona(held: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "image": held["image"],
        "resources": held["resources"],
        "securityContext": held["containerSecurityContext"],
    }


def _container(name: str, said: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, **{key: said[key] for key in ("image", "resources", "securityContext")}}


def _nothing_more(kinds: Cluster, made: Sequence[dict[str, Any]]) -> None:
    """What stands there is all that is looked at."""


def test_pods_with_disks_and_what_recommends_their_size_apply_and_a_second_time_change_nothing(kinds: Cluster) -> None:
    """S6.3, S7: a StatefulSet, and objects against the definitions that the Vertical Pod Autoscaler publishes."""
    _define(kinds, *VPA)
    files = manifests(volumed())
    made = {each["kind"] for text in files.values() for each in quick_yaml.load_all(text)}
    assert {"StatefulSet", "VerticalPodAutoscaler"} <= made
    _applies_once(kinds, files)


@pytest.mark.parametrize("region", ["eu-north", "eu-south"])
def test_stores_of_a_region_apply_and_a_second_time_change_nothing(kinds: Cluster, region: str) -> None:
    """S2.7, S7.1: primaries and copies, against the definitions that CloudNativePG and its plugin publish."""
    for each in (CLOUDNATIVE_PG, BARMAN_CLOUD, EXTERNAL_SECRETS):
        _define(kinds, *each)
    _applies_stores(kinds, manifests(stored(dr_backup="eu-south")), region)


def _applies_stores(
    kinds: Cluster,
    every: Mapping[str, str],
    region: str,
    then: Callable[[Cluster, Sequence[dict[str, Any]]], None] = _nothing_more,
) -> None:
    """What stands in ``region`` is taken, and is as it was a second time; it is removed at the end. ``then`` is given
    what was made."""
    files = {name: text for name, text in every.items() if name.startswith((f"stores/{region}/", f"regions/{region}/"))}
    assert any(name.startswith("stores/") for name in files)
    made = [each for text in files.values() for each in quick_yaml.load_all(text)]
    try:
        _applies_once(kinds, files)
        then(kinds, made)
    finally:
        for kind in ("namespace", "storageclass"):
            names = {each["metadata"]["name"] for each in made if each["kind"].lower() == kind}
            kinds.kubectl("delete", kind, *names, "--ignore-not-found", "--timeout=60s")


def test_kafka_of_a_cell_applies_and_a_second_time_changes_nothing(kinds: Cluster) -> None:
    """S2.7, S7.1, S6.2: brokers, topics, users and the scaler that asks them, against Strimzi's own definitions."""
    kinds.define(strimzi())
    for each in (EXTERNAL_SECRETS, KEDA):
        _define(kinds, *each)
    name = "lucky-se-eu-north"
    every = manifests(streamed(scaled=True))
    of_cell = {file: text for file, text in every.items() if file.startswith(f"cells/{name}/")}
    of_store = {f"stores/eu-north/{name}.yaml": every[f"stores/eu-north/{name}.yaml"]}
    shared = {file: text for file, text in every.items() if file.startswith("regions/eu-north/")}
    try:
        _applies_once(kinds, {**shared, **of_cell, **of_store})
        wanted = ("kafkatopics,kafkausers,kafkanodepools", f"--namespace={name}-data", "--output=name")
        held = kinds.kubectl("get", *wanted)
        assert len(held.split()) == 6
    finally:
        kinds.kubectl("delete", "namespace", f"{name}-data", "--ignore-not-found", "--timeout=60s")
        made = [each for text in shared.values() for each in quick_yaml.load_all(text)]
        classes = {each["metadata"]["name"] for each in made if each["kind"] == "StorageClass"}
        kinds.kubectl("delete", "storageclass", *classes, "--ignore-not-found", "--timeout=60s")


@pytest.mark.parametrize(
    ("cells", "namespace", "names"),
    [
        (traced, "telemetry", (RECEIVER, SAMPLER)),
        (gated, "psp-egress", (EGRESS_GATEWAY,)),
        (warmed, "warm", ("api",)),
    ],
    ids=["collectors", "egress", "warm"],
)
def test_what_a_region_has_once_applies_and_its_pods_are_taken_under_pod_security_restricted(
    kinds: Cluster, cells: Callable[[], list[PlacedCell]], namespace: str, names: Sequence[str]
) -> None:
    """Of one region: each region is a cluster of its own."""
    files = {name: text for name, text in manifests(cells()).items() if name.startswith("regions/eu-north/")}
    try:
        _applies_once(kinds, files)
        for name in names:
            pods = (
                "get",
                "pods",
                f"--namespace={namespace}",
                f"--selector=app.kubernetes.io/name={name}",
                "--output=name",
            )
            kinds.until(f"two pods of {name}", lambda pods=pods: len(kinds.kubectl(*pods).split()) == 2, 30.0)
    finally:
        kinds.kubectl("delete", "namespace", namespace, "--ignore-not-found", "--timeout=60s")


def test_what_watches_a_region_and_how_calls_leave_it_apply_and_a_second_time_change_nothing(kinds: Cluster) -> None:
    """S8.9, S9: against the definitions that Cilium and the Prometheus operator publish; neither runs."""
    for each in (CILIUM, *PROMETHEUS_OPERATOR):
        _define(kinds, *each)
    held = ("cells/lucky-se-eu-north/", "regions/eu-north/")
    files = {name: text for name, text in manifests(watched()).items() if name.startswith(held)}
    made = {each["kind"] for text in files.values() for each in quick_yaml.load_all(text)}
    assert {"CiliumEgressGatewayPolicy", "PodMonitor", "PrometheusRule"} <= made
    spaces = ("monitoring", "telemetry", "psp-egress")
    kinds.kubectl("create", "namespace", spaces[0])
    try:
        _applies_once(kinds, files)
    finally:
        kinds.kubectl("delete", "ciliumegressgatewaypolicies.cilium.io", "--all", "--ignore-not-found")
        kinds.kubectl("delete", "namespace", *spaces, "--ignore-not-found", "--timeout=60s")


@pytest.mark.parametrize(
    ("tool", "namespace", "modules"), [("argocd", "argocd", [ARGO_CD]), ("flux", "flux-system", FLUX)]
)
def test_what_applies_the_manifests_applies_and_a_second_time_changes_nothing(
    kinds: Cluster, tool: Literal["argocd", "flux"], namespace: str, modules: Sequence[tuple[str, str]]
) -> None:
    """Against the definitions that Argo CD and Flux publish; their controllers are not there."""
    for each in modules:
        _define(kinds, *each)
    kinds.kubectl("create", "namespace", namespace)
    try:
        files = manifests(applied(tool))
        _applies_once(kinds, {name: text for name, text in files.items() if name.startswith("gitops/")})
        _applies_once(kinds, {name: text for name, text in files.items() if not name.startswith("gitops/")})
    finally:
        kinds.kubectl("delete", "namespace", namespace, "--ignore-not-found", "--timeout=60s")


@pytest.mark.parametrize(
    ("target", "released_by"),
    [
        ("gatewayApi", "croupier"),
        ("gatewayApi", "kubernetes"),
        ("envoyGateway", "croupier"),
        ("envoyGateway", "kubernetes"),
        ("istioGateway", "kubernetes"),
        ("istio", "kubernetes"),
        ("nginxIngress", "kubernetes"),
    ],
)
def test_what_a_gateway_is_told_applies_and_a_second_time_changes_nothing(
    kinds: Cluster, target: Target, released_by: str
) -> None:
    """S8.1-S8.7: all that it can be asked, against the definitions that Envoy Gateway and Istio publish. Of one region:
    each region is a cluster of its own."""
    for each in (ENVOY_GATEWAY, ISTIO):
        _define(kinds, *each)
    cells = [each for each in fronted(target, released_by=released_by) if each.cell.region == "eu-north"]
    files = manifests(cells)
    made = [each for text in files.values() for each in quick_yaml.load_all(text)]
    spaces = {each["metadata"]["name"] for each in made if each["kind"] == "Namespace"}
    spaces |= {each["metadata"]["namespace"] for each in made if "namespace" in each["metadata"]}
    if "gateway" in spaces and not any(each["metadata"]["name"] == "gateway" for each in made):
        kinds.kubectl("create", "namespace", "gateway")
    # Folders in the order in which they depend on each other: the gateway's namespace, priorities, then cells.
    ordered = dict(sorted(files.items(), key=lambda each: not each[0].startswith("regions/")))
    try:
        _applies_once(kinds, ordered)
    finally:
        kinds.kubectl("delete", "namespace", *sorted(spaces), "--ignore-not-found", "--timeout=60s")


@pytest.mark.parametrize("released_by", ["croupier", "kubernetes"])
@pytest.mark.parametrize("mode", ["ambient", "sidecar"])
def test_what_a_mesh_is_told_applies_and_a_second_time_changes_nothing(
    kinds: Cluster, mode: Literal["ambient", "sidecar"], released_by: str
) -> None:
    """S8.5-S8.9: against the definitions that Istio publishes; no Istio runs. Of one region: each is a cluster."""
    for each in (ENVOY_GATEWAY, ISTIO):
        _define(kinds, *each)
    cells = [each for each in meshed(mode, released_by=released_by) if each.cell.region == "eu-north"]
    files = manifests(cells)
    made = [each for text in files.values() for each in quick_yaml.load_all(text)]
    wanted = {"PeerAuthentication"} | ({"ServiceEntry", "VirtualService"} if mode == "sidecar" else set())
    assert wanted <= {each["kind"] for each in made}
    spaces = {each["metadata"]["name"] for each in made if each["kind"] == "Namespace"}
    ordered = dict(sorted(files.items(), key=lambda each: not each[0].startswith("regions/")))
    try:
        _applies_once(kinds, ordered)
    finally:
        kinds.kubectl("delete", "namespace", *sorted(spaces), "--ignore-not-found", "--timeout=60s")


def test_pods_of_every_service_are_taken_under_pod_security_restricted(kinds: Cluster) -> None:
    """The intent rests, so its pods are made here as one of its versions would have them."""
    kinds.apply(*RENDERED.values(), manager=MANAGER)
    for each in OBJECTS:
        if each["kind"] == "ResourceQuota":  # until its use is counted, no pod is taken
            counted = f"--for=jsonpath={{.status.hard.pods}}={each['spec']['hard']['pods']}"
            where = ("--namespace", each["metadata"]["namespace"], "--timeout=60s")
            kinds.kubectl("wait", counted, f"resourcequota/{each['metadata']['name']}", *where)
    for each in OBJECTS:
        if each["kind"] == "Deployment":
            template, name = each["spec"]["template"], each["metadata"]["name"]
            metadata = {"name": name, "namespace": each["metadata"]["namespace"], **template["metadata"]}
            kinds.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
