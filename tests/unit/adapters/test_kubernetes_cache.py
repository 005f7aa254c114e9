"""What the cache holds is what the API server holds, or it says that it does not know (issue of watches, S12.3)."""

from __future__ import annotations

import asyncio
import copy
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from tests.support.clock import LoopClock

from croupier.adapters.kubernetes_api import CONFIG_MAPS, Change, Resource
from croupier.adapters.kubernetes_cache import LONGEST_PAUSE_SECONDS, STALE_SECONDS, Cache, pause
from croupier.adapters.kubernetes_memory import MemoryKubernetes
from croupier.errors import Refused, Unreachable
from croupier.model.objects import JsonObject

pytestmark = pytest.mark.looptime


def config_map(name: str, content: str = "", namespace: str = "casino", **labels: str) -> JsonObject:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"content": content}}


class Followed:
    """A cache that runs, with what it has told."""

    def __init__(self, server: MemoryKubernetes, cache: Cache, clock: LoopClock) -> None:
        self.server = server
        self.cache = cache
        self.clock = clock
        self.told: list[str] = []
        self.contents: list[dict[str, str]] = []
        """What the cache held each time that it told something."""
        cache.on_change = self._on_change

    def _on_change(self, resource: Resource, obj: JsonObject) -> None:
        assert resource == CONFIG_MAPS
        self.told.append(f"{obj['metadata']['namespace']}/{obj['metadata']['name']}")
        self.contents.append(self.content())

    def content(self) -> dict[str, str]:
        return {obj["metadata"]["name"]: obj["data"]["content"] for obj in self.cache.items()}

    async def until(self, holds: Callable[[], bool], seconds: float = 300.0) -> float:
        """Virtual seconds until ``holds``."""
        begin = self.clock.steady()
        for _ in range(int(seconds * 10)):
            if holds():
                return self.clock.steady() - begin
            await asyncio.sleep(0.1)
        raise AssertionError(f"not within {seconds:g} s")


@asynccontextmanager
async def following() -> AsyncIterator[Followed]:
    clock = LoopClock()
    server = MemoryKubernetes(clock)
    await server.apply(config_map("one", "1"))
    cache = Cache(server, CONFIG_MAPS, clock, namespace="casino")
    followed = Followed(server, cache, clock)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(cache.run())
        await cache.listed.wait()
        await asyncio.sleep(0.01)  # virtual: the watch has begun
        yield followed
        running.cancel()


async def test_it_holds_what_was_there_and_what_came() -> None:
    async with following() as followed:
        await followed.server.apply(config_map("two", "2"))
        await followed.server.apply(config_map("elsewhere", "3", namespace="other"))
        await followed.until(lambda: len(followed.told) == 2)
        assert followed.content() == {"one": "1", "two": "2"}
        assert followed.cache.get("casino", "two") is not None
        assert followed.cache.get("other", "elsewhere") is None


async def test_a_change_and_a_deletion_arrive() -> None:
    async with following() as followed:
        await followed.server.apply(config_map("one", "changed"))
        await followed.until(lambda: followed.content() == {"one": "changed"})
        await followed.server.delete(CONFIG_MAPS, "one", namespace="casino")
        await followed.until(lambda: followed.content() == {})


async def test_items_are_found_by_namespace_and_labels() -> None:
    async with following() as followed:
        await followed.server.apply(config_map("two", version="a", policy="p"))
        await followed.until(lambda: len(followed.told) == 2)
        assert [obj["metadata"]["name"] for obj in followed.cache.find("casino", {"version": "a"})] == ["two"]
        assert followed.cache.find("casino", {"version": "b"}) == []
        assert followed.cache.find("other") == []


async def test_what_changes_its_labels_is_found_by_the_new_ones_only() -> None:
    async with following() as followed:
        await followed.server.apply(config_map("one", version="a"))
        await followed.until(lambda: followed.cache.find("casino", {"version": "a"}) != [])
        await followed.server.apply(config_map("one", version="b", policy="p"))
        await followed.until(lambda: followed.cache.find("casino", {"version": "b", "policy": "p"}) != [])
        assert followed.cache.find("casino", {"version": "a"}) == []
        await followed.server.delete(CONFIG_MAPS, "one", namespace="casino")
        await followed.until(lambda: followed.cache.find("casino") == [])
        assert followed.cache.find("casino", {"version": "b"}) == []


async def test_what_leaves_the_selection_is_gone() -> None:
    clock = LoopClock()
    server = MemoryKubernetes(clock)
    await server.apply(config_map("one", policy="p"))
    cache = Cache(server, CONFIG_MAPS, clock, labels="policy=p")
    async with asyncio.TaskGroup() as group:
        running = group.create_task(cache.run())
        await cache.listed.wait()
        assert len(cache.items()) == 1
        await server.apply(config_map("one", policy="q"))
        await asyncio.sleep(1)
        assert cache.items() == []
        running.cancel()


