"""Nothing is written after the lease could have been lost, whatever clocks, networks and other operators do (S12.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import pytest
from tests.support.clock import LoopClock

from croupier.adapters.kubernetes_api import CONFIG_MAPS, LEASES
from croupier.adapters.kubernetes_client import WRITE_SECONDS
from croupier.adapters.kubernetes_lease import DURATION_SECONDS, MARGIN_SECONDS, RENEW_SECONDS, Lease
from croupier.adapters.kubernetes_memory import MemoryKubernetes
from croupier.errors import Conflict, Refused, Unreachable
from croupier.model.objects import JsonObject

pytestmark = pytest.mark.looptime

PATIENCE = 300.0
CLOSES_AFTER = DURATION_SECONDS - MARGIN_SECONDS


class Line:
    """The line of one operator to the lease."""

    def __init__(self, server: MemoryKubernetes) -> None:
        self._server = server
        self.is_cut = False
        self.answer_seconds = 0.0
        """How long an answer is on its way."""

    async def get(self, *args: Any, **kwargs: Any) -> JsonObject | None:
        return await self._carry(self._server.get(*args, **kwargs))

    async def create(self, obj: JsonObject) -> JsonObject:
        return await self._carry(self._server.create(obj))  # type: ignore[no-any-return]

    async def replace(self, obj: JsonObject) -> JsonObject:
        return await self._carry(self._server.replace(obj))  # type: ignore[no-any-return]

    async def _carry(self, call: Any) -> Any:
        if self.is_cut:
            call.close()
            raise Unreachable("no route")
        answer = await call
        await asyncio.sleep(self.answer_seconds)
        return answer


class Operator:
    """A process that writes through its fence as often as it can. Its clock is its own."""

    def __init__(self, server: MemoryKubernetes, holder: str) -> None:
        self.server = server.acting_as(holder)
        self.clock = LoopClock()
        self.holder = holder
        self.lease = Lease(
            self.server, self.clock, namespace="casino", name="croupier", holder=holder, steady=self.clock.steady
        )
        self.server.fence = self.lease.fence
        self.is_at_work = False
        self.stop = asyncio.Event()

    def behind_a_line(self) -> Line:
        """Reach the lease by a line that can be cut."""
        line = Line(self.server)
        self.lease = Lease(
            line, self.clock, namespace="casino", name="croupier", holder=self.holder, steady=self.clock.steady
        )
        self.server.fence = self.lease.fence
        return line

    async def run(self) -> None:
        await self.lease.run(self._work)

    async def _work(self) -> None:
        self.is_at_work = True
        try:
            await self.stop.wait()
        finally:
            self.is_at_work = False

    def may_write(self) -> bool:
        try:
            self.lease.fence()
        except Unreachable:
            return False
        return True

    async def write(self, content: str = "") -> None:
        metadata = {"name": "written", "namespace": "casino"}
        data = {"by": self.holder, "content": content}
        await self.server.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


async def until(holds: Callable[[], bool], seconds: float = PATIENCE) -> float:
    """Virtual seconds until ``holds``."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for _ in range(int(seconds * 10)):
        if holds():
            return loop.time() - begin
        await asyncio.sleep(0.1)
    raise AssertionError(f"not within {seconds:g} s")


@asynccontextmanager
async def at_work(operator: Operator) -> Any:
    async with asyncio.TaskGroup() as group:
        running = group.create_task(operator.run())
        await until(lambda: operator.is_at_work)
        yield running
        running.cancel()


async def written(server: MemoryKubernetes) -> JsonObject | None:
    return await server.get(CONFIG_MAPS, "written", namespace="casino")


async def holder(server: MemoryKubernetes) -> str:
    lease = await server.get(LEASES, "croupier", namespace="casino")
    assert lease is not None
    return str(lease["spec"]["holderIdentity"])


async def test_without_the_lease_nothing_is_written() -> None:
    server = MemoryKubernetes()
    operator = Operator(server, "a")
    before = server.revision
    with pytest.raises(Unreachable, match="lease casino/croupier is not ours"):
        await operator.write()
    assert server.revision == before


async def test_the_first_one_gets_it_and_writes() -> None:
    server = MemoryKubernetes()
    operator = Operator(server, "a")
    async with at_work(operator):
        await operator.write()
        assert await written(server)
        assert await holder(server) == "a"


async def test_it_is_kept_as_long_as_the_server_answers() -> None:
    operator = Operator(MemoryKubernetes(), "a")
    async with at_work(operator):
        for _ in range(2000):
            await asyncio.sleep(0.5)
            operator.lease.fence()


async def test_the_lease_says_what_others_need_to_know() -> None:
    server = MemoryKubernetes()
    operator = Operator(server, "a")
    async with at_work(operator):
        await asyncio.sleep(60)
        lease = await server.get(LEASES, "croupier", namespace="casino")
        assert lease is not None
        spec = lease["spec"]
        assert spec["leaseDurationSeconds"] == DURATION_SECONDS
        assert spec["acquireTime"] < spec["renewTime"]
        renewed_at = datetime.fromisoformat(spec["renewTime"]).timestamp()
        assert 0 <= operator.clock.now() - renewed_at <= RENEW_SECONDS + 0.1


