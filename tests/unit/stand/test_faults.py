"""A partner or a part that is ill: for so long as it was told, for everybody, and over by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from click.testing import CliRunner, Result

from croupier.cli.root import cli
from croupier.errors import EnvironmentFault, Refused, UsageError
from croupier.model.digest import short
from croupier.report.example import PROMOTED, WATCHED
from croupier_kit import webhooks
from croupier_stand import faults as outside
from croupier_stand.cli import fault
from croupier_stand.faults import StandFault
from croupier_stand.home import Home, ProcessRecord, StandRecord
from croupier_stand.providers import psp
from croupier_stand.providers.books import Books
from croupier_stand.providers.faults import Fault, Faults
from croupier_stand.status import fault_lines
from croupier_stand.tally_front import Nonsense

KEY = "whsec_" + "a" * 43 + "="


@dataclass
class Clock:
    at: float = 1_000.0

    def __call__(self) -> float:
        return self.at


def test_a_fault_lasts_as_long_as_it_was_told_and_no_longer() -> None:
    clock = Clock()
    ill = Faults(Fault, Books(None, clock), clock)
    assert ill.now() is Fault.OFF
    ill.begin(Fault.DOWN, 60)
    clock.at = 1_059.9
    assert (ill.now(), round(ill.seconds_left(), 1)) == (Fault.DOWN, 0.1)
    clock.at = 1_060.0
    assert (ill.now(), ill.seconds_left()) == (Fault.OFF, 0.0)


def test_a_later_fault_takes_the_place_of_an_earlier_one_and_off_ends_it() -> None:
    clock = Clock()
    ill = Faults(Fault, Books(None, clock), clock)
    ill.begin(Fault.DOWN, 600)
    clock.at = 1_010.0
    ill.begin(Fault.SLOW, 5)
    assert ill.now() is Fault.SLOW
    clock.at = 1_012.0
    ill.begin(Fault.OFF, 0)
    assert ill.now() is Fault.OFF
    assert ill.all() == [
        {"kind": "down", "at": 1_000.0, "until": 1_010.0},
        {"kind": "slow", "at": 1_010.0, "until": 1_012.0},
    ]


def test_a_partner_that_restarts_is_ill_for_what_is_left_of_the_time(tmp_path: Path) -> None:
    clock = Clock()
    path = tmp_path / "books.jsonl"
    first = Books(path, clock)
    Faults(Fault, first, clock).begin(Fault.DOWN, 60)
    first.close()
    clock.at = 1_050.0
    second = Books(path, clock)
    again = Faults(Fault, second, clock)
    assert (again.now(), again.seconds_left()) == (Fault.DOWN, 10.0)
    second.close()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"kind": "down", "seconds": 600}, 201),
        ({"kind": "off"}, 201),
        ({"kind": "down"}, 400),
        ({"kind": "down", "seconds": 0}, 400),
        ({"kind": "down", "seconds": 601}, 400),
        ({"kind": "down", "seconds": "60"}, 400),
        ({"kind": "on fire", "seconds": 60}, 400),
    ],
)
async def test_a_fault_without_an_end_is_refused(body: Any, status: int) -> None:
    clock = Clock()
    app = web.Application()
    app.add_routes(Faults(Fault, Books(None, clock), clock).routes())
    async with TestClient(TestServer(app)) as client:
        assert (await client.post("/faults", json=body)).status == status


@dataclass
class House:
    """Who is told by webhook; ``told``: the ids of what came."""

    told: list[str] = field(default_factory=list)
    url: str = ""
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def webhook(self, request: web.Request) -> web.Response:
        async with self.news:
            self.told.append(request.headers["webhook-id"])
            self.news.notify_all()
        return web.json_response({})


@pytest.fixture
async def house() -> AsyncIterator[House]:
    found = House()
    app = web.Application()
    app.router.add_post("/webhook", found.webhook)
    async with TestServer(app) as server:
        found.url = str(server.make_url("/webhook"))
        yield found


def partner(client: ClientSession, **temper: Any) -> psp.Psp:
    calm = {"declined_ratio": 0.0, "late_ratio": 0.0, "repeated_ratio": 0.0, "capture_seconds": (0.0, 0.0)} | temper
    return psp.Psp(psp.Temper(**calm), 7, Books(None, psp.now), webhooks.Signer([KEY]), client)


async def served(provider: psp.Psp) -> TestClient[Any, Any]:
    app = web.Application()
    app.add_routes(provider.routes())
    client = TestClient(TestServer(app))
    await client.start_server()
    return client


async def test_who_is_down_answers_503_and_still_shows_its_books(house: House) -> None:
    async with ClientSession() as session:
        provider = partner(session)
        client = await served(provider)
        assert (await client.post("/faults", json={"kind": "down", "seconds": 60})).status == 201
        intent = {"id": "d1", "player": "p1", "amount": 100, "currency": "EUR", "webhook": house.url}
        assert (await client.post("/intents", json=intent)).status == 503
        assert (await client.get("/limits?player=p1")).status == 503
        books = await (await client.get("/books")).json()
        assert [(entry["kind"], entry["id"]) for entry in books["entries"]] == [("fault", "down")]
        assert (await client.post("/faults", json={"kind": "off"})).status == 201
        assert (await client.post("/intents", json=intent)).status == 201
        await client.close()


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["stand", "fault", "--name", "one", *words])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("psp-a", "down", "--for", "11m"), "not between 1s and 600s"),
        (("psp-a", "down", "--for", "0s"), "not between"),
        (("psp-a", "down", "--for", "for ever"), "write 45s or 2m"),
        (("psp-c", "down"), "psp-c"),
        (("psp-a", "upside-down"), "upside-down"),
        (("psp-a", "killed"), "psp-a: down, slow, duplicate-webhooks, off"),
        (("envoy", "stopped"), "envoy: killed, off"),
        (("desk", "nan"), "desk: killed, stopped, off"),
        (("envoy", "killed", "--service", "bets"), "--service is for stable"),
    ],
)
def test_what_cannot_be_is_refused_in_words(words: tuple[str, ...], said: str) -> None:
    done = run(*words)
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr


def test_the_command_offers_what_partners_and_parts_can_suffer_from() -> None:
    """The command line names them by hand, so that it need not load the stand to show its help."""
    part, kind = (each.type for each in fault.params[1:3])
    assert isinstance(part, click.Choice)
    assert isinstance(kind, click.Choice)
    assert list(part.choices) == list(outside.KINDS)
    assert set(kind.choices) == {outside.OFF, *(each for kinds in outside.KINDS.values() for each in kinds)}
    assert {*outside.KINDS["psp-a"], outside.OFF} == set(Fault)
    assert {*outside.KINDS["tally"], outside.OFF} == {*Nonsense, "stopped"}


def test_a_stand_that_is_not_up_cannot_be_ill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROUPIER_HOME", str(tmp_path))
    for words in (("psp-a", "down"), ("envoy", "killed"), ("tally", "nan")):
        done = run(*words)
        assert (done.exit_code, "is not up" in done.stderr) == (4, True)


def record(*processes: str) -> StandRecord:
    running = tuple(ProcessRecord(name=name, pid=1, start_ticks=0) for name in processes)
    return StandRecord(
        name="one",
        supervisor_pid=1,
        supervisor_start_ticks=0,
        started_at=0.0,
        phase="running",
        ports={"psp-a": 1, "psp-b": 1, "tally-front": 1},
        processes=running,
    )


def test_a_partner_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROUPIER_HOME", str(tmp_path))
    up = record("psp-a", "tally-front")
    monkeypatch.setattr(Home, "require", lambda _: up)
    with pytest.raises(EnvironmentFault, match="psp-a did not take the fault"):
        outside.begin(Home.of("one"), "psp-a", "down", 60)
    with pytest.raises(EnvironmentFault, match="tally did not take the fault"):
        outside.begin(Home.of("one"), "tally", "nan", 60)
    assert outside.listed(up) == []


@pytest.mark.parametrize(
    ("part", "kind", "missing"),
    [
        ("postgres", "killed", "postgres"),
        ("psp-b", "down", "psp-b"),
        ("tally", "nan", "tally-front"),
        ("desk", "stopped", "desk"),
    ],
)
def test_what_does_not_run_on_a_stand_cannot_be_ill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, kind: str, missing: str
) -> None:
    """As on a stand of services of one's own, or without a desk."""
    monkeypatch.setenv("CROUPIER_HOME", str(tmp_path))
    monkeypatch.setattr(Home, "require", lambda _: record("envoy", "tally"))
    with pytest.raises(Refused, match=f"{missing} does not run on stand 'one'"):
        outside.begin(Home.of("one"), part, kind, 60)