# --- what we wrote ourselves ------------------------------------------------------------------------------------------


async def test_an_answer_to_a_write_is_read_at_once() -> None:
    async with following() as followed:
        answer = await followed.server.apply(config_map("one", "mine"))
        followed.cache.put(answer)
        assert followed.content() == {"one": "mine"}
        await asyncio.sleep(1)
        assert followed.told == ["casino/one", "casino/one"], "the event of our own write is no news"


async def test_an_old_event_does_not_undo_a_later_write() -> None:
    async with following() as followed:
        followed.server.silence()
        await followed.server.apply(config_map("one", "theirs"))
        followed.cache.put(await followed.server.apply(config_map("one", "mine")))
        followed.server.speak()
        await asyncio.sleep(1)
        assert [told["one"] for told in followed.contents] == ["1", "mine"]


async def test_a_late_answer_does_not_bring_back_what_is_gone() -> None:
    async with following() as followed:
        answer = await followed.server.apply(config_map("one", "mine"))
        await followed.server.delete(CONFIG_MAPS, "one", namespace="casino")
        await followed.until(lambda: followed.content() == {})
        followed.cache.put(answer)
        assert followed.content() == {}


async def test_a_write_during_a_list_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list began before the write and does not hold it: that is no deletion."""
    async with following() as followed:
        listed = followed.server.list

        async def slow_list(*args: object, **kwargs: object) -> object:
            listing = await listed(*args, **kwargs)  # type: ignore[arg-type]
            followed.cache.put(await followed.server.apply(config_map("new", "mine")))
            return listing

        monkeypatch.setattr(followed.server, "list", slow_list)
        followed.server.expire()
        await asyncio.sleep(5)
        assert followed.contents[1:] == [{"one": "1", "new": "mine"}], "it came, and was never gone"


async def test_what_we_wrote_for_others_stays_out() -> None:
    async with following() as followed:
        followed.cache.put(await followed.server.apply(config_map("one", namespace="other")))
        assert followed.content() == {"one": "1"}


# --- accidents --------------------------------------------------------------------------------------------------------


async def test_deletions_while_disconnected_are_found() -> None:
    async with following() as followed:
        followed.server.silence()
        await followed.server.delete(CONFIG_MAPS, "one", namespace="casino")
        await followed.server.apply(config_map("two", "2"))
        followed.server.expire()
        followed.told.clear()
        await followed.until(lambda: followed.content() == {"two": "2"})
        assert sorted(followed.told) == ["casino/one", "casino/two"], "what is gone is told, too"


async def test_a_cut_watch_goes_on_where_it_was() -> None:
    async with following() as followed:
        followed.server.fail(AssertionError("listed again without need"), verbs=["list"], calls=9)
        followed.server.cut()
        await followed.server.apply(config_map("two", "2"))
        assert await followed.until(lambda: followed.content() == {"one": "1", "two": "2"}) <= 2.0
        followed.server.recover()


async def test_410_in_mid_stream_lists_again() -> None:
    async with following() as followed:
        followed.server.silence()
        await followed.server.delete(CONFIG_MAPS, "one", namespace="casino")
        followed.server.expire()
        followed.server.speak()
        assert await followed.until(lambda: followed.content() == {}) <= 2.0
        await followed.server.apply(config_map("two", "2"))
        assert await followed.until(lambda: followed.content() == {"two": "2"}) <= 1.0


async def test_a_silent_watch_is_replaced() -> None:
    async with following() as followed:
        followed.server.silence()
        await followed.server.apply(config_map("one", "unheard"))
        seconds = await followed.until(lambda: followed.content() == {"one": "unheard"})
        assert 60.0 < seconds < STALE_SECONDS, "before the cache is refused as stale"


async def test_an_idle_cluster_stays_fresh() -> None:
    """Bookmarks alone prove that nothing happened."""
    async with following() as followed:
        for _ in range(100):
            await asyncio.sleep(10)
            followed.cache.require_fresh(followed.clock.now())


async def test_after_any_break_the_cache_is_fresh_again_at_once() -> None:
    """A watch that breaks just before its bookmark must not wait for the next one as a stale cache."""
    async with following() as followed:
        for second in range(0, 70, 7):
            followed.server.bookmark()
            await asyncio.sleep(second)
            followed.server.cut()
            for _ in range(100):
                await asyncio.sleep(1)
                followed.cache.require_fresh(followed.clock.now())


async def test_a_duplicate_event_is_told_once() -> None:
    clock = LoopClock()
    server = Repeating(clock)
    await server.apply(config_map("one", "1"))
    cache = Cache(server, CONFIG_MAPS, clock)
    followed = Followed(server, cache, clock)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(cache.run())
        await cache.listed.wait()
        await server.apply(config_map("one", "2"))
        await asyncio.sleep(1)
        assert followed.told == ["casino/one"] * 2
        assert followed.content() == {"one": "2"}
        running.cancel()


class Repeating(MemoryKubernetes):
    async def watch(self, *args: object, **kwargs: object) -> AsyncIterator[Change]:  # type: ignore[override]
        async for change in super().watch(*args, **kwargs):  # type: ignore[arg-type]
            yield copy.deepcopy(change)
            yield change


@pytest.mark.parametrize("verb", ["list", "watch"])
async def test_a_refusal_is_repeated_at_a_bounded_rate(verb: str) -> None:
    """Where listing or watching is forbidden, the API server must not be stormed; when it is allowed, all is well."""
    async with following() as followed:
        asked = 0

        def count(verb_asked: str) -> None:
            nonlocal asked
            asked += verb_asked == verb

        begin_call = followed.server._begin

        async def begin(verb_asked: str) -> object:
            count(verb_asked)
            return await begin_call(verb_asked)

        followed.server._begin = begin  # type: ignore[method-assign,assignment]
        followed.server.fail(Refused("cannot do that: 403: forbidden"), verbs=[verb], calls=1_000)
        followed.server.expire()
        await asyncio.sleep(3600)
        assert 3600 / LONGEST_PAUSE_SECONDS <= asked <= 2 * 3600 / LONGEST_PAUSE_SECONDS + 10
        followed.server.recover()
        await followed.server.apply(config_map("one", "at last"))
        assert await followed.until(lambda: followed.content() == {"one": "at last"}) <= LONGEST_PAUSE_SECONDS + 1


async def test_a_server_that_asks_for_peace_gets_it() -> None:
    """429 with Retry-After."""
    async with following() as followed:
        busy = Unreachable("cannot list: 429: too many requests", retry_after_seconds=45.0)
        followed.server.fail(busy, verbs=["list"])
        followed.server.expire()
        await followed.server.apply(config_map("one", "after the rush"))
        seconds = await followed.until(lambda: followed.content() == {"one": "after the rush"})
        assert 45.0 <= seconds <= 48.0


def test_no_server_can_silence_us_for_ever() -> None:
    assert pause(0, 86_400.0) == 300.0


def test_pauses_double_and_are_bounded() -> None:
    for failures in range(2000):
        assert 0.5 <= pause(failures, 0.0) <= LONGEST_PAUSE_SECONDS
    assert max(pause(0, 0.0) for _ in range(100)) <= 1.0
    assert min(pause(20, 0.0) for _ in range(100)) >= LONGEST_PAUSE_SECONDS / 2


# --- age --------------------------------------------------------------------------------------------------------------


async def test_before_the_first_list_nothing_is_known() -> None:
    clock = LoopClock()
    server = MemoryKubernetes(clock)
    server.fail(Unreachable("no connection"), calls=1_000)
    cache = Cache(server, CONFIG_MAPS, clock)
    assert cache.age(clock.now()) == math.inf
    async with asyncio.TaskGroup() as group:
        running = group.create_task(cache.run())
        await asyncio.sleep(10)
        with pytest.raises(Unreachable, match="configmaps are not known yet"):
            cache.require_fresh(clock.now())
        running.cancel()


async def test_a_cache_that_cannot_be_renewed_is_refused() -> None:
    async with following() as followed:
        followed.server.fail(Unreachable("no connection"), calls=1_000)
        followed.server.cut()
        await asyncio.sleep(80)
        followed.cache.require_fresh(followed.clock.now())
        await asyncio.sleep(20)
        with pytest.raises(Unreachable, match="as of 100 s ago"):
            followed.cache.require_fresh(followed.clock.now())
        assert followed.content() == {"one": "1"}, "what was known is still there to be shown"


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
async def test_a_clock_that_jumps_makes_nothing_look_fresh(jump: float) -> None:
    async with following() as followed:
        followed.clock.offset = jump
        with pytest.raises(Unreachable):
            followed.cache.require_fresh(followed.clock.now())
        await asyncio.sleep(61)
        followed.cache.require_fresh(followed.clock.now())


async def test_a_clock_that_is_put_right_by_a_little_changes_nothing() -> None:
    async with following() as followed:
        followed.clock.offset = -2.0
        assert followed.cache.age(followed.clock.now()) == 0.0


async def test_cancellation_ends_it() -> None:
    clock = LoopClock()
    cache = Cache(MemoryKubernetes(clock), CONFIG_MAPS, clock)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(cache.run())
        await cache.listed.wait()
        await asyncio.sleep(1)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    assert running.cancelled()
