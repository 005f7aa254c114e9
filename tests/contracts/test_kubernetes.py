"""What the adapters rely on from an API server. Run on the twin in memory, and on a real one (marker ``kube``)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from croupier.adapters.kubernetes_api import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    HTTP_ROUTES,
    LEASES,
    SERVICES,
    Change,
    Kubernetes,
    Resource,
    resource_of,
)
from croupier.adapters.kubernetes_client import KubernetesClient
from croupier.adapters.kubernetes_memory import MemoryKubernetes
from croupier.errors import Conflict, CroupierError, Missing, Refused, Unreachable
from croupier.model.objects import JsonObject

PATIENCE_SECONDS = 30.0


class Server:
    """An API server and a namespace of the test's own."""

    def __init__(self, client: Kubernetes, namespace: str) -> None:
        self.client = client
        self.namespace = namespace

    async def apply_as(self, manager: str, obj: JsonObject) -> None:
        assert isinstance(self.client, MemoryKubernetes)
        await self.client.acting_as(manager).apply(obj)

    async def get(self, resource: Resource, name: str) -> JsonObject:
        found = await self.client.get(resource, name, namespace=self.namespace)
        assert found is not None, f"{resource.kind} {name} is gone"
        return found

    async def until_gone(self, resource: Resource, name: str) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            listing = await self.client.list(resource, namespace=self.namespace)
            if not any(obj["metadata"]["name"] == name for obj in listing.items):
                return
            stream = self.client.watch(resource, namespace=self.namespace, resource_version=listing.resource_version)
            async with aclosing(stream):
                async for change in stream:
                    if change.kind == "DELETED" and change.object["metadata"]["name"] == name:
                        return
        raise AssertionError(f"{resource.kind} {name} is still there")

    def config_map(self, name: str = "settings", /, data: dict[str, str] | None = None, **more: Any) -> JsonObject:
        metadata = {"name": name, "namespace": self.namespace, **more.pop("metadata", {})}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data or {}, **more}

    def deployment(self, *, app: str = "api", image: str = "api:1", **environment: str) -> JsonObject:
        env = [{"name": name, "value": value} for name, value in environment.items()]
        container = {"name": "api", "image": image, **({"env": env} if env else {})}
        template = {"metadata": {"labels": {"app": app}}, "spec": {"containers": [container]}}
        spec = {"replicas": 0, "selector": {"matchLabels": {"app": app}}, "template": template}
        metadata = {"name": "api", "namespace": self.namespace}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}

    def route(self, **weights: int) -> JsonObject:
        backends = [{"name": name, "port": 80, "weight": weight} for name, weight in weights.items()]
        spec = {"parentRefs": [{"name": "nobodys"}], "rules": [{"backendRefs": backends}]}
        metadata = {"name": "api", "namespace": self.namespace}
        return {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": metadata,
            "spec": spec,
        }


class RealServer(Server):
    def __init__(self, client: KubernetesClient, namespace: str, cluster: Any) -> None:
        super().__init__(client, namespace)
        self._cluster = cluster

    async def apply_as(self, manager: str, obj: JsonObject) -> None:
        await asyncio.to_thread(self._cluster.apply, obj, namespace=self.namespace, manager=manager)


@pytest.fixture(params=["memory", pytest.param("cluster", marks=pytest.mark.kube)])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    if request.param == "memory":
        yield Server(MemoryKubernetes(), "casino")
        return
    cluster, namespace = request.getfixturevalue("cluster"), request.getfixturevalue("namespace")
    client = KubernetesClient.connect(cluster.context, cluster.kubeconfig)
    yield RealServer(client, namespace, cluster)
    await client.aclose()


# --- apply -----------------------------------------------------------------------------------------------------------


async def test_what_was_applied_is_there(server: Server) -> None:
    stored = await server.client.apply(server.deployment())
    assert (stored["apiVersion"], stored["kind"]) == ("apps/v1", "Deployment")
    metadata = stored["metadata"]
    assert metadata["uid"]
    assert metadata["creationTimestamp"]
    assert metadata["generation"] == 1
    assert int(metadata["resourceVersion"]) > 0
    assert (await server.get(DEPLOYMENTS, "api"))["metadata"]["uid"] == metadata["uid"]


async def test_what_is_not_there_is_none(server: Server) -> None:
    assert await server.client.get(DEPLOYMENTS, "none", namespace=server.namespace) is None


async def test_a_repeated_apply_changes_nothing(server: Server) -> None:
    first = await server.client.apply(server.config_map(data={"a": "1"}))
    again = await server.client.apply(server.config_map(data={"a": "1"}))
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_later_is_a_greater_number(server: Server) -> None:
    versions = [
        int((await server.client.apply(server.config_map(data={"a": str(number)})))["metadata"]["resourceVersion"])
        for number in range(5)
    ]
    assert all(before < after for before, after in itertools.pairwise(versions))


