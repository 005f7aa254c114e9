from __future__ import annotations

import asyncio
import threading

import pytest

from croupier.adapters.threads import to_the_end


async def test_a_caller_that_is_cancelled_leaves_when_the_thread_has_ended() -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def write() -> None:
        begun.set()
        assert may_end.wait(10)
        ended.set()
        raise OSError("no space left")

    lock = asyncio.Lock()

    async def change() -> None:
        async with lock:
            await to_the_end(write)

    changing = asyncio.ensure_future(change())
    assert await asyncio.to_thread(begun.wait, 10)
    changing.cancel()
    await asyncio.sleep(0)
    assert lock.locked()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await changing
    assert ended.is_set()


async def test_what_the_thread_says_is_passed_on() -> None:
    assert await to_the_end(pow, 2, exp=3) == 8
    with pytest.raises(ZeroDivisionError):
        await to_the_end(divmod, 1, 0)
