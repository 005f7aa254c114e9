"""The supervisor: brings a stand up in order, keeps every part of it running, and takes it down again.

``croupier stand up`` starts it in the background as ``python -m croupier_stand.supervisor --name NAME``. It owns every
process of the stand and writes ``stand.json``; nobody else does. It takes orders by files only (``parts.json``,
``faults``, the agent's desired files) and by SIGTERM. The order up: PostgreSQL, providers, pods, Envoy with one split a
service, tally and its front, reconciler, desk, players; the order down is the reverse. A stand of somebody's own
services (``--platform``) has pods, Envoy, tally and its front, desk and visitors only.

If it is killed, the kernel ends its children; what survives all the same is found by ``control.down`` in the record.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import secrets
import shutil
import signal
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path

import aiohttp

from croupier.adapters.clock import SystemClock
from croupier.adapters.files import replace_file
from croupier.adapters.traffic import envoy_config
from croupier.adapters.traffic.envoy import EnvoyTraffic
from croupier.adapters.workloads.processes import ProcessWorkloads
from croupier.errors import CroupierError, EnvironmentFault
from croupier.model.service import Platform
from croupier.model.traffic import ArmBackend, Split
from croupier.spec.platform import load_platform
from croupier_stand import postgres
from croupier_stand.agent import Agent, PodKey
from croupier_stand.builds import Builds, first_digest
from croupier_stand.casino import schema
from croupier_stand.home import Home, Phase, ProcessRecord, StandRecord, free_ports
from croupier_stand.keeper import STEP_SECONDS, Keeper, probe_all
from croupier_stand.load import Load
from croupier_stand.outages import Outages
from croupier_stand.parts import PORTS, PSPS, SECRETS, TALLY_FRONT, Parts, environment, url
from croupier_stand.process import identify
from croupier_stand.programs import Project, find_project, freeze
from croupier_stand.rotation import Rotation

_LOG = logging.getLogger("croupier_stand.supervisor")
_PART_SECONDS = 60.0
_PODS_SECONDS = 120.0
_BEFORE_PODS = frozenset({"postgres", "provider", *PSPS})
"""What pods need to end in order: it ends after them."""


class Supervisor:
    """One stand, from nothing to nothing. ``run`` is called once."""

    def __init__(
        self, home: Home, load: Load, *, with_desk: bool, clock: SystemClock, project: Project | None = None
    ) -> None:
        """``project``: services of one's own instead of the casino; None: the casino."""
        self._home = home
        self._load = load
        self._project = project
        self._with_desk = with_desk
        self._clock = clock
        self._ports = free_ports(PORTS)
        self._where = postgres.place(home.root)
        self._parts = Parts(home, self._ports, self._where)
        self._keepers: dict[str, Keeper] = {}
        """By name, in the order in which they were brought up."""
        self._agent: Agent | None = None
        self._outages = Outages(home.faults)
        self._phase: Phase = "starting"
        self._milestones: list[str] = []
        self._started_at = clock.now()
        self._database = ""
        self._written: StandRecord | None = None
        self._round = asyncio.Condition()
        """Notified after every round of ``_keep``."""

    async def run(self, told_to_stop: asyncio.Event) -> None:
        """Bring it up and keep it until told to stop, then take it down. Raises EnvironmentFault if it cannot rise."""
        try:
            async with asyncio.TaskGroup() as tasks:
                keeping = tasks.create_task(self._keep(), name="keep")
                rising = tasks.create_task(self._rise(), name="rise")
                await told_to_stop.wait()
                rising.cancel()
                keeping.cancel()
        except ExceptionGroup as group:  # not except*, which wraps what it raises before Python 3.11.4
            failed = group.subgroup(CroupierError)
            if failed is None:
                raise
            first = _first_of(failed)
            self._phase = "failed"
            self._milestone(str(first))
            self._write()
            raise EnvironmentFault(str(first)) from failed
        finally:
            self._fall()

    # --- up ------------------------------------------------------------------------------------------------------

    async def _rise(self) -> None:
        parts, load = self._parts, self._load
        platform = self._lay_out()
        if self._project is None:
            await self._rise_casino(platform)
        else:
            await self._rise_services(platform)
        if self._with_desk:
            await self._start(desk=parts.desk())
            self._milestone("the desk is open")
        await self._start(players=parts.players(load) if self._project is None else parts.visitors(load))
        self._milestone(
            f"{load.players:,} players play" if self._project is None else f"{load.players:,} visitors come"
        )
        self._phase = "running"

    async def _rise_services(self, platform: Platform) -> None:
        """Somebody's own services: pods, edge and tally; no database, no money."""
        splits = await self._start_pods(platform)
        self._milestone("pods are ready")
        await self._start_edge(platform, splits)
        self._milestone(f"Envoy serves players at {url(self._ports, 'edge')}")
        internal = [service.name for service in platform.services if service.internal]
        await self._start(
            **{"tally": self._parts.tally(internal, has_casino=False), TALLY_FRONT: self._parts.tally_front()}
        )
        self._milestone("the tally runs")

    async def _rise_casino(self, platform: Platform) -> None:
        parts, load, dsn = self._parts, self._load, self._where.dsn
        await asyncio.to_thread(postgres.initialise, self._where)
        await self._start(postgres=parts.postgres())
        await asyncio.to_thread(schema.install, dsn)
        self._database = dsn
        self._milestone("PostgreSQL answers, and has the casino's tables")

        async with asyncio.TaskGroup() as tasks:
            accounts = asyncio.to_thread(schema.add_players, dsn, schema.player_ids(load.players))
            tasks.create_task(accounts, name="accounts")
            psps = {name: parts.psp(name, load.seed) for name in PSPS}
            await self._start(**psps, provider=parts.game_provider(load.seed))
            self._milestone("payment and game providers answer")
            splits = await self._start_pods(platform)
            self._milestone("pods are ready")
            await self._start_edge(platform, splits)
            self._milestone(f"Envoy serves players at {url(self._ports, 'edge')}")
            internal = [service.name for service in platform.services if service.internal]
            tally = {"tally": parts.tally(internal, has_casino=True), TALLY_FRONT: parts.tally_front()}
            await self._start(**tally, reconciler=parts.reconciler())
            self._milestone("tally and reconciler run")

    async def _start(self, **keepers: Keeper) -> None:
        """Start parts side by side and wait until all are ready."""
        self._keepers |= keepers

        def unready() -> list[str]:
            return [f"{name}: {keeper.reason}" for name, keeper in keepers.items() if not keeper.ready]

        await self._until(lambda: not unready(), _PART_SECONDS, lambda: "; ".join(unready()))

    async def _start_edge(self, platform: Platform, splits: list[Split]) -> None:
        home = self._home
        traffic = EnvoyTraffic(home.edge, url(self._ports, "admin"), platform, self._clock, log=home.log("envoy"))
        try:
            traffic.write_files(splits)
            await self._start(envoy=self._parts.envoy(self._write_bootstrap(platform)))
            await traffic.confirm()
        finally:
            await traffic.aclose()

    async def _until(self, condition: Callable[[], bool], seconds: float, why: Callable[[], str]) -> None:
        try:
            async with asyncio.timeout(seconds), self._round:
                await self._round.wait_for(condition)
        except TimeoutError as error:
            raise EnvironmentFault(f"not ready after {seconds:g} s: {why()}") from error

    def _lay_out(self) -> Platform:
        """Files that others need before anything runs: platform, versions, secrets, the desk's settings."""
        home = self._home
        if self._project is not None:
            shutil.copyfile(self._project.platform_file, home.platform)
            for path in self._project.versions:
                freeze(path, self._project.platform, home)
        else:
            with resources.as_file(resources.files("croupier_stand") / "platform") as directory:
                shutil.copyfile(directory / "platform.yaml", home.platform)
                for descriptor in sorted((directory / "versions").glob("*.yaml")):
                    shutil.copyfile(descriptor, home.versions / descriptor.name)
        for name in SECRETS:
            replace_file(home.secrets / name, f"whsec_{b64encode(secrets.token_bytes(32)).decode()}".encode())
        replace_file(home.settings, settings(self._ports).encode())
        return load_platform(home.platform)

    async def _start_pods(self, platform: Platform) -> list[Split]:
        """Start the stable version of every service; gives the splits that send everybody there."""
        home = self._home
        told = environment(home, self._ports, self._where.dsn)
        drains = {service.name: str(service.drain_seconds) for service in platform.services}

        def pod_environment(key: PodKey, port: int) -> Mapping[str, str]:
            drain = drains[key.service]
            own = {"CROUPIER_SERVICE": key.service, "CROUPIER_DIGEST": key.digest, "DRAIN_SECONDS": drain}
            return told | own | {"POD_NAME": key.name, "PORT": str(port)}

        agent = self._agent = Agent(
            home,
            Builds(home, platform).find,
            pod_environment,
            self._clock.now,
            reserved=frozenset(self._ports.values()),
        )
        workloads = ProcessWorkloads(home.workloads, home.versions, self._clock)
        stable = {service.name: first_digest(home.versions, service.name) for service in platform.services}
        for service in platform.services:
            await workloads.ensure(service.name, stable[service.name], service.replicas)
        count = sum(service.replicas for service in platform.services)

        def all_ready() -> bool:
            return len(agent.keepers) == count and all(keeper.ready for keeper in agent.keepers)

        await self._until(all_ready, _PODS_SECONDS, lambda: "; ".join(agent.unready()) or "no pods yet")
        return [
            Split(
                service=name,
                run="-",
                revision=0,
                stable=ArmBackend(digest=digest, weight=100, endpoints=agent.endpoints(name, digest)),
            )
            for name, digest in stable.items()
        ]

    def _write_bootstrap(self, platform: Platform) -> Path:
        home, ports = self._home, self._ports
        listeners = ports["edge"], ports["mesh"], ports["admin"]
        sockets = envoy_config.declared_sockets(platform)
        document = envoy_config.bootstrap(home.edge, *listeners, home.access_log, sockets=sockets)
        path = home.edge / "bootstrap.json"
        replace_file(path, json.dumps(document, indent=1).encode())
        return path

    # --- keep ----------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Step every keeper, for ever."""
        loop = asyncio.get_running_loop()
        rotation = Rotation(self._home.access_log, url(self._ports, "admin"), self._home.all_logs)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1.0)) as client:
            while True:
                resting = self._home.resting()
                pods: tuple[Keeper, ...] = () if self._agent is None else self._agent.keepers
                children = {keeper.child.name: keeper for keeper in (*self._keepers.values(), *pods)}
                self._outages.step(children, loop.time(), self._clock.now())
                for name, keeper in self._keepers.items():
                    keeper.step(name not in resting, loop.time())
                if self._agent is not None:
                    self._agent.step(loop.time())
                    pods = self._agent.keepers
                self._write()
                await probe_all(client, (*self._keepers.values(), *pods), loop.time)
                if self._agent is not None:
                    await self._agent.report(loop.time())
                await rotation.step(client, loop.time())
                async with self._round:
                    self._round.notify_all()
                await asyncio.sleep(STEP_SECONDS)

    def _write(self) -> None:
        """Write ``stand.json`` if it would say something new."""
        own = (ProcessRecord.of(name, keeper) for name, keeper in self._keepers.items())
        pods = self._agent.records() if self._agent is not None else ()
        pid = os.getpid()
        us = identify(pid)
        record = StandRecord(
            name=self._home.name,
            supervisor_pid=pid,
            supervisor_start_ticks=us.start_ticks if us else 0,
            started_at=self._started_at,
            phase=self._phase,
            milestones=tuple(self._milestones),
            database=self._database,
            ports=self._ports,
            processes=(*(process for process in own if process is not None), *pods),
            resting=tuple(name for name, keeper in self._keepers.items() if keeper.phase == "resting"),
            outages=self._outages.records,
        )
        if record != self._written:
            try:
                self._home.write(record)
                self._written = record
            except OSError as error:  # a full disk must not end the casino; the next round tries again
                _LOG.warning("cannot write %s: %s", self._home.record_file, error)

    def _milestone(self, text: str) -> None:
        self._milestones.append(text)
        _LOG.info("%s", text)

    # --- down ----------------------------------------------------------------------------------------------------

    def _fall(self) -> None:
        """End everything, in the reverse order; PostgreSQL's data go with it."""
        if self._phase != "failed":
            self._phase = "stopping"
        self._outages.end(self._clock.now())
        self._write()
        for name in reversed(self._keepers):
            if name in _BEFORE_PODS:
                self._end_pods()
            _LOG.info("ending %s", name)
            keeper = self._keepers[name]
            keeper.child.stop(patience_seconds=keeper.drain_seconds)
        self._end_pods()
        postgres.remove(self._where)
        _LOG.info("down")

    def _end_pods(self) -> None:
        if self._agent is not None:
            _LOG.info("ending pods")
            self._agent.stop()
            self._agent = None