async def test_a_second_one_waits_and_takes_over_when_the_first_gives_up() -> None:
    server = MemoryKubernetes()
    first, second = Operator(server, "a"), Operator(server, "b")
    async with at_work(first) as running, asyncio.TaskGroup() as group:
        other = group.create_task(second.run())
        await asyncio.sleep(120)
        assert not second.is_at_work
        first.stop.set()
        await running
        assert await until(lambda: second.is_at_work) <= 3.0, "a lease that was given up need not run out"
        assert not first.may_write()
        other.cancel()


@pytest.mark.parametrize(("is_killed", "seconds"), [(False, WRITE_SECONDS), (True, DURATION_SECONDS)])
async def test_a_second_one_takes_over_when_no_write_can_be_on_its_way(is_killed: bool, seconds: float) -> None:
    """A process that is told to end cuts its writes off, and says so; one that is killed says nothing."""
    server = MemoryKubernetes()
    first, second = Operator(server, "a"), Operator(server, "b")
    line = first.behind_a_line()
    async with at_work(first):
        line.is_cut = is_killed
    assert await holder(server) == "a"
    async with asyncio.TaskGroup() as group:
        other = group.create_task(second.run())
        assert seconds <= await until(lambda: second.is_at_work) <= seconds + 5
        other.cancel()


async def test_a_container_that_was_restarted_goes_on_at_once() -> None:
    server = MemoryKubernetes()
    async with at_work(Operator(server, "a")):
        pass
    again = Operator(server, "a")
    async with asyncio.TaskGroup() as group:
        running = group.create_task(again.run())
        assert await until(lambda: again.is_at_work) <= 1.0
        running.cancel()


async def test_of_two_processes_of_one_name_the_older_one_stops() -> None:
    server = MemoryKubernetes()
    lingering, fresh = Operator(server, "a"), Operator(server, "a")
    async with asyncio.TaskGroup() as group:
        old = group.create_task(_ends_with(Conflict, lingering.run()))
        await until(lambda: lingering.is_at_work)
        new = group.create_task(fresh.run())
        await until(old.done)
        assert fresh.may_write()
        assert not lingering.may_write()
        new.cancel()


async def _ends_with(kind: type[Exception], running: Any) -> None:
    with pytest.raises(kind):
        await running


@pytest.mark.parametrize("is_new", [True, False])
async def test_of_those_that_see_a_free_lease_at_once_only_one_can_write(is_new: bool) -> None:
    server = MemoryKubernetes()
    if not is_new:
        before = Operator(server, "before")
        before.stop.set()
        await before.run()
    operators = [Operator(server, name) for name in "abc"]
    for operator in operators:
        operator.behind_a_line().answer_seconds = 1.0
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(operator.run()) for operator in operators]
        writers = []
        for _ in range(300):
            writers.append(sum(operator.may_write() for operator in operators))
            await asyncio.sleep(0.1)
        assert max(writers) == writers[-1] == 1
        for task in running:
            task.cancel()


# --- losing it -------------------------------------------------------------------------------------------------------


async def test_lost_in_mid_step_the_next_write_does_not_reach_the_server() -> None:
    """A pod that was cut off from the lease, but not from the objects, stops writing by itself."""
    server = MemoryKubernetes()
    first = Operator(server, "a")
    async with at_work(first):
        await first.write("step one")
        first.server.fail(Unreachable("no connection"), calls=10_000, verbs=["replace"])
        await until(lambda: not first.may_write())
        before = server.revision
        with pytest.raises(Unreachable, match="may be lost"):
            await first.write("step two")
        assert server.revision == before
        assert (await written(server) or {})["data"]["content"] == "step one"


async def test_the_fence_closes_long_before_anybody_else_can_write() -> None:
    """Also a write that the fence let pass in its last moment has ended by then."""
    server = MemoryKubernetes()
    first, second = Operator(server, "a"), Operator(server, "b")
    line = first.behind_a_line()
    async with at_work(first), asyncio.TaskGroup() as group:
        other = group.create_task(second.run())
        await asyncio.sleep(30)
        line.is_cut = True
        closed = await until(lambda: not first.may_write())
        gap = await until(second.may_write)
        assert closed <= CLOSES_AFTER + 0.2
        assert gap >= WRITE_SECONDS
        other.cancel()


async def test_the_fence_counts_from_when_the_renewal_was_sent() -> None:
    """Others count from when it arrived, which may be long before its answer is here."""
    server = MemoryKubernetes()
    first = Operator(server, "a")
    line = first.behind_a_line()
    async with at_work(first):
        await asyncio.sleep(30)
        line.answer_seconds = WRITE_SECONDS - 0.1
        before = server.revision
        await until(lambda: server.revision > before)
        arrived = asyncio.get_running_loop().time()
        await asyncio.sleep(WRITE_SECONDS)
        assert first.may_write()
        line.is_cut = True
        await until(lambda: not first.may_write())
        assert asyncio.get_running_loop().time() - arrived <= CLOSES_AFTER + 0.2


