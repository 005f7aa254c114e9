"""Versions as Deployments: made from the template in Git, never changed, retired after a drain (DESIGN §7)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from tests.support.small_cluster import INTENT, NAMESPACE, POLICY_NAME, SERVICE, Operator, SmallCluster

from croupier.adapters.kubernetes_api import CONFIG_MAPS, DEPLOYMENTS, HPAS, SERVICES
from croupier.adapters.workloads.kubernetes import KubernetesWorkloads
from croupier.core.render.version import WARM, object_name, warm_pods
from croupier.errors import UnknownName, Unreachable
from croupier.model.digest import short


class Stage(NamedTuple):
    world: SmallCluster
    operator: Operator

    @property
    def workloads(self) -> KubernetesWorkloads:
        return self.operator.workloads

    async def commit(self, **env: str) -> str:
        """The digest of what Git asks for now."""
        await self.world.commit(**env)
        await self.world.settle()
        digest = self.workloads.wanted(SERVICE)
        assert digest is not None
        return digest

    async def ready(self) -> dict[str, int]:
        await self.world.settle()
        return {each.digest: each.ready for each in await self.workloads.observe(SERVICE)}


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with SmallCluster.begin() as world:
        await world.configure(COLOUR="green")
        await world.declare()
        yield Stage(world, await world.operator())


async def test_a_version_gets_its_pods_and_an_unfinished_start_may_be_repeated(stage: Stage) -> None:
    digest = await stage.commit(BUILD="1")
    for _ in range(2):
        await stage.workloads.ensure(SERVICE, digest, 3)
    assert await stage.ready() == {digest: 3}
    (found,) = await stage.workloads.observe(SERVICE)
    assert all(pod.endpoint is not None and pod.endpoint.port == 8080 for pod in found.pods)


async def test_a_wish_never_scales_down(stage: Stage) -> None:
    digest = await stage.commit(BUILD="1")
    for replicas in (3, 1):
        await stage.workloads.ensure(SERVICE, digest, replicas)
    assert await stage.ready() == {digest: 3}


async def test_only_what_git_holds_now_can_be_made(stage: Stage) -> None:
    """S5.1."""
    old = await stage.commit(BUILD="1")
    new = await stage.commit(BUILD="2")
    with pytest.raises(UnknownName, match="another template now"):
        await stage.workloads.ensure(SERVICE, old, 1)
    await stage.workloads.ensure(SERVICE, new, 1)
    assert await stage.ready() == {new: 1}


async def test_a_retired_version_asks_for_nothing_and_keeps_its_pods_until_it_has_drained(stage: Stage) -> None:
    digest = await stage.commit(BUILD="1")
    await stage.workloads.ensure(SERVICE, digest, 2)
    await stage.workloads.retire(SERVICE, digest)
    assert await stage.ready() == {digest: 2}
    assert [each.desired for each in await stage.workloads.observe(SERVICE)] == [0]
    assert await stage.workloads.tidy(SERVICE, frozenset()) == []
    stage.world.clock.time += 5.5
    assert "has drained" in (await stage.workloads.tidy(SERVICE, frozenset()))[0]
    assert await stage.ready() == {}


async def test_a_retired_version_has_the_time_that_it_is_given_whatever_the_policy_says_now(stage: Stage) -> None:
    digest = await stage.commit(BUILD="1")
    await stage.workloads.ensure(SERVICE, digest, 2)
    await stage.world.declare(traffic="websocket", drainSeconds=5.0)
    await stage.world.settle()
    await stage.workloads.retire(SERVICE, digest, 60.0)
    await stage.ready()
    stage.world.clock.time += 58.0
    assert await stage.workloads.tidy(SERVICE, frozenset()) == []
    stage.world.clock.time += 3.0
    assert "has drained" in (await stage.workloads.tidy(SERVICE, frozenset()))[0]


async def test_a_version_that_is_kept_is_not_tidied_away(stage: Stage) -> None:
    digest = await stage.commit(BUILD="1")
    await stage.workloads.ensure(SERVICE, digest, 2)
    await stage.workloads.retire(SERVICE, digest)
    stage.world.clock.time += 60.0
    assert await stage.workloads.tidy(SERVICE, frozenset({digest})) == []
    assert await stage.ready() == {digest: 2}


async def test_a_retired_version_is_wanted_again_without_being_made_anew(stage: Stage) -> None:
    digest = await stage.commit(BUILD="1")
    await stage.workloads.ensure(SERVICE, digest, 2)
    made = stage.world.find(DEPLOYMENTS, object_name(POLICY_NAME, digest))["metadata"]["uid"]
    await stage.workloads.retire(SERVICE, digest)
    stage.world.clock.time += 60.0
    await stage.workloads.tidy(SERVICE, frozenset())
    await stage.workloads.ensure(SERVICE, digest, 2)
    assert await stage.ready() == {digest: 2}
    assert stage.world.find(DEPLOYMENTS, object_name(POLICY_NAME, digest))["metadata"]["uid"] == made


async def test_writing_replicas_keeps_every_field_of_a_version(stage: Stage) -> None:
    """A partial apply under one field manager would take away what it leaves out."""
    digest = await stage.commit(BUILD="1")
    await stage.workloads.ensure(SERVICE, digest, 2)
    await stage.world.settle()
    name = object_name(POLICY_NAME, digest)
    before = stage.world.find(DEPLOYMENTS, name)
    await stage.workloads.ensure(SERVICE, digest, 3)
    await stage.workloads.retire(SERVICE, digest)
    await stage.workloads.ensure(SERVICE, digest, 3)
    after = stage.world.find(DEPLOYMENTS, name)
    assert after["spec"] == {**before["spec"], "replicas": 3}
    for field in ("labels", "annotations", "ownerReferences"):
        assert after["metadata"][field] == before["metadata"][field]


async def test_of_the_intent_only_replicas_are_written(stage: Stage) -> None:
    await stage.world.commit(replicas=2, BUILD="1")
    await stage.world.settle()
    before = stage.world.find(DEPLOYMENTS, POLICY_NAME)
    assert await stage.ready() == {INTENT: 2}
    await stage.workloads.retire(SERVICE, INTENT)
    stage.world.clock.time += 6.0
    await stage.workloads.tidy(SERVICE, frozenset())
    after = stage.world.find(DEPLOYMENTS, POLICY_NAME)
    assert after["spec"] == {**before["spec"], "replicas": 0}
    assert not after["metadata"].get("annotations")
    assert await stage.ready() == {}


async def test_pods_of_others_are_not_the_intents_whatever_it_selects_by(stage: Stage) -> None:
    """A stranger's ready pod would pass for one that players can go back to."""
    await stage.world.commit(replicas=0, BUILD="1")
    await stage.world.commit(replicas=1, name="bets", config=False)
    await stage.world.select_by_expressions()
    assert await stage.ready() == {}