def test_stable_is_the_stable_version_of_the_release_that_is_live() -> None:
    name = f"payments-api-{short(WATCHED.stable.digest)}-"
    up = record(f"{name}0", f"{name}1", f"payments-api-{short(WATCHED.canary.digest)}-0", "wallet-000000000000-0")
    assert outside.stable_pods(up, [WATCHED], "") == (f"{name}0", f"{name}1")
    assert outside.stable_pods(up, [WATCHED], "payments-api") == (f"{name}0", f"{name}1")
    with pytest.raises(Refused, match="no release is live"):
        outside.stable_pods(up, [PROMOTED], "")
    with pytest.raises(Refused, match="no release of bets is live"):
        outside.stable_pods(up, [WATCHED], "bets")
    with pytest.raises(Refused, match="no pod of payments-api"):
        outside.stable_pods(record("envoy"), [WATCHED], "")
    other = WATCHED.model_copy(update={"service": "bets"})
    with pytest.raises(UsageError, match="2 releases are live") as caught:
        outside.stable_pods(up, [WATCHED, other], "")
    assert caught.value.hint == "--service payments-api or bets"


def test_an_order_that_nobody_takes_is_withdrawn_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROUPIER_HOME", str(tmp_path))
    monkeypatch.setattr(Home, "require", lambda _: record("envoy"))
    monkeypatch.setattr(outside, "_TAKEN_SECONDS", 0.05)
    home = Home.of("one")
    home.faults.mkdir(parents=True)
    with pytest.raises(EnvironmentFault, match="envoy was not killed"):
        outside.begin(home, "envoy", "killed", 0)
    assert list(home.faults.iterdir()) == []


