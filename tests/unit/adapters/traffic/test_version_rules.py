"""The breaker of a Service holds for its versions, too, where a mesh splits its callers (S8.7)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.small_cluster import NAMESPACE, POLICY_NAME, SERVICE, SmallCluster
from tests.unit.adapters.traffic.test_gateway_api import Stage, staged

from croupier.adapters.kubernetes_api import DESTINATION_RULES, HTTP_ROUTES
from croupier.core.render.version import object_name
from croupier.errors import Unreachable

LIMITS = {"connectionPool": {"tcp": {"maxConnections": 70}}, "tls": {"mode": "ISTIO_MUTUAL"}}


async def declare(world: SmallCluster, host: str, *, name: str = POLICY_NAME, most: int = 70) -> None:
    """A DestinationRule in Git."""
    policy = {**LIMITS, "connectionPool": {"tcp": {"maxConnections": most}}}
    await world.git.apply(
        {
            "apiVersion": DESTINATION_RULES.api_version,
            "kind": DESTINATION_RULES.kind,
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"host": host, "trafficPolicy": policy},
        }
    )
    await world.settle()


def copies(stage: Stage) -> dict[str, int]:
    """Host -> most connections, of what belongs to versions."""
    found = [each for each in stage.world.all(DESTINATION_RULES) if each["metadata"].get("labels")]
    return {
        each["spec"]["host"]: each["spec"]["trafficPolicy"]["connectionPool"]["tcp"]["maxConnections"] for each in found
    }


@pytest.mark.parametrize("rest", ["", f".{NAMESPACE}", f".{NAMESPACE}.svc.cluster.local"])
async def test_each_version_has_what_git_says_of_the_service(rest: str) -> None:
    async with SmallCluster.begin() as world:
        stage = await staged(world, route=None, mesh={})
        await declare(world, f"{POLICY_NAME}{rest}")
        await declare(world, "bets", name="bets", most=1)
        await stage.traffic.set_split(stage.split(25))
        names = [object_name(POLICY_NAME, digest) for digest in (stage.old, stage.new)]
        assert copies(stage) == {f"{name}{rest}": 70 for name in names}
        before = world.server.revision
        await stage.traffic.set_split(stage.split(25))
        assert world.server.revision == before


async def test_a_copy_follows_git_and_goes_with_it() -> None:
    async with SmallCluster.begin() as world:
        stage = await staged(world, route=None, mesh={})
        await stage.traffic.set_split(stage.split(None))
        assert copies(stage) == {}
        name = object_name(POLICY_NAME, stage.old)
        for most, told in ((70, "not there"), (80, "changed")):
            await declare(world, POLICY_NAME, most=most)
            assert await stage.traffic.put_back(SERVICE, stage.old) == [f"DestinationRule {name} was {told}"]
            await world.settle()
            assert copies(stage) == {name: most}
            assert await stage.traffic.put_back(SERVICE, stage.old) == []
        await world.git.delete(DESTINATION_RULES, POLICY_NAME, namespace=NAMESPACE)
        await world.settle()
        assert await stage.traffic.put_back(SERVICE, stage.old) == []
        await world.settle()
        assert world.all(DESTINATION_RULES) == []


async def test_who_goes_back_does_not_wait_for_a_copy_that_is_refused() -> None:
    """Prevents: players and callers who stay on a bad version because Istio's webhook is down."""
    async with SmallCluster.begin() as world:
        stage = await staged(world, mesh={})
        await declare(world, POLICY_NAME)
        await stage.traffic.set_split(stage.split(50, 1))
        await declare(world, POLICY_NAME, most=80)
        refuse_rules(world)
        with pytest.raises(Unreachable, match="webhook"):
            await stage.traffic.set_split(stage.split(75, 2))
        assert await shares(stage) == {50}
        with pytest.raises(Unreachable, match="webhook"):
            await stage.traffic.set_split(stage.split(0, 3))
        assert await shares(stage) == {0}
        assert (await stage.traffic.observe(SERVICE)).weights == {stage.old: 100}
        with pytest.raises(Unreachable, match="webhook"):
            await stage.traffic.set_split(stage.split(75, 4).model_copy(update={"returns": True}))
        assert await shares(stage) == {75}, "the new one is the version before, and the run goes back to it"


def refuse_rules(world: SmallCluster) -> None:
    """Nobody may write a DestinationRule any more."""
    apply = world.writes.apply

    async def refused(obj: dict[str, Any], *, force: bool = True) -> dict[str, Any]:
        if obj["kind"] == DESTINATION_RULES.kind:
            raise Unreachable("failed calling webhook validation.istio.io")
        return await apply(obj, force=force)

    world.writes.apply = refused  # type: ignore[method-assign]


async def shares(stage: Stage) -> set[int]:
    """Percent on the new version, in every route."""
    await stage.world.settle()
    rules = [rule for route in stage.world.all(HTTP_ROUTES) for rule in route["spec"]["rules"]]
    new = object_name(POLICY_NAME, stage.new)
    return {each["weight"] for rule in rules for each in rule["backendRefs"] if each["name"] == new}


async def test_where_nobody_is_split_or_there_is_no_istio_nothing_is_copied() -> None:
    async with SmallCluster.begin() as world:
        stage = await staged(world)
        await declare(world, POLICY_NAME)
        await stage.traffic.set_split(stage.split(25))
        assert copies(stage) == {}
        await world.declare(mesh={})
        plain = await world.operator(has_istio=False)
        await plain.traffic.set_split(stage.split(25))
        assert copies(stage) == {}