def _first_of(group: BaseExceptionGroup[CroupierError]) -> BaseException:
    """The first error in a group, however deep."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


def settings(ports: Mapping[str, int]) -> str:
    """``desk.yaml``: how the desk reaches this stand, paths relative to the file."""
    return (
        "platform: platform.yaml\n"
        f'traffic: {{kind: envoy, directory: edge, admin: "{url(ports, "admin")}", log: logs/envoy.log}}\n'
        "workloads: {kind: processes, directory: workloads, versions: versions}\n"
        f'metrics: {{kind: scrape, urls: ["{url(ports, TALLY_FRONT)}/metrics"]}}\n'
        "state: desk\n"
        "# A stand has no registry, no drills and no manifests, so it could never be ready for production.\n"
        "checklist: {money: warn, standard: warn}\n"
        "# Somebody watches a stand, and not for a night.\n"
        "bakeSeconds: {money: 15, standard: 15}\n"
    )


def main() -> None:
    """Run a supervisor until SIGTERM. Exits 1 when the stand does not come up; ``stand.json`` says why."""
    parser = argparse.ArgumentParser(prog="python -m croupier_stand.supervisor")
    parser.add_argument("--name", required=True)
    parser.add_argument("--without-desk", action="store_true")
    parser.add_argument("--detach", action="store_true", help="run in the background; print the process id and return")
    parser.add_argument("--platform", type=Path, help="services of one's own instead of the casino")
    Load.declare(parser)
    options = parser.parse_args()
    home = Home.of(options.name)
    if options.detach:
        _detach(home)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        with home.lock():
            if options.detach:
                os.truncate(home.supervisor_log, 0)  # only now: until here it may be that of a running stand
            home.clear()
            load, with_desk = Load.read(options), not options.without_desk
            project = None if options.platform is None else find_project(options.platform)
            supervisor = Supervisor(home, load, with_desk=with_desk, clock=SystemClock(), project=project)
            asyncio.run(_until_sigterm(supervisor))
    except CroupierError as error:
        _LOG.error("%s", error)
        sys.exit(1)


def _detach(home: Home) -> None:
    """Go on as a child of nobody, with the log as output. The starter learns our id and does not wait for us."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.write(sys.stdout.fileno(), f"{pid}\n".encode())
        os._exit(0)
    os.setsid()
    os.chdir("/")
    home.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = os.open(home.supervisor_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)


async def _until_sigterm(supervisor: Supervisor) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    await supervisor.run(told)


if __name__ == "__main__":
    main()
