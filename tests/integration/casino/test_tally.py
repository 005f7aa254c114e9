"""The tally on real sources: outboxes in PostgreSQL, partners' books over HTTP, an access log on disk."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from prometheus_client.parser import text_string_to_metric_families

from croupier_kit import service
from croupier_kit.clock import now
from croupier_kit.tally import Tally, TallySettings
from croupier_stand.casino.schema import SERVICES

pytestmark = pytest.mark.stand

ARM = "payments-api/r-0001/0123456789ab/3"


def counts(page: str) -> dict[tuple[str, str], float]:
    """(signal, what) -> value, over pods and arms."""
    found: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if "signal" in sample.labels and "outcome" not in sample.labels:
                what = sample.name.removeprefix("croupier_signal_").removesuffix("_total")
                key = (sample.labels["signal"], what)
                found[key] = found.get(key, 0) + sample.value
    return found


def settings_of(casino: Any, log: Path) -> TallySettings:
    books = {name: casino.urls[name] for name in ("psp-a", "psp-b", "games")}
    return TallySettings(casino.database, SERVICES, books, log, frozenset({"wallet"}))


async def count_until(tally: Tally, **wanted: float) -> dict[tuple[str, str], float]:
    """Rounds until so many attempts of each signal are counted; gives all counts."""
    async with asyncio.timeout(15):
        while any((seen := counts(tally.page())).get((signal, "attempts")) != n for signal, n in wanted.items()):
            await tally.round()
            await asyncio.sleep(0.05)
    return seen


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tally counts from its start on, and not from the next tick."""
    monkeypatch.setattr("croupier_kit.tally.next_tick", float)


@pytest.mark.usefixtures("at_once")
async def test_counts_what_ledger_and_books_say_and_after_a_restart_only_what_is_new(
    casino: Any, tmp_path: Path
) -> None:
    log = tmp_path / "access.jsonl"
    async with service.outside_client(2.0) as client:
        async with aclosing(Tally(settings_of(casino, log), client)) as first:
            await first.round()
            for number in range(6):
                await casino.deposit(f"p0000{number}", 5_000, "psp-a" if number % 2 else "psp-b")
            line = {"t": f"{now():.6f}", "hop": ARM, "player": "p00001", "ms": 300, "code": 502, "flags": "-"}
            line |= {"up": "127.0.0.1:9", "route": "payments-api", "listener": "public"}
            log.write_text(json.dumps(line) + "\n")
            seen = await count_until(first, deposits=6, errors=1)
        assert seen["deposits", "failures"] == 0
        assert seen["deposits", "players_exposed"] == 6
        for psp in ("psp-a", "psp-b"):
            assert seen[f"deposits:provider={psp}", "attempts"] == 3
            assert seen[f"deposits:provider={psp}", "players_exposed"] == 3
        assert seen["errors", "failures"] == seen["errors", "players_affected"] == 1
        assert seen["latency:0.25", "failures"] == 1
        assert seen["latency:0.4", "failures"] == 0

        async with aclosing(Tally(settings_of(casino, log), client)) as second:
            await second.round()
            assert await second.is_ready(), "at once, however much there is"
            await casino.deposit("p00007")
            assert "errors" not in {signal for signal, _ in await count_until(second, deposits=1)}


async def test_nothing_is_counted_while_a_source_has_never_answered(casino: Any, tmp_path: Path) -> None:
    settings = replace(settings_of(casino, tmp_path / "access.jsonl"), books={"psp-a": "http://127.0.0.1:9"})
    await casino.deposit("p00001")
    async with service.outside_client(2.0) as client, aclosing(Tally(settings, client)) as tally:
        await tally.round()
        assert not await tally.is_ready()
        with pytest.raises(web.HTTPServiceUnavailable):
            await tally.show(make_mocked_request("GET", "/metrics"))


async def test_the_database_away_for_a_while_makes_the_page_old_not_wrong(casino: Any, tmp_path: Path) -> None:
    settings = settings_of(casino, tmp_path / "access.jsonl")
    async with service.outside_client(2.0) as client, aclosing(Tally(settings, client)) as tally:
        await tally.round()
        before = updated(tally)
        casino.rows("select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()")
        await tally.round()
        assert updated(tally) == before
        await tally.round()
        assert updated(tally) > before


def updated(tally: Tally) -> float:
    line = next(line for line in tally.page().splitlines() if line.startswith("croupier_tally_updated_seconds "))
    return float(line.split()[1])