async def test_an_operator_that_comes_back_to_anothers_lease_stops_its_work() -> None:
    server = MemoryKubernetes()
    first, second = Operator(server, "a"), Operator(server, "b")
    line = first.behind_a_line()
    async with asyncio.TaskGroup() as group:
        group.create_task(_ends_with(Conflict, first.run()))
        await until(lambda: first.is_at_work)
        other = group.create_task(second.run())
        line.is_cut = True
        await until(second.may_write)
        assert first.is_at_work, "it does not know, but its fence is closed"
        assert not first.may_write()
        line.is_cut = False
        await until(lambda: not first.is_at_work)
        assert not first.may_write()
        other.cancel()


async def test_a_server_that_was_away_for_half_an_hour_costs_a_lone_operator_nothing() -> None:
    """A renewal that succeeds after a long silence proves that nobody came between."""
    server = MemoryKubernetes()
    operator = Operator(server, "a")
    async with at_work(operator):
        operator.server.fail(Unreachable("no connection"), calls=2_000)
        await asyncio.sleep(1800)
        assert operator.is_at_work
        assert not operator.may_write()
        operator.server.recover()
        assert await until(operator.may_write) <= 3.0


async def test_a_lost_answer_is_no_lost_lease() -> None:
    server = MemoryKubernetes()
    operator = Operator(server, "a")
    async with at_work(operator):
        operator.server.fail(Unreachable("the answer was lost"), calls=1, verbs=["replace"], lands=True)
        for _ in range(200):
            await asyncio.sleep(0.1)
            operator.lease.fence()


async def test_a_lease_that_a_person_touches_stays_ours() -> None:
    server = MemoryKubernetes()
    operator = Operator(server, "a")
    async with at_work(operator):
        lease = await server.get(LEASES, "croupier", namespace="casino")
        assert lease is not None
        lease["metadata"]["annotations"] = {"seen": "by a person"}
        await server.replace(lease)
        for _ in range(200):
            await asyncio.sleep(0.1)
            operator.lease.fence()


async def test_a_deleted_lease_is_lost() -> None:
    server = MemoryKubernetes()
    operator = Operator(server, "a")
    async with asyncio.TaskGroup() as group:
        group.create_task(_ends_with(Conflict, operator.run()))
        await until(lambda: operator.is_at_work)
        await server.delete(LEASES, "croupier", namespace="casino")
        await until(lambda: not operator.is_at_work)
        assert not operator.may_write()


async def test_a_right_that_was_taken_away_closes_the_fence() -> None:
    server = MemoryKubernetes()
    operator = Operator(server, "a")
    async with at_work(operator):
        operator.server.fail(Refused("cannot replace Lease: 403: forbidden"), calls=10_000)
        assert await until(lambda: not operator.may_write()) <= CLOSES_AFTER + 0.2


# --- clocks that jump ------------------------------------------------------------------------------------------------


async def test_a_machine_that_slept_wakes_with_a_closed_fence() -> None:
    """Its monotonic clock stood still meanwhile."""
    operator = Operator(MemoryKubernetes(), "a")
    async with at_work(operator):
        await asyncio.sleep(30)
        operator.clock.offset = 600.0
        assert not operator.may_write()
        assert await until(operator.may_write) <= 5.0, "nobody took it meanwhile"


async def test_a_clock_that_is_set_back_does_not_keep_the_fence_open() -> None:
    server = MemoryKubernetes()
    operator = Operator(server, "a")
    async with at_work(operator):
        await asyncio.sleep(30)
        operator.clock.offset = -3600.0
        operator.server.fail(Unreachable("no connection"), calls=10_000)
        assert await until(lambda: not operator.may_write()) <= CLOSES_AFTER + 0.2


@pytest.mark.parametrize("offset", [-86_400.0, 86_400.0])
async def test_clocks_need_not_agree(offset: float) -> None:
    server = MemoryKubernetes()
    first, second = Operator(server, "a"), Operator(server, "b")
    second.clock.offset = offset
    async with at_work(first), asyncio.TaskGroup() as group:
        other = group.create_task(second.run())
        await asyncio.sleep(120)
        assert first.may_write()
        assert not second.may_write()
        other.cancel()


async def test_a_clock_that_is_set_forward_takes_nobodys_lease() -> None:
    server = MemoryKubernetes()
    first, second = Operator(server, "a"), Operator(server, "b")
    async with at_work(first), asyncio.TaskGroup() as group:
        other = group.create_task(second.run())
        await asyncio.sleep(9)
        second.clock.offset = 86_400.0
        await asyncio.sleep(60)
        assert not second.may_write()
        other.cancel()


# --- the work --------------------------------------------------------------------------------------------------------


async def test_what_the_work_raises_comes_out_as_it_is() -> None:
    async def work() -> None:
        raise Refused("no")

    with pytest.raises(Refused, match="no"):
        await Operator(MemoryKubernetes(), "a").lease.run(work)


async def test_after_the_work_the_fence_is_closed_and_the_lease_free() -> None:
    server = MemoryKubernetes()
    operator = Operator(server, "a")
    operator.stop.set()
    await operator.run()
    assert not operator.may_write()
    assert await holder(server) == ""