async def test_an_optional_config_map_may_be_missing_and_makes_a_version_when_it_comes(stage: Stage) -> None:
    await stage.world.commit(BUILD="1")

    def change(obj: dict[str, Any]) -> None:
        references = obj["spec"]["template"]["spec"]["containers"][0]["envFrom"]
        references.append({"configMapRef": {"name": "extras", "optional": True}})

    await stage.world.change(DEPLOYMENTS, POLICY_NAME, change)
    await stage.world.settle()
    without = stage.workloads.wanted(SERVICE)
    assert without is not None
    await stage.workloads.ensure(SERVICE, without, 1)
    await stage.world.settle()
    assert stage.workloads.wanted(SERVICE) == without
    await stage.world.configure("extras", BONUS="yes")
    await stage.world.settle()
    assert stage.workloads.wanted(SERVICE) not in (None, without)


async def test_a_config_map_that_is_needed_and_missing_is_named(stage: Stage) -> None:
    await stage.commit(BUILD="1")
    await stage.world.person.delete(CONFIG_MAPS, f"{POLICY_NAME}-config", namespace=NAMESPACE)
    await stage.world.settle()
    with pytest.raises(Unreachable, match="ConfigMap casino/payments-api-config does not exist") as caught:
        stage.workloads.wanted(SERVICE)
    assert "commit it" in caught.value.hint


async def test_defaults_that_a_newer_api_server_fills_in_are_no_new_version(stage: Stage) -> None:
    digest = await stage.commit(BUILD="1")
    await stage.workloads.ensure(SERVICE, digest, 1)

    def default(obj: dict[str, Any]) -> None:
        obj["spec"]["template"]["spec"]["restartPolicy"] = "Always"

    for name in (POLICY_NAME, object_name(POLICY_NAME, digest)):
        await stage.world.change(DEPLOYMENTS, name, default)
    await stage.world.settle()
    assert stage.workloads.wanted(SERVICE) == digest


async def test_a_quota_is_told_as_a_pod_that_cannot_be_made(stage: Stage) -> None:
    stage.world.quota = "exceeded quota: compute"
    digest = await stage.commit(BUILD="1")
    await stage.workloads.ensure(SERVICE, digest, 2)
    await stage.world.settle()
    (found,) = await stage.workloads.observe(SERVICE)
    assert found.ready == 0
    assert [pod.reason for pod in found.pods] == ["cannot be made: exceeded quota: compute"]


