"""A whole casino in one process on a real PostgreSQL, without an edge: pods call each other directly."""

from __future__ import annotations

import asyncio
import base64
import os
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiohttp import ClientSession

from croupier_kit import service
from croupier_stand import postgres
from croupier_stand.casino import bets, build, identity, passwords, payments, pod, schema, wallet
from croupier_stand.home import free_ports
from croupier_stand.providers import game, psp

PLAYERS = schema.player_ids(40)
CALM = psp.Temper(
    declined_ratio=0.0, late_ratio=0.0, repeated_ratio=0.0, payout_failed_ratio=0.0, capture_seconds=(0.0, 0.02)
)
ARM = "payments-api/r-0001/0123456789ab/3"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres.running(tmp_path_factory.mktemp("postgres")) as dsn:
        yield dsn


@pytest.fixture(scope="session")
def template(server: str) -> str:
    """Name of a database with the casino's schema and players, to be copied."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("create database casino_template")
    dsn = psycopg.conninfo.make_conninfo(server, dbname="casino_template")
    schema.install(dsn)
    schema.add_players(dsn, PLAYERS)
    return "casino_template"


@pytest.fixture
def database(server: str, template: str) -> Iterator[str]:
    """A fresh database with the casino's schema and players."""
    name = f"casino_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'create database "{name}" template {template}')
    yield psycopg.conninfo.make_conninfo(server, dbname=name)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'drop database "{name}" with (force)')


@dataclass
class Casino:
    """Addresses of everything, and a client that plays."""

    database: str
    around: pod.Surroundings
    urls: dict[str, str]
    client: ClientSession
    tokens: dict[str, str] = field(default_factory=dict)

    async def login(self, player: str) -> None:
        url = f"{self.urls['identity']}/identity/login"
        body = {"password": passwords.of(player)}
        async with self.client.post(url, json=body, headers={"x-player": player}) as response:
            assert response.status == 200, await response.text()
            self.tokens[player] = (await response.json())["token"]

    async def call(
        self, player: str, method: str, path: str, body: Any = None, key: str | None = None, *, arm: str = ARM
    ) -> tuple[int, dict[str, Any]]:
        if player not in self.tokens:
            await self.login(player)
        headers = {"x-player": player, "authorization": f"Bearer {self.tokens[player]}", "x-croupier-arm": arm}
        if key is not None:
            headers["idempotency-key"] = key
        url = self.urls[path.split("/")[1]] + path
        async with self.client.request(method, url, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def deposit(self, player: str, amount: int = 10_000, psp_name: str = "psp-a", key: str | None = None) -> Any:
        body = {"amount": amount, "currency": "EUR", "psp": psp_name}
        return await self.call(player, "POST", "/payments/deposits", body, key or uuid.uuid4().hex)

    async def bet(self, player: str, stake: int, key: str | None = None) -> Any:
        body = {"game": "book-of-owls", "stake": stake}
        return await self.call(player, "POST", "/bets/rounds", body, key or uuid.uuid4().hex)

    async def until(self, condition: Any, seconds: float = 15.0) -> None:
        """Poll a plain or async condition until it holds."""
        async with asyncio.timeout(seconds):
            while True:
                value = condition()
                if await value if asyncio.iscoroutine(value) else value:
                    return
                await asyncio.sleep(0.02)

    def rows(self, query: str, *values: Any) -> list[Any]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(query, values).fetchall()


@asynccontextmanager
async def open_casino(
    database: str,
    directory: Path,
    *,
    changes: tuple[str, ...] = (),
    config: Mapping[str, Any] | None = None,
    bets_changes: tuple[str, ...] = (),
    temper: psp.Temper | None = None,
    failed_rounds: float = 0.0,
) -> AsyncIterator[Casino]:
    """The casino with one pod a service; the PSPs are quick, never decline and tell everything once.

    ``changes`` and ``config`` are those of payments-api, ``failed_rounds`` the share of rounds that cannot be played.
    """
    secrets = directory / "secrets"
    secrets.mkdir(exist_ok=True)
    (secrets / "session.key").write_bytes(os.urandom(32).hex().encode())
    for name in pod.PSPS:
        (secrets / f"webhook-{name}.key").write_text("whsec_" + base64.b64encode(os.urandom(32)).decode())
    ports = free_ports(("identity", "wallet", "payments", "bets", "games", *pod.PSPS))
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    around = pod.Surroundings(
        database=database,
        mesh_url=urls["wallet"],
        public_url=urls["payments"],
        provider_url=urls["games"],
        psp_urls={name: urls[name] for name in pod.PSPS},
        secrets=secrets,
    )

    def built(module: str, changes: tuple[str, ...] = (), config: Mapping[str, Any] | None = None) -> build.Build:
        return build.Build(module, "test", module, changes, config or {})

    tempers = dict.fromkeys(pod.PSPS, temper or CALM)
    factories = {
        "games": game.factory(7, directory / "games.jsonl", failed_ratio=failed_rounds),
        "psp-a": psp.factory(7, directory / "psp-a.jsonl", secrets / "webhook-psp-a.key", tempers["psp-a"]),
        "psp-b": psp.factory(7, directory / "psp-b.jsonl", secrets / "webhook-psp-b.key", tempers["psp-b"]),
        "wallet": wallet.factory(built("wallet"), around),
        "identity": identity.factory(built("identity"), around),
        "bets": bets.factory(built("bets", bets_changes), around),
        "payments": payments.factory(built("payments", changes, config), around),
    }
    async with AsyncExitStack() as stack:
        for name, factory in factories.items():
            settings = service.PodSettings(f"{name}-0", name, "", ports[name], drain_seconds=2.0)
            made = await stack.enter_async_context(factory(settings))
            await stack.enter_async_context(service.serving(made))
        client = await stack.enter_async_context(ClientSession())
        yield Casino(database, around, urls, client)


@pytest.fixture
async def casino(database: str, tmp_path: Path) -> AsyncIterator[Casino]:
    async with open_casino(database, tmp_path) as opened:
        yield opened


@pytest.fixture
def open_with(database: str, tmp_path: Path) -> Any:
    """``async with open_with(changes=…, temper=…) as casino``."""

    def opener(**options: Any) -> Any:
        return open_casino(database, tmp_path, **options)

    return opener
