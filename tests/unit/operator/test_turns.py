"""Policies are looked after side by side: a slow one holds up nobody, one about which nothing is told costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.small_cluster import NAMESPACE, POLICY_NAME, SmallCluster, condition, is_ready
from tests.support.world import Killed, VirtualClock

from croupier.adapters.kubernetes_api import PODS
from croupier.errors import Refused
from croupier.model.objects import JsonObject
from croupier.operator.turns import IDLE_SECONDS, Turns


@pytest.fixture
async def world() -> AsyncIterator[SmallCluster]:
    async with SmallCluster.begin() as world:
        yield world


async def rest(turns: Turns, uid: str) -> None:
    async def at_rest() -> bool:
        return True

    turns.begin(uid, uid, at_rest)
    await turns.settle()


async def test_a_policy_at_rest_is_due_when_something_changes_and_now_and_then() -> None:
    clock = VirtualClock()
    turns = Turns(clock)
    await rest(turns, "a")
    assert not turns.is_due("a")
    turns.call("a")
    assert turns.is_due("a")
    await rest(turns, "a")
    clock.time += IDLE_SECONDS
    assert turns.is_due("a")


async def test_a_clock_that_is_set_back_keeps_nobody_waiting() -> None:
    clock = VirtualClock()
    turns = Turns(clock)
    await rest(turns, "a")
    clock.time -= 3600
    assert turns.is_due("a")


async def test_a_change_during_a_turn_makes_another_turn_due_after_it() -> None:
    """Prevents: a change that is missed because it came while the policy was looked at."""
    turns = Turns(VirtualClock())
    assert turns.is_due("a")
    go_on = asyncio.Event()

    async def slow() -> bool:
        await go_on.wait()
        return True

    turns.begin("a", "a", slow)
    turns.call("a")
    assert not turns.is_due("a"), "one turn at a time"
    go_on.set()
    await turns.settle()
    assert turns.is_due("a")


async def test_what_ends_the_operator_is_raised_and_nothing_outlives_it() -> None:
    turns = Turns(VirtualClock())
    ended = asyncio.Event()

    async def endless() -> bool:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return True

    async def killed() -> bool:
        raise Killed("now")

    for uid, turn in (("a", endless), ("b", killed)):
        assert turns.is_due(uid)
        turns.begin(uid, uid, turn)
    with pytest.raises(Killed):
        await turns.settle()
    await turns.close()
    assert ended.is_set()


async def test_a_turn_that_takes_too_long_is_given_up_and_ends_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An API server that takes seconds for each write must not end the operator, and with it the gates of all."""
    monkeypatch.setattr("croupier.operator.turns.LONGEST_SECONDS", 0.01)
    turns = Turns(VirtualClock())

    async def endless() -> bool:
        await asyncio.Event().wait()
        return True

    turns.begin("a", "casino/bets", endless)
    await turns.settle()
    assert turns.is_due("a")
    assert "casino/bets: a turn took longer than 0.01 s and is given up" in caplog.text


async def test_events_that_are_refused_hide_no_status(world: SmallCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    operator = await world.operator()
    apply = world.writes.apply

    async def refuse(obj: JsonObject, *, force: bool = True) -> JsonObject:
        if obj["kind"] == "Event":
            raise Refused("cannot apply Event: 403: forbidden")
        return await apply(obj, force=force)

    monkeypatch.setattr(world.writes, "apply", refuse)
    assert await world.open(operator)


async def test_a_policy_that_hangs_holds_up_no_other(world: SmallCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    operator = await world.operator()
    await world.configure("bets-config", COLOUR="green")
    await world.commit(name="bets", BUILD="1")
    await world.declare(name="bets")
    await world.until(operator, is_ready, name="bets")
    put_back = operator.traffic.put_back

    async def hang(service: str, digest: str) -> list[str]:
        if service.startswith("bets."):
            await asyncio.Event().wait()
        return await put_back(service, digest)

    monkeypatch.setattr(operator.traffic, "put_back", hang)
    monkeypatch.setattr("croupier.operator.turns.PROMPT_SECONDS", 0.02)  # so long each round waits for it
    first = await world.open(operator)
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: status.get("stable", "") not in ("", first))
    assert is_ready(world.status("bets")), "it is shown as it was last seen"


async def test_a_policy_at_rest_is_not_looked_at_in_every_round(
    world: SmallCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = await world.operator()
    await world.open(operator)
    looks: list[str] = []
    wanted = operator.workloads.wanted

    def counted(service: str) -> str | None:
        looks.append(service)
        return wanted(service)

    monkeypatch.setattr(operator.workloads, "wanted", counted)
    for _ in range(40):
        await world.tick(operator, 0.5)
    assert len(looks) == pytest.approx(20 / IDLE_SECONDS, abs=1)


async def test_what_concerns_nobody_wakes_nobody(world: SmallCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents: an operator that looks at everything whenever a pod of somebody else changes."""
    operator = await world.operator()
    await world.open(operator)
    called: list[str] = []
    monkeypatch.setattr(operator.reconciler._turns, "call", called.append)
    metadata: dict[str, Any] = {"name": "other-1", "namespace": NAMESPACE, "labels": {"app": "other"}}
    await world.person.apply({"apiVersion": PODS.api_version, "kind": PODS.kind, "metadata": metadata})
    await world.settle()
    assert called == []


async def test_what_belongs_to_a_policy_wakes_that_policy_only(
    world: SmallCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = await world.operator()
    stable = await world.open(operator)
    await world.declare(name="bets")
    await world.until(operator, lambda status: bool(condition(status, "Stalled")), name="bets")
    await world.settle()
    called: set[str] = set()
    monkeypatch.setattr(operator.reconciler._turns, "call", called.add)
    (pod, *_) = world.pods(f"{POLICY_NAME}-{stable}")
    await world.person.delete(PODS, pod["metadata"]["name"], namespace=NAMESPACE)
    await world.settle()
    names = {policy.title for policy in operator.cluster.policies() if policy.uid in called}
    assert names == {f"{NAMESPACE}/{POLICY_NAME}"}