async def test_what_belongs_to_a_version_that_is_gone_goes_too(stage: Stage) -> None:
    old = await stage.commit(BUILD="1")
    await stage.workloads.ensure(SERVICE, old, 1)
    new = await stage.commit(BUILD="2")
    await stage.workloads.ensure(SERVICE, new, 1)
    await stage.world.person.delete(DEPLOYMENTS, object_name(POLICY_NAME, old), namespace=NAMESPACE)
    await stage.world.settle()
    await stage.workloads.tidy(SERVICE, frozenset({new}))
    names = {each["metadata"]["name"] for kind in (SERVICES, CONFIG_MAPS) for each in stage.world.all(kind)}
    assert names == {
        f"{POLICY_NAME}-config",
        object_name(POLICY_NAME, new),
        object_name(f"{POLICY_NAME}-config", new),
    }


async def test_each_version_has_a_scaler_of_its_own_that_keeps_the_floor(stage: Stage) -> None:
    kind = {"apiVersion": HPAS.api_version, "kind": HPAS.kind}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": POLICY_NAME}
    spec = {"minReplicas": 1, "maxReplicas": 9, "scaleTargetRef": target}
    await stage.world.git.apply({**kind, "metadata": {"name": POLICY_NAME, "namespace": NAMESPACE}, "spec": spec})
    digest = await stage.commit(BUILD="1")
    await stage.workloads.ensure(SERVICE, digest, 4)
    own = stage.world.find(HPAS, object_name(POLICY_NAME, digest))
    assert (own["spec"]["minReplicas"], own["spec"]["scaleTargetRef"]["name"]) == (4, object_name(POLICY_NAME, digest))
    before = stage.world.server.revision
    await stage.workloads.hold(SERVICE, digest, 4)
    assert stage.world.server.revision == before
    assert stage.workloads.is_scaled(SERVICE)


async def test_a_scaler_has_as_many_pods_as_the_calendar_asks_for_while_it_does(stage: Stage) -> None:
    """S6.4: the minimum is raised, which gives all pods at once, and lowered again when the event is over."""
    now = stage.world.clock.now()

    def at(seconds: float) -> str:
        return datetime.fromtimestamp(now + seconds, UTC).isoformat(timespec="seconds")

    windows = [
        {"event": "derby", "from": at(600), "until": at(1800), "pods": 5},
        {"event": "final", "from": at(1200), "until": at(1500), "pods": 7},
    ]
    kind = {"apiVersion": HPAS.api_version, "kind": HPAS.kind}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": POLICY_NAME}
    spec = {"minReplicas": 2, "maxReplicas": 9, "scaleTargetRef": target}
    metadata = {"name": POLICY_NAME, "namespace": NAMESPACE, "annotations": {WARM: json.dumps(windows)}}
    await stage.world.git.apply({**kind, "metadata": metadata, "spec": spec})
    digest = await stage.commit(BUILD="1")
    await stage.workloads.ensure(SERVICE, digest, 2)
    found = []
    for elapsed in (0, 601, 1201, 1501, 1801):
        stage.world.clock.time = now + elapsed
        await stage.workloads.hold(SERVICE, digest, 3)
        own = stage.world.find(HPAS, object_name(POLICY_NAME, digest))
        found.append(own["spec"]["minReplicas"])
    assert found == [3, 5, 7, 5, 3]


@pytest.mark.parametrize(
    "text", ["", "no JSON", "{}", '[{"pods": "many"}]', '[{"from": 1, "until": 2, "pods": 3}]', "[1]"]
)
def test_a_calendar_that_cannot_be_read_asks_for_nothing(text: str) -> None:
    assert warm_pods({"metadata": {"annotations": {WARM: text}}}, 0.0) == 0
    assert warm_pods({"metadata": {}}, 0.0) == 0


async def test_versions_are_listed_with_what_git_asks_for(stage: Stage) -> None:
    digest = await stage.commit(BUILD="7")
    found = {each.digest: each.label for each in await stage.workloads.versions(SERVICE)}
    assert found == {INTENT: "intent", digest: "payments-api:7"}
    assert len(short(digest)) == 12


async def test_a_service_without_a_policy_is_an_error_that_lists_those_known(stage: Stage) -> None:
    with pytest.raises(UnknownName) as caught:
        await stage.workloads.observe("payment-api.casino")
    assert SERVICE in caught.value.hint


async def test_pods_of_caches_that_are_stale_are_no_observation(stage: Stage) -> None:
    stage.world.clock.time += 100.0
    with pytest.raises(Unreachable, match="nothing is decided"):
        await stage.workloads.observe(SERVICE)
