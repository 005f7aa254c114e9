"""Splits by HTTPRoute, confirmed by the gateway; without a route the Service is switched as a whole (DESIGN §7)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple

import pytest
from tests.support.small_cluster import INTENT, LABELS, NAMESPACE, POLICY_NAME, SERVICE, Operator, SmallCluster

from croupier.adapters.kubernetes_api import BACKEND_TLS_POLICIES, DEPLOYMENTS, HTTP_ROUTES, SERVICES, open_fence
from croupier.adapters.traffic.gateway_api import GatewayTraffic
from croupier.core.render.version import labels, object_name
from croupier.errors import Unreachable, UsageError
from croupier.model.digest import short
from croupier.model.traffic import ArmBackend, Split


class Stage(NamedTuple):
    world: SmallCluster
    operator: Operator
    old: str
    new: str

    @property
    def traffic(self) -> GatewayTraffic:
        return self.operator.traffic

    def split(self, weight: int | None, revision: int = 1) -> Split:
        """``weight`` percent on the new version; None: no release is live."""
        stable, canary = (
            ArmBackend(digest=digest, weight=share, endpoints=())
            for digest, share in ((self.old, 100 - (weight or 0)), (self.new, weight or 0))
        )
        if weight is None:
            return Split(service=SERVICE, run="-", revision=0, stable=stable)
        return Split(service=SERVICE, run="r-0001", revision=revision, stable=stable, canary=canary)

    def selector(self) -> dict[str, str]:
        return dict(self.world.find(SERVICES, POLICY_NAME)["spec"]["selector"])

    def refuse_all_but_one_write(self) -> None:
        writes = self.world.writes
        writes.calls.clear()

        def fence() -> None:
            if writes.calls:
                raise Unreachable("refused")

        writes.fence = fence

    async def edit(self, change: Any) -> None:
        await self.world.change(HTTP_ROUTES, POLICY_NAME, change)
        await self.world.settle()


async def staged(world: SmallCluster, of_builds: Mapping[str, Sequence[int]] | None = None, **spec: Any) -> Stage:
    """``of_builds``: build -> ports that its pods declare."""
    await world.configure(COLOUR="green")
    await world.declare(**spec)
    operator = await world.operator()
    digests = []
    for build in ("1", "2"):
        await world.commit(ports=(of_builds or {}).get(build, ()), BUILD=build)
        await world.settle()
        digest = operator.workloads.wanted(SERVICE)
        assert digest is not None
        await operator.workloads.ensure(SERVICE, digest, 2)
        digests.append(digest)
    await world.settle()
    return Stage(world, operator, digests[0], digests[1])


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with SmallCluster.begin() as world:
        yield await staged(world)


@pytest.fixture
async def plain() -> AsyncIterator[Stage]:
    async with SmallCluster.begin() as world:
        yield await staged(world, route=None, strategy={"steps": [100]})


@pytest.fixture
async def encrypted() -> AsyncIterator[Stage]:
    """Pods speak TLS at a port of their own, and browsers are told to come by TLS."""
    tls = {"port": 8443, "hostname": "payments-api.casino.svc", "ca": "ca"}
    async with SmallCluster.begin() as world:
        yield await staged(world, route={"parentRefs": [{"name": "web"}], "hsts": {"maxAgeSeconds": 60}, "tls": tls})


async def test_while_nothing_is_ours_the_intent_serves(stage: Stage) -> None:
    assert (await stage.traffic.observe(SERVICE)).weights == {INTENT: 100}


async def test_nobody_is_sent_to_an_intent_that_a_service_cannot_select(stage: Stage) -> None:
    """A Service with an empty selector has no pods: callers would get nothing."""
    await stage.world.select_by_expressions()
    intent = ArmBackend(digest=INTENT, weight=100, endpoints=())
    with pytest.raises(Unreachable, match="selects its pods by matchExpressions"):
        await stage.traffic.set_split(Split(service=SERVICE, run="-", revision=0, stable=intent))


async def test_the_way_back_from_a_deployment_that_was_deleted_is_open(stage: Stage) -> None:
    """A service that leaves croupier, and whose own Deployment somebody deletes with players on its pods."""

    def leaving(weight: int, revision: int) -> Split:
        stable, canary = (
            ArmBackend(digest=digest, weight=share, endpoints=())
            for digest, share in ((stage.old, 100 - weight), (INTENT, weight))
        )
        return Split(service=SERVICE, run="r-0001", revision=revision, stable=stable, canary=canary)

    await stage.traffic.set_split(leaving(50, 1))
    await stage.world.git.delete(DEPLOYMENTS, POLICY_NAME, namespace=NAMESPACE)
    await stage.world.settle()
    await stage.traffic.set_split(leaving(0, 2))
    assert stage.world.weights() == {short(stage.old): 100}
    assert (await stage.traffic.observe(SERVICE)).weights == {stage.old: 100}


async def test_observe_tells_what_is_in_force(stage: Stage) -> None:
    await stage.traffic.set_split(stage.split(None))
    assert (await stage.traffic.observe(SERVICE)).weights == {stage.old: 100}
    await stage.traffic.set_split(stage.split(25, 3))
    seen = await stage.traffic.observe(SERVICE)
    assert (seen.run, seen.revision, seen.weights) == ("r-0001", 3, {stage.old: 75, stage.new: 25})


async def test_a_change_may_be_repeated_and_costs_nothing_then(stage: Stage) -> None:
    await stage.traffic.set_split(stage.split(25))
    before = stage.world.server.revision
    await stage.traffic.set_split(stage.split(25))
    assert stage.world.server.revision == before


async def test_a_way_back_writes_nothing_that_stands_already(stage: Stage) -> None:
    """Prevents: players who wait on a bad version for writes that change nothing, while most writes are refused."""
    await stage.traffic.set_split(stage.split(25, 1))
    stage.world.writes.calls.clear()
    await stage.traffic.set_split(stage.split(0, 2))
    assert stage.world.writes.calls[0] == f"apply HTTPRoute {POLICY_NAME}"


async def test_a_change_goes_on_from_the_write_that_failed(stage: Stage) -> None:
    """Prevents: a way back that needs several writes in a row to succeed, where most are refused."""
    writes = stage.world.writes
    await stage.traffic.set_split(stage.split(100, 1))
    stage.refuse_all_but_one_write()
    with pytest.raises(Unreachable, match="refused"):
        await stage.traffic.set_split(stage.split(0, 2))
    writes.fence = open_fence
    await stage.traffic.set_split(stage.split(0, 2))
    assert writes.calls == [f"apply HTTPRoute {POLICY_NAME}", f"apply Service {POLICY_NAME}"]
    assert (await stage.traffic.observe(SERVICE)).weights == {stage.old: 100}


async def test_a_run_is_over_once_the_route_says_so_if_callers_in_the_cluster_are_there_already(stage: Stage) -> None:
    """Prevents: a run that ends and opens its split again, in turns, for as long as every other write is refused."""
    await stage.traffic.set_split(stage.split(0, 2))
    stage.refuse_all_but_one_write()
    with pytest.raises(Unreachable, match="refused"):
        await stage.traffic.set_split(stage.split(None))
    await stage.world.settle()
    seen = await stage.traffic.observe(SERVICE)
    assert (seen.run, seen.weights) == ("-", {stage.old: 100})


async def test_callers_in_the_cluster_go_back_whether_or_not_a_gateway_answers(stage: Stage) -> None:
    """Prevents: a bad version that callers in the cluster stay with for as long as a gateway is down."""
    await stage.traffic.set_split(stage.split(100, 1))
    stage.world.gateway_says = "False"
    with pytest.raises(Unreachable, match="not confirmed"):
        await stage.traffic.set_split(stage.split(0, 2))
    assert stage.selector() == labels(POLICY_NAME, stage.old)


async def test_callers_in_the_cluster_do_not_go_ahead_of_the_gateways(stage: Stage) -> None:
    await stage.traffic.set_split(stage.split(50, 1))
    stage.world.gateway_says = "False"
    with pytest.raises(Unreachable, match="not confirmed"):
        await stage.traffic.set_split(stage.split(100, 2))
    assert stage.selector() == labels(POLICY_NAME, stage.old)


async def test_callers_in_the_cluster_stay_with_stable_until_all_have_moved_but_those_held_back(stage: Stage) -> None:
    ways = ((5, stage.old), (50, stage.old), (99, stage.new), (0, stage.old), (100, stage.new), (0, stage.old))
    for revision, (weight, follows) in enumerate(ways):
        await stage.traffic.set_split(stage.split(weight, revision))
        assert stage.selector() == labels(POLICY_NAME, follows)


async def test_a_change_that_ended_before_the_service_followed_is_not_in_force(stage: Stage) -> None:
    """Prevents: callers in the cluster who stay on a version that was taken back."""
    await stage.traffic.set_split(stage.split(100, 1))
    left = stage.world.find(SERVICES, POLICY_NAME)["metadata"]["annotations"]
    await stage.traffic.set_split(stage.split(0, 2))
    await stage.world.change(SERVICES, POLICY_NAME, lambda obj: obj["metadata"].update(annotations=left))
    await stage.world.change(
        SERVICES, POLICY_NAME, lambda obj: obj["spec"].update(selector=labels(POLICY_NAME, stage.new))
    )
    await stage.world.settle()
    with pytest.raises(Unreachable, match="does not follow the route"):
        await stage.traffic.observe(SERVICE)


async def test_a_gateway_that_does_not_accept_is_no_confirmation(stage: Stage) -> None:
    await stage.traffic.set_split(stage.split(None))
    stage.world.gateway_says = "False"
    with pytest.raises(Unreachable, match="not confirmed: gateway public: Accepted is False: as the gateway says"):
        await stage.traffic.set_split(stage.split(25))
    with pytest.raises(Unreachable, match="Accepted is False"):
        await stage.traffic.observe(SERVICE)


async def test_the_intent_itself_is_selected_by_its_own_labels(stage: Stage) -> None:
    backend = ArmBackend(digest=INTENT, weight=100, endpoints=())
    await stage.traffic.set_split(Split(service=SERVICE, run="-", revision=0, stable=backend))
    assert stage.selector() == LABELS
    assert stage.world.find(SERVICES, object_name(POLICY_NAME, INTENT))["spec"]["selector"] == LABELS
    assert (await stage.traffic.observe(SERVICE)).weights == {INTENT: 100}


def more_weight(obj: dict[str, Any]) -> None:
    obj["spec"]["rules"][0]["backendRefs"][0]["weight"] = 7


def another_backend(obj: dict[str, Any]) -> None:
    obj["spec"]["rules"][0]["backendRefs"].append({"name": POLICY_NAME, "port": 80, "weight": 1})


def another_rule(obj: dict[str, Any]) -> None:
    obj["spec"]["rules"].append(obj["spec"]["rules"][0])


def a_filter(obj: dict[str, Any]) -> None:
    obj["spec"]["rules"][0]["filters"] = [{"type": "RequestMirror"}]


def a_timeout(obj: dict[str, Any]) -> None:
    obj["spec"]["rules"][0]["timeouts"] = {"request": "1ms"}


def another_host(obj: dict[str, Any]) -> None:
    obj["spec"]["hostnames"] = ["elsewhere.example"]


@pytest.mark.parametrize("change", [more_weight, another_backend, another_rule, a_filter, a_timeout, another_host])
async def test_a_route_that_somebody_changed_is_not_taken_for_ours_and_is_put_back(stage: Stage, change: Any) -> None:
    await stage.traffic.set_split(stage.split(None))
    await stage.edit(change)
    try:
        assert (await stage.traffic.observe(SERVICE)).weights != {stage.old: 100}
    except Unreachable as error:
        assert "casino/payments-api" in error.message
    (told,) = await stage.traffic.put_back(SERVICE, stage.old)
    assert "payments-api" in told
    assert (await stage.traffic.observe(SERVICE)).weights == {stage.old: 100}
    assert await stage.traffic.put_back(SERVICE, stage.old) == []


def defaults(obj: dict[str, Any]) -> None:
    rule = obj["spec"]["rules"][0]
    for backend in rule["backendRefs"]:
        backend |= {"group": "", "kind": "Service"}


async def test_defaults_of_the_api_server_are_no_change(stage: Stage) -> None:
    await stage.traffic.set_split(stage.split(None))
    await stage.edit(defaults)
    assert await stage.traffic.put_back(SERVICE, stage.old) == []


@pytest.mark.parametrize(("gone", "words"), [(HTTP_ROUTES, "was not there"), (SERVICES, "was deleted")])
async def test_what_was_deleted_is_no_service_that_was_never_ours(stage: Stage, gone: Any, words: str) -> None:
    """Prevents: a release from the intent's template, which is the new version's."""
    await stage.traffic.set_split(stage.split(None))
    await stage.world.person.delete(gone, POLICY_NAME, namespace=NAMESPACE)
    await stage.world.settle()
    with pytest.raises(Unreachable):
        await stage.traffic.observe(SERVICE)
    (told,) = await stage.traffic.put_back(SERVICE, stage.old)
    assert words in told
    assert (await stage.traffic.observe(SERVICE)).weights == {stage.old: 100}


async def test_without_a_route_the_service_is_switched_as_a_whole(plain: Stage) -> None:
    await plain.traffic.set_split(plain.split(None))
    assert plain.selector() == labels(POLICY_NAME, plain.old)
    await plain.traffic.set_split(plain.split(100, 1))
    seen = await plain.traffic.observe(SERVICE)
    assert (seen.run, seen.revision, seen.weights) == ("r-0001", 1, {plain.new: 100})
    await plain.traffic.set_split(plain.split(0, 2))
    assert (await plain.traffic.observe(SERVICE)).weights == {plain.old: 100}
    assert plain.world.all(HTTP_ROUTES) == []


async def test_without_a_route_a_part_of_the_players_is_refused(plain: Stage) -> None:
    with pytest.raises(UsageError, match="a Service cannot split"):
        await plain.traffic.set_split(plain.split(25))


async def test_a_route_that_could_not_be_deleted_still_sends_players(stage: Stage) -> None:
    """Prevents: pods of a version that end because the Service left them, while a route still names them."""
    await stage.traffic.set_split(stage.split(25, 1))
    await stage.world.declare(route=None)
    await stage.world.settle()
    stage.refuse_all_but_one_write()
    with pytest.raises(Unreachable, match="refused"):
        await stage.traffic.set_split(stage.split(0, 2))
    with pytest.raises(Unreachable, match="is left"):
        await stage.traffic.observe(SERVICE)
    stage.world.writes.fence = open_fence
    await stage.traffic.set_split(stage.split(0, 2))
    await stage.world.settle()
    assert (await stage.traffic.observe(SERVICE)).weights == {stage.old: 100}
    assert stage.world.all(HTTP_ROUTES) == []


async def test_a_route_stays_while_nobody_can_tell_whether_it_was_taken_away(stage: Stage) -> None:
    """A newer croupier may know it by another name, and an operator that starts then must not cut everybody off."""
    await stage.traffic.set_split(stage.split(25, 1))
    await stage.world.declare(route=None, surprise=True)
    restarted = await stage.world.operator()
    with pytest.raises(Unreachable, match="stays"):
        await restarted.traffic.set_split(stage.split(0, 2))
    assert len(stage.world.all(HTTP_ROUTES)) == 1


async def test_routes_of_caches_that_are_stale_are_no_observation(stage: Stage) -> None:
    await stage.traffic.set_split(stage.split(None))
    stage.world.clock.time += 100.0
    with pytest.raises(Unreachable, match="nothing is decided"):
        await stage.traffic.observe(SERVICE)


async def test_gateways_speak_tls_to_every_version_at_the_port_that_speaks_it(encrypted: Stage) -> None:
    """S8.1, S8.3."""
    await encrypted.traffic.set_split(encrypted.split(25))
    names = {object_name(POLICY_NAME, digest) for digest in (encrypted.old, encrypted.new)}
    policies = {each["metadata"]["name"]: each["spec"] for each in encrypted.world.all(BACKEND_TLS_POLICIES)}
    assert policies.keys() == names
    for name, spec in policies.items():
        assert spec == {
            "targetRefs": [{"group": "", "kind": "Service", "name": name, "sectionName": "https"}],
            "validation": {
                "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "ca"}],
                "hostname": "payments-api.casino.svc",
            },
        }
        ports = {each["name"]: each for each in encrypted.world.find(SERVICES, name)["spec"]["ports"]}
        assert (ports["https"]["port"], ports["https"]["targetPort"]) == (443, 8443)
    (rule,) = encrypted.world.find(HTTP_ROUTES, POLICY_NAME)["spec"]["rules"]
    assert {(each["name"], each["port"]) for each in rule["backendRefs"]} == {(name, 443) for name in names}
    (header,) = rule["filters"][0]["responseHeaderModifier"]["set"]
    assert header == {"name": "Strict-Transport-Security", "value": "max-age=60"}
    assert (await encrypted.traffic.observe(SERVICE)).weights == {encrypted.old: 75, encrypted.new: 25}


async def test_a_gateway_that_speaks_no_tls_is_no_confirmation(encrypted: Stage) -> None:
    """Prevents: players sent in the clear to a port that takes TLS only."""
    encrypted.world.gateway_says_of_tls = "False"
    with pytest.raises(Unreachable, match=r"BackendTLSPolicy .*as the gateway says"):
        await encrypted.traffic.set_split(encrypted.split(None))
    with pytest.raises(Unreachable, match="BackendTLSPolicy"):
        await encrypted.traffic.observe(SERVICE)


@pytest.mark.parametrize("is_deleted", [True, False])
async def test_what_says_tls_is_put_back(encrypted: Stage, is_deleted: bool) -> None:
    await encrypted.traffic.set_split(encrypted.split(None))
    name = object_name(POLICY_NAME, encrypted.old)

    def another_host(obj: dict[str, Any]) -> None:
        obj["spec"]["validation"]["hostname"] = "elsewhere.example"

    if is_deleted:
        await encrypted.world.person.delete(BACKEND_TLS_POLICIES, name, namespace=NAMESPACE)
    else:
        await encrypted.world.change(BACKEND_TLS_POLICIES, name, another_host)
    await encrypted.world.settle()
    (told,) = await encrypted.traffic.put_back(SERVICE, encrypted.old)
    assert told == f"BackendTLSPolicy {name} was {'not there' if is_deleted else 'changed'}"
    assert (await encrypted.traffic.observe(SERVICE)).weights == {encrypted.old: 100}
    assert await encrypted.traffic.put_back(SERVICE, encrypted.old) == []


async def test_a_gateway_that_says_nothing_of_tls_is_told_of_in_words_that_help(encrypted: Stage) -> None:
    encrypted.world.gateway_says_of_tls = ""
    with pytest.raises(Unreachable, match=r"BackendTLSPolicy .*take tls out of spec\.route"):
        await encrypted.traffic.set_split(encrypted.split(None))


async def test_versions_from_before_tls_go_on_being_asked_in_the_clear() -> None:
    """Prevents: TLS that is asked for with the first version that speaks it takes the one that serves from players."""
    tls = {"port": 8443, "hostname": "payments-api.casino.svc"}
    async with SmallCluster.begin() as world:
        stage = await staged(
            world, of_builds={"1": (8080,), "2": (8080, 8443)}, route={"parentRefs": [{"name": "web"}]}
        )
        await stage.traffic.set_split(stage.split(None))
        await world.declare(route={"parentRefs": [{"name": "web"}], "tls": tls})
        await world.settle()
        assert await stage.traffic.put_back(SERVICE, stage.old) == []
        await stage.traffic.set_split(stage.split(25))
        assert (await stage.traffic.observe(SERVICE)).weights == {stage.old: 75, stage.new: 25}
        assert _ports(world) == {80}
        await stage.traffic.set_split(stage.split(0, 2))
        assert _ports(world) == {80}
        assert not world.all(BACKEND_TLS_POLICIES)
        await stage.traffic.set_split(_alone(stage.new))
        assert _ports(world) == {443}
        assert (await stage.traffic.observe(SERVICE)).weights == {stage.new: 100}
        assert await stage.traffic.put_back(SERVICE, stage.new) == []


def _alone(digest: str) -> Split:
    backend = ArmBackend(digest=digest, weight=100, endpoints=())
    return Split(service=SERVICE, run="-", revision=0, stable=backend)


def _ports(world: SmallCluster) -> set[int]:
    (rule,) = world.find(HTTP_ROUTES, POLICY_NAME)["spec"]["rules"]
    return {each["port"] for each in rule["backendRefs"]}


async def test_a_cluster_that_knows_no_such_policy_is_told_so(encrypted: Stage) -> None:
    operator = await encrypted.world.operator(has_backend_tls=False)
    with pytest.raises(Unreachable, match="no backendtlspolicies") as told:
        await operator.traffic.set_split(encrypted.split(None))
    assert "spec.route.tls" in (told.value.hint or "")