async def test_the_generation_rises_with_the_spec_only(server: Server) -> None:
    await server.client.apply(server.deployment())
    labelled = server.deployment()
    labelled["metadata"]["labels"] = {"team": "money"}
    assert (await server.client.apply(labelled))["metadata"]["generation"] == 1
    changed = await server.client.apply(server.deployment(image="api:2"))
    assert changed["metadata"]["generation"] == 2
    assert "team" not in changed["metadata"].get("labels", {})


async def test_what_we_leave_out_goes_and_what_others_set_stays(server: Server) -> None:
    await server.client.apply(server.config_map(data={"ours": "1", "shared": "2"}))
    await server.apply_as("git", server.config_map(data={"theirs": "3", "shared": "2"}))
    stored = await server.client.apply(server.config_map(data={}))
    assert stored["data"] == {"theirs": "3", "shared": "2"}


async def test_what_others_hold_is_taken_only_by_force(server: Server) -> None:
    await server.apply_as("git", server.config_map(data={"a": "theirs"}))
    with pytest.raises(Conflict, match=f"cannot apply ConfigMap {server.namespace}/settings: 409: .*git"):
        await server.client.apply(server.config_map(data={"a": "ours"}), force=False)
    assert (await server.get(CONFIG_MAPS, "settings"))["data"] == {"a": "theirs"}
    await server.client.apply(server.config_map(data={"a": "ours"}))
    assert (await server.get(CONFIG_MAPS, "settings"))["data"] == {"a": "ours"}


async def test_containers_and_their_variables_merge_by_name(server: Server) -> None:
    await server.client.apply(server.deployment(OURS="1"))
    await server.apply_as("git", server.deployment(THEIRS="2"))
    container = (await server.get(DEPLOYMENTS, "api"))["spec"]["template"]["spec"]["containers"]
    assert [each["name"] for each in container] == ["api"]
    assert {each["name"]: each["value"] for each in container[0]["env"]} == {"OURS": "1", "THEIRS": "2"}
    await server.client.apply(server.deployment())
    container = (await server.get(DEPLOYMENTS, "api"))["spec"]["template"]["spec"]["containers"]
    assert [each["name"] for each in container[0]["env"]] == ["THEIRS"]


async def test_the_rules_of_a_route_are_replaced_as_a_whole(server: Server) -> None:
    """Weights cannot be shared between managers (DESIGN §7)."""
    await server.client.apply(server.route(stable=95, canary=5))
    stored = await server.client.apply(server.route(canary=100))
    assert [(each["name"], each["weight"]) for each in stored["spec"]["rules"][0]["backendRefs"]] == [("canary", 100)]


async def test_the_selector_of_a_service_is_replaced_as_a_whole(server: Server) -> None:
    metadata = {"name": "api", "namespace": server.namespace}
    service: JsonObject = {"apiVersion": "v1", "kind": "Service", "metadata": metadata}
    ports = [{"name": "http", "port": 80}]
    await server.apply_as("git", service | {"spec": {"selector": {"app": "api"}, "ports": ports}})
    await server.client.apply(service | {"spec": {"selector": {"version": "a"}, "ports": ports}})
    assert (await server.get(SERVICES, "api"))["spec"]["selector"] == {"version": "a"}


async def test_an_apply_can_be_bound_to_one_object_and_state(server: Server) -> None:
    stored = await server.client.apply(server.config_map(data={"a": "1"}))
    another = {"uid": "00000000-0000-4000-8000-000000000000"}
    with pytest.raises(Refused, match=r"metadata\.uid"):
        await server.client.apply(server.config_map(data={"a": "2"}, metadata=another))
    with pytest.raises(Conflict):
        await server.client.apply(server.config_map("gone", metadata=another))
    await server.client.apply(server.config_map(data={"a": "2"}))
    old = {"resourceVersion": stored["metadata"]["resourceVersion"]}
    with pytest.raises(Conflict):
        await server.client.apply(server.config_map(data={"a": "3"}, metadata=old))
    assert (await server.get(CONFIG_MAPS, "settings"))["data"] == {"a": "2"}


# --- what is refused for ever ----------------------------------------------------------------------------------------


async def refused(server: Server, obj: JsonObject, words: str) -> None:
    name = f"{resource_of(obj).kind} {server.namespace}/{obj['metadata']['name']}"
    with pytest.raises(Refused, match=f"cannot apply {name}: 422: .*{words}"):
        await server.client.apply(obj)


