"""A way back cancels the split that leads forward: on a real Envoy, wherever that stands."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.edge import CANARY, STABLE, Edge

pytestmark = pytest.mark.stand

PLAYERS = [f"p{number:05}" for number in range(60)]
CANCELLED_AFTER_SECONDS = (0.0, 0.001, 0.003, 0.006, 0.01, 0.02, 0.03, 0.05, 0.1)
"""A change takes some tens of milliseconds: these meet it before, in and after each of its steps."""


async def test_the_split_that_comes_after_a_cancelled_one_is_the_one_that_stays(edge: Edge) -> None:
    await edge.traffic.set_split(edge.split(None))
    for revision, seconds in enumerate(CANCELLED_AFTER_SECONDS, start=1):
        forward = asyncio.ensure_future(edge.traffic.set_split(edge.split(50, revision)))
        await asyncio.wait([forward], timeout=seconds)
        forward.cancel()
        await asyncio.wait([forward])
        await edge.traffic.set_split(edge.split(0, revision))
        assert (await edge.traffic.observe("payments-api")).weights.get(CANARY, 0) == 0
        assert set((await edge.versions_of(PLAYERS)).values()) == {STABLE}, seconds


async def test_a_split_that_waits_for_pods_is_cancelled_at_once(edge: Edge) -> None:
    """The case that matters: the canary is down, and everybody is to go back."""
    await edge.traffic.set_split(edge.split(None))
    for pod in edge.pods[CANARY]:
        await pod.stop()
    forward = asyncio.ensure_future(edge.traffic.set_split(edge.split(50)))
    await asyncio.wait([forward], timeout=0.3)
    assert not forward.done()
    forward.cancel()
    async with asyncio.timeout(2.0):
        await edge.traffic.set_split(edge.split(None))
    assert set((await edge.versions_of(PLAYERS)).values()) == {STABLE}
