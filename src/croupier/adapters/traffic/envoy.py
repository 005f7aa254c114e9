"""Traffic by Envoy: splits are files, replaced by rename and confirmed in the data plane.

One change, make before break: remember what is wanted; endpoints and clusters of old and new versions; wait until
Envoy has them (warmed, so checked once); routes of the mesh, then of the public listener; wait until Envoy says that it
runs them; remember; drop what nobody uses. Invariants, whatever happens in between:

- no route is published that names a cluster which Envoy has not confirmed: it would answer 503 for that share;
- clusters on disk are always a superset of those that routes name, so Envoy may restart at any moment;
- a change that Envoy refuses, or does not confirm, is taken back, and the call raises; a way back that it only does not
  confirm stays: an Envoy that is slow or restarts must not find the worse version again;
- a crash leaves ``wanted`` in a record; the next change reads from Envoy what is in force, and goes on from there.

One writer at a time: the desk, or the stand before the desk runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from croupier.adapters.threads import to_the_end
from croupier.adapters.traffic import envoy_config as config
from croupier.adapters.traffic.checks import check_split, service_of
from croupier.adapters.traffic.envoy_admin import EnvoyAdmin
from croupier.adapters.traffic.envoy_change import Change, plan_change
from croupier.adapters.traffic.envoy_files import EnvoyFiles, Record
from croupier.errors import UnknownName, Unreachable
from croupier.model.digest import short
from croupier.model.service import Platform, Service
from croupier.model.traffic import Capabilities, ObservedSplit, Split
from croupier.ports.clock import Clock

CONFIRM_SECONDS = 6.0
RESTORE_SECONDS = 1.5
"""With the first look at Envoy (2 s at most) the two stay below the ten seconds of the port."""
_FIRST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.05


class _RefusedByEnvoy(Unreachable):
    """It goes on with what it had: what it was given now would keep it from starting again."""


class EnvoyTraffic:
    """The traffic port on one Envoy.

    Args:
        directory: the edge directory, the one given to ``envoy_config.bootstrap``.
        admin_url: Envoy's admin interface, ``http://127.0.0.1:PORT``.
        platform: services and their routes.
        clock: for the pauses between two looks at Envoy.
        log: Envoy's log file, where there is one: the only place where Envoy says why it refused something.
    """

    def __init__(
        self, directory: Path, admin_url: str, platform: Platform, clock: Clock, *, log: Path | None = None
    ) -> None:
        self._files = EnvoyFiles(directory)
        self._admin = EnvoyAdmin(admin_url, log)
        self._platform = platform
        self._clock = clock
        self._lock = asyncio.Lock()

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(sticky=True, mirroring=False, verifies=True)

    async def aclose(self) -> None:
        await self._admin.aclose()

    async def observe(self, service: str) -> ObservedSplit:
        """What Envoy runs. The mesh is changed first, so what ``public`` serves is served everywhere."""
        listener = config.MESH if self._service(service).internal else config.PUBLIC
        routes = await self._admin.routes()
        if listener not in routes:
            raise Unreachable(f"Envoy has not loaded the routes of {listener} yet")
        loaded = routes[listener]
        if service not in loaded:
            raise UnknownName("service at the edge", service, sorted(loaded))
        split = loaded[service]
        digests = {short(digest): digest for digest in (await self._admin.digests()).values()}
        missing = sorted(set(split.weights) - set(digests))
        if missing:
            raise Unreachable(f"Envoy routes {service} to versions it has not loaded: {', '.join(missing)}")
        weights = {digests[digest]: weight for digest, weight in split.weights.items()}
        return ObservedSplit(service=service, run=split.run, revision=split.revision, weights=weights)

    async def open_sockets(self, service: str) -> dict[str, int]:
        """By Envoy's ``upstream_rq_active``, which counts an upgraded connection until it ends. A cluster that was
        dropped counts no more, whatever is still open through it."""
        of = f"{self._service(service).name}~"
        versions = {name: digest for name, digest in (await self._admin.digests()).items() if name.startswith(of)}
        streams = await self._admin.open_streams(versions)
        return {digest: streams[name] for name, digest in versions.items() if name in streams}

    async def set_split(self, split: Split) -> None:
        self._check(split)
        async with self._lock:
            records, refused = await asyncio.gather(asyncio.to_thread(self._files.records), self._admin.refusals())
            is_interrupted = any(record.wanted is not None for record in records.values())
            change = plan_change(split, records, await self._admin.routes() if is_interrupted else {})
            deadline = self._deadline(CONFIRM_SECONDS)
            await to_the_end(self._begin, change)
            try:
                await self._until(lambda: self._lacking_clusters(change), refused, deadline)
                versions = await to_the_end(self._write_routes, change.after)
                await self._until(lambda: self._lacking_routes(versions), refused, deadline)
            except Unreachable as error:
                if isinstance(error, _RefusedByEnvoy) or not split.goes_back:
                    await self._take_back(change)
                raise
            await to_the_end(self._finish, change)

    # --- before Envoy runs ------------------------------------------------------------------------------------------

    def write_files(self, splits: Iterable[Split]) -> None:
        """Lay down everything for a start of Envoy; then start it and ``confirm``.

        Services not among ``splits`` keep the split that was last confirmed.
        """
        self._files.prepare()
        for split in splits:
            self._check(split)
            self._files.save(split.service, Record(confirmed=split))
        in_force = _in_force(self._files.records())
        self._write_clusters(in_force.values())
        self._write_routes(in_force)

    async def confirm(self) -> None:
        """Wait until Envoy serves every split in force. Raises ``Unreachable`` after ``CONFIRM_SECONDS``."""
        in_force = _in_force(await asyncio.to_thread(self._files.records))
        versions = {listener: str(routes["version_info"]) for listener, routes in self._routes(in_force).items()}
        await self._until(lambda: self._lacking_routes(versions), None, self._deadline(CONFIRM_SECONDS))

    # --- the steps of a change --------------------------------------------------------------------------------------

    def _begin(self, change: Change) -> None:
        self._files.prepare()
        self._files.save(change.split.service, Record(confirmed=change.replaced, wanted=change.split))
        self._write_clusters(change.reachable)
        self._files.drop_endpoints(_clusters(change.reachable))

    def _finish(self, change: Change) -> None:
        for service, record in change.settled.items():
            self._files.save(service, record)
        self._write_clusters(change.after.values())

    async def _take_back(self, change: Change) -> None:
        """Routes first, then clusters. If Envoy does not confirm, the record keeps ``wanted``, and so its clusters."""
        versions = await to_the_end(self._write_routes, change.before)
        try:
            await self._until(lambda: self._lacking_routes(versions), None, self._deadline(RESTORE_SECONDS))
        except Unreachable:
            await to_the_end(self._write_clusters, (*change.reachable, *change.before.values()))
            return
        await to_the_end(self._files.save, change.split.service, Record(confirmed=change.replaced))
        await to_the_end(self._write_clusters, change.before.values())

    def _write_clusters(self, splits: Iterable[Split]) -> None:
        """Endpoint files, then the list of clusters. Of two splits with the same version the later one counts."""
        found = {
            config.cluster_name(split.service, backend.digest): (self._service(split.service), backend)
            for split in splits
            for backend in config.backends(split)
        }
        for cluster, (_, backend) in found.items():
            self._files.put(
                config.FILES.endpoints.format(cluster=cluster), config.endpoints(cluster, backend.endpoints)
            )
        versions = [(service, backend.digest) for service, backend in found.values()]
        self._files.put(config.FILES.clusters, config.clusters(self._files.watched, versions))

    def _write_routes(self, splits: Mapping[str, Split]) -> dict[str, str]:
        """Publish; gives the version by which Envoy will confirm, by listener."""
        routes = self._routes(splits)
        for listener in config.LISTENERS:
            self._files.put(config.FILES.routes.format(listener=listener), routes[listener])
        return {listener: str(routes[listener]["version_info"]) for listener in routes}

    def _routes(self, splits: Mapping[str, Split]) -> dict[str, config.JsonObject]:
        table = {name: (self._service(name), split) for name, split in splits.items()}
        return {listener: config.routes(listener, table) for listener in config.LISTENERS}

    # --- looking at Envoy -------------------------------------------------------------------------------------------

    async def _lacking_clusters(self, change: Change) -> str:
        """What Envoy still lacks before ``change.after`` may be published, or ""."""
        hosts = await self._admin.hosts()
        for cluster in sorted(change.routed):
            if cluster not in hosts:
                return f"cluster {cluster} is not loaded"
        for backend, _ in config.windows(change.split):
            cluster = config.cluster_name(change.split.service, backend.digest)
            known = hosts.get(cluster)
            if known is None or set(known) != set(backend.endpoints):
                return f"the endpoints of {cluster} are not loaded"
            if cluster in change.fresh and not any(known.values()):
                return f"no endpoint of {cluster} passes its health check"
        return ""

    async def _lacking_routes(self, versions: Mapping[str, str]) -> str:
        loaded = await self._admin.route_versions()
        behind = [listener for listener, version in versions.items() if loaded.get(listener) != version]
        return f"the routes of {' and '.join(behind)} are not loaded" if behind else ""

    async def _until(
        self, lacking: Callable[[], Awaitable[str]], refused: Mapping[str, int] | None, deadline: float
    ) -> None:
        """Look until nothing is lacking. An Envoy that does not answer may be restarting: look again.

        Raises:
            Unreachable: at ``deadline`` (loop time), or as soon as Envoy has refused an update since ``refused``
                was read (None: do not ask).
        """
        missing, pause = "it does not answer", _FIRST_PAUSE_SECONDS
        try:
            async with asyncio.timeout_at(deadline):
                while True:
                    try:
                        missing = await lacking()
                        refusal = await self._admin.refusal_since(refused) if missing and refused is not None else ""
                    except Unreachable as error:
                        missing, refusal = error.message, ""
                    if not missing:
                        return
                    if refusal:
                        raise _RefusedByEnvoy(
                            f"Envoy refused the change: {refusal}", hint="the split before is still in force"
                        )
                    await self._clock.sleep(pause)
                    pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)
        except TimeoutError:
            raise Unreachable(f"Envoy did not confirm in time: {missing}") from None

    def _deadline(self, seconds: float) -> float:
        return asyncio.get_running_loop().time() + seconds

    def _service(self, name: str) -> Service:
        return service_of(self._platform, name)

    def _check(self, split: Split) -> None:
        check_split(self._platform, split)
        for backend, _ in config.windows(split):
            if not backend.endpoints:
                raise Unreachable(f"{config.cluster_name(split.service, backend.digest)} has no endpoints to send to")


def _in_force(records: Mapping[str, Record]) -> dict[str, Split]:
    return {service: record.confirmed for service, record in records.items() if record.confirmed is not None}


def _clusters(splits: Iterable[Split]) -> set[str]:
    return {
        config.cluster_name(split.service, backend.digest) for split in splits for backend in config.backends(split)
    }