def test_status_says_who_is_ill_and_for_how_long_and_who_was() -> None:
    over = StandFault(part="psp-b", kind="slow", began_at=100.0, until=160.0)
    once = StandFault(part="envoy", kind="killed", began_at=170.0, until=170.0)
    lasting = StandFault(part="psp-a", kind="down", began_at=190.0, until=250.0)
    says = StandFault(part="tally", kind="500", began_at=195.0, until=205.0)
    assert fault_lines([over, once, lasting, says], now=200.0) == [
        "psp-a is down until 00:04:10 UTC, 50 s more",
        "tally gives 500 until 00:03:25 UTC, 5 s more",
        "psp-b was slow from 00:01:40 to 00:02:40 UTC",
        "envoy was killed at 00:02:50 UTC",
    ]
    assert fault_lines([], now=200.0) == []


async def test_a_page_of_the_books_tells_a_fault() -> None:
    clock = Clock()
    books = Books(None, clock)
    Faults(Fault, books, clock).begin(Fault.SLOW, 30)
    page = json.loads((await books.show(make_mocked_request("GET", "/books"))).text or "")
    assert page["entries"][0]["more"] == {"until": 1_030.0}


async def test_webhooks_told_three_times_are_the_same_message_each_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psp, "_REPEATED_AFTER_SECONDS", 0.0)
    async with ClientSession() as session:
        provider = partner(session)
        client = await served(provider)
        await client.post("/faults", json={"kind": "duplicate-webhooks", "seconds": 60})
        await told_by(provider, client, house, times=3)
        assert len(set(house.told)) == 1
        await client.close()


async def test_one_capture_in_a_hundred_is_told_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psp, "_REPEATED_AFTER_SECONDS", 0.0)
    fates = [psp.fate(7, psp.TEMPERS["psp-a"], "intent", f"d{number}") for number in range(20_000)]
    assert 0.007 < sum(fate.is_repeated for fate in fates) / len(fates) < 0.013
    async with ClientSession() as session:
        provider = partner(session, repeated_ratio=1.0)
        client = await served(provider)
        await told_by(provider, client, house, times=2)
        assert len(set(house.told)) == 1
        await client.close()


async def told_by(provider: psp.Psp, client: TestClient[Any, Any], house: House, *, times: int) -> None:
    """Begin a payment and run the partner's loops until the house was told so often, and has nothing more to hear."""
    intent = {"id": "d1", "player": "p1", "amount": 100, "currency": "EUR", "webhook": house.url}
    assert (await client.post("/intents", json=intent)).status == 201
    loops = [asyncio.ensure_future(loop()) for _, loop in provider.loops]
    try:
        async with asyncio.timeout(10), house.news:
            await house.news.wait_for(lambda: len(house.told) >= times)
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
    assert len(house.told) == times