async def test_an_immutable_config_map_stays_as_it_is(server: Server) -> None:
    await server.client.apply(server.config_map(data={"a": "1"}, immutable=True))
    await refused(server, server.config_map(data={"a": "2"}, immutable=True), "immutable")
    await refused(server, server.config_map(data={"a": "1"}), "immutable")
    assert (await server.get(CONFIG_MAPS, "settings"))["data"] == {"a": "1"}
    labelled = server.config_map(data={"a": "1"}, immutable=True, metadata={"labels": {"kept": "yes"}})
    assert (await server.client.apply(labelled))["metadata"]["labels"] == {"kept": "yes"}


async def test_a_deployment_selects_the_same_pods_for_ever(server: Server) -> None:
    await server.client.apply(server.deployment(app="api"))
    await refused(server, server.deployment(app="other"), "immutable")


async def test_a_deployment_selects_the_pods_it_makes(server: Server) -> None:
    stray = server.deployment()
    stray["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    await refused(server, stray, "selector")


# --- status ----------------------------------------------------------------------------------------------------------


async def test_a_status_is_written_apart_from_the_rest(server: Server) -> None:
    condition = {
        "type": "Accepted",
        "status": "True",
        "reason": "Accepted",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    parent = {"parentRef": {"name": "nobodys"}, "controllerName": "croupier.dev/test", "conditions": [condition]}
    with pytest.raises(Missing):
        await server.client.patch_status(server.route() | {"status": {"parents": [parent]}})
    await server.client.apply(server.route(stable=100))
    stored = await server.client.patch_status(server.route(stable=1) | {"status": {"parents": [parent]}})
    assert stored["metadata"]["generation"] == 1
    assert stored["spec"]["rules"][0]["backendRefs"][0]["weight"] == 100
    ours = [each for each in stored["status"]["parents"] if each["controllerName"] == "croupier.dev/test"]
    assert ours[0]["conditions"][0]["type"] == "Accepted"
    await server.client.apply(server.route(stable=100))
    assert (await server.get(HTTP_ROUTES, "api"))["status"] == stored["status"]


# --- one at a time ---------------------------------------------------------------------------------------------------


def lease(server: Server, holder: str, version: str | None = None) -> JsonObject:
    metadata = {"name": "lock", "namespace": server.namespace}
    if version is not None:
        metadata["resourceVersion"] = version
    spec = {"holderIdentity": holder, "renewTime": "2026-01-01T00:00:00.000000Z"}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


async def test_of_two_that_create_one_wins(server: Server) -> None:
    await server.client.create(lease(server, "a"))
    with pytest.raises(Conflict, match=f"cannot create Lease {server.namespace}/lock: 409"):
        await server.client.create(lease(server, "b"))
    assert (await server.get(LEASES, "lock"))["spec"]["holderIdentity"] == "a"


async def test_of_two_that_replace_one_wins(server: Server) -> None:
    version = (await server.client.create(lease(server, "a")))["metadata"]["resourceVersion"]
    replaced = await server.client.replace(lease(server, "b", version))
    with pytest.raises(Conflict):
        await server.client.replace(lease(server, "c", version))
    assert (await server.get(LEASES, "lock"))["spec"]["holderIdentity"] == "b"
    await server.client.delete(LEASES, "lock", namespace=server.namespace)
    with pytest.raises(Conflict):  # without the uid, API servers would make a new one
        await server.client.replace(replaced)


async def test_behind_a_closed_fence_nothing_changes(server: Server) -> None:
    def closed() -> None:
        raise Unreachable("the lease may be lost")

    await server.client.apply(server.config_map(data={"a": "1"}))
    server.client.fence = closed
    for write in (
        server.client.apply(server.config_map(data={"a": "2"})),
        server.client.patch_status(server.route(stable=1)),
        server.client.create(server.config_map("other")),
        server.client.replace(server.config_map(data={"a": "2"})),
        server.client.delete(CONFIG_MAPS, "settings", namespace=server.namespace),
    ):
        with pytest.raises(Unreachable, match="may be lost"):
            await write
    await server.client.create(lease(server, "a"))
    assert (await server.get(CONFIG_MAPS, "settings"))["data"] == {"a": "1"}


# --- delete ----------------------------------------------------------------------------------------------------------


async def test_a_deletion_is_safe_to_repeat(server: Server) -> None:
    await server.client.apply(server.config_map())
    await server.client.delete(CONFIG_MAPS, "settings", namespace=server.namespace)
    assert await server.client.get(CONFIG_MAPS, "settings", namespace=server.namespace) is None
    await server.client.delete(CONFIG_MAPS, "settings", namespace=server.namespace)


async def test_a_deletion_spares_another_of_the_same_name(server: Server) -> None:
    before = await server.client.apply(server.config_map())
    await server.client.delete(CONFIG_MAPS, "settings", namespace=server.namespace)
    await server.client.apply(server.config_map())
    await server.client.delete(CONFIG_MAPS, "settings", namespace=server.namespace, uid=before["metadata"]["uid"])
    after = await server.get(CONFIG_MAPS, "settings")
    await server.client.delete(CONFIG_MAPS, "settings", namespace=server.namespace, uid=after["metadata"]["uid"])
    await server.until_gone(CONFIG_MAPS, "settings")


async def test_what_is_owned_goes_with_its_owner(server: Server) -> None:
    owner = await server.client.apply(server.config_map("owner"))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    await server.client.apply(server.config_map("owned", metadata={"ownerReferences": [reference]}))
    await server.client.apply(server.config_map("free"))
    await server.client.delete(CONFIG_MAPS, "owner", namespace=server.namespace)
    await server.until_gone(CONFIG_MAPS, "owned")
    await server.get(CONFIG_MAPS, "free")


# --- lists and watches -----------------------------------------------------------------------------------------------


async def names(server: Server, labels: str = "") -> list[str]:
    listing = await server.client.list(CONFIG_MAPS, namespace=server.namespace, labels=labels)
    return [name for obj in listing.items if (name := obj["metadata"]["name"]) != "kube-root-ca.crt"]


async def test_a_list_is_of_a_kind_a_namespace_and_labels(server: Server) -> None:
    await server.client.apply(server.deployment())
    await server.client.apply(server.config_map("b", metadata={"labels": {"policy": "p", "version": "1"}}))
    await server.client.apply(server.config_map("a", metadata={"labels": {"policy": "p", "version": "2"}}))
    await server.client.apply(server.config_map("c"))
    assert await names(server) == ["a", "b", "c"]
    assert await names(server, "policy=p") == ["a", "b"]
    assert await names(server, "policy=p,version=1") == ["b"]
    everywhere = await server.client.list(DEPLOYMENTS)
    ours = [obj for obj in everywhere.items if obj["metadata"]["namespace"] == server.namespace]
    assert [(obj["apiVersion"], obj["kind"], obj["metadata"]["name"]) for obj in ours] == [
        ("apps/v1", "Deployment", "api")
    ]


async def seen(server: Server, version: str, count: int, labels: str = "") -> list[tuple[str, str]]:
    """The next ``count`` changes of ConfigMaps after ``version``: kind, name."""
    changes: list[Change] = []
    stream = server.client.watch(CONFIG_MAPS, namespace=server.namespace, labels=labels, resource_version=version)
    async with aclosing(stream), asyncio.timeout(PATIENCE_SECONDS):
        async for change in stream:
            if change.kind != "BOOKMARK" and change.object["metadata"]["name"] != "kube-root-ca.crt":
                changes.append(change)
            if len(changes) == count:
                break
    versions = [int(change.object["metadata"]["resourceVersion"]) for change in changes]
    assert versions == sorted(versions)
    return [(change.kind, change.object["metadata"]["name"]) for change in changes]


async def test_a_watch_goes_on_where_the_list_ended(server: Server) -> None:
    await server.client.apply(server.config_map("before"))
    version = (await server.client.list(CONFIG_MAPS, namespace=server.namespace)).resource_version
    await server.client.apply(server.config_map("one"))
    await server.client.apply(server.deployment())
    await server.client.apply(server.config_map("one", data={"a": "1"}))
    await server.client.delete(CONFIG_MAPS, "before", namespace=server.namespace)
    assert await seen(server, version, 3) == [("ADDED", "one"), ("MODIFIED", "one"), ("DELETED", "before")]


async def test_what_leaves_the_selection_of_a_watch_is_deleted_for_it(server: Server) -> None:
    version = (await server.client.list(CONFIG_MAPS, namespace=server.namespace)).resource_version
    for policy in ("p", "q", "p"):
        await server.client.apply(server.config_map(metadata={"labels": {"policy": policy}}))
    expected = [("ADDED", "settings"), ("DELETED", "settings"), ("ADDED", "settings")]
    assert await seen(server, version, 3, "policy=p") == expected


async def test_a_watch_tells_what_happens_while_it_runs(server: Server) -> None:
    version = (await server.client.list(CONFIG_MAPS, namespace=server.namespace)).resource_version
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(seen(server, version, 1))
        await server.client.apply(server.config_map("one"))
    assert watching.result() == [("ADDED", "one")]


async def test_a_request_that_makes_no_sense_is_no_outage(server: Server) -> None:
    """What cannot pass by itself must not be tried for ever."""
    with pytest.raises(CroupierError) as caught:
        await server.client.replace(server.config_map("never-created"))
    assert not isinstance(caught.value, Unreachable)
