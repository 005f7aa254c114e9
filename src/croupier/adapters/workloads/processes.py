"""Workloads as processes of this machine, run by an agent that is reached through files.

We write wishes, one file a version (``desired/<service>~<digest12>.json``); the agent starts and stops pods and writes
what it sees to ``observed.json``, at every change and at least once a second. An ``observed.json`` that is not renewed
means that nobody runs the pods: what it says is then no observation.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from croupier.adapters.files import replace_file, sync_directory
from croupier.adapters.threads import to_the_end
from croupier.adapters.workloads.descriptors import read_descriptors
from croupier.errors import SpecError, UnknownName, Unreachable
from croupier.model.digest import short
from croupier.model.service import Version
from croupier.model.traffic import Endpoint
from croupier.model.workload import Pod, VersionPods
from croupier.ports.clock import Clock

STALE_SECONDS = 5.0


class _Wish(BaseModel):
    service: str
    digest: str
    replicas: int


class _SeenPod(BaseModel):
    name: str
    service: str
    digest: str
    host: str = ""
    port: int = 0
    ready: bool
    restarts: int
    reason: str = ""

    def pod(self) -> Pod:
        endpoint = Endpoint(host=self.host, port=self.port) if self.host and self.port else None
        return Pod(self.name, endpoint, self.ready, self.restarts, self.reason)


class _Seen(BaseModel):
    at: float
    pods: tuple[_SeenPod, ...]


class ProcessWorkloads:
    """The workloads port on an agent.

    Args:
        directory: holds ``desired/`` and ``observed.json``.
        versions: directory of build descriptors.
        clock: tells the age of ``observed.json``.
    """

    def __init__(self, directory: Path, versions: Path, clock: Clock) -> None:
        self._desired = directory / "desired"
        self._observed = directory / "observed.json"
        self._versions = versions
        self._clock = clock

    async def versions(self, service: str) -> Sequence[Version]:
        return await asyncio.to_thread(self._known, service)

    async def ensure(self, service: str, digest: str, replicas: int) -> None:
        await to_the_end(self._ensure, service, digest, replicas)

    async def reduce(self, service: str, digest: str, replicas: int) -> None:
        await to_the_end(self._reduce, service, digest, replicas)

    async def observe(self, service: str) -> Sequence[VersionPods]:
        return await asyncio.to_thread(self._observe, service)

    async def retire(self, service: str, digest: str, drain_seconds: float | None = None) -> None:
        """Each pod is given its time by who runs it."""
        await to_the_end(self._retire, service, digest)

    def _known(self, service: str) -> list[Version]:
        try:
            found = [each.version for each in read_descriptors(self._versions) if each.version.service == service]
        except SpecError as error:
            raise Unreachable(f"the versions cannot be read: {error.message}") from error
        return list({version.digest: version for version in found}.values())

    def _ensure(self, service: str, digest: str, replicas: int) -> None:
        known = [version.digest for version in self._known(service)]
        if digest not in known:
            raise UnknownName(f"version of {service}", digest, known)
        path = self._wish(service, digest)
        before = self._read_wish(path)
        if before is not None and before.replicas >= replicas:
            return
        self._write_wish(path, _Wish(service=service, digest=digest, replicas=replicas))

    def _reduce(self, service: str, digest: str, replicas: int) -> None:
        path = self._wish(service, digest)
        before = self._read_wish(path)
        if before is not None and before.replicas > replicas:
            self._write_wish(path, _Wish(service=service, digest=digest, replicas=replicas))

    def _write_wish(self, path: Path, wish: _Wish) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_file(path, json.dumps(wish.model_dump()).encode())
        except OSError as error:
            raise Unreachable(f"cannot write {path}: {error.strerror}", hint="is the disk full?") from error

    def _observe(self, service: str) -> list[VersionPods]:
        wishes = (self._read_wish(path) for path in sorted(self._desired.glob(f"{service}~*.json")))
        desired = {wish.digest: wish.replicas for wish in wishes if wish is not None}
        pods: dict[str, list[Pod]] = {digest: [] for digest in desired}
        for seen in self._read_observed().pods:
            if seen.service == service:
                pods.setdefault(seen.digest, []).append(seen.pod())
        return [
            VersionPods(service, digest, desired.get(digest, 0), tuple(sorted(pods[digest], key=_ordinal)))
            for digest in sorted(pods)
        ]

    def _retire(self, service: str, digest: str) -> None:
        path = self._wish(service, digest)
        try:
            path.unlink(missing_ok=True)
            if self._desired.exists():
                sync_directory(self._desired)
        except OSError as error:
            raise Unreachable(f"cannot remove {path}: {error.strerror}") from error

    def _wish(self, service: str, digest: str) -> Path:
        return self._desired / f"{service}~{short(digest)}.json"

    def _read_wish(self, path: Path) -> _Wish | None:
        """None if there is none, or no longer."""
        try:
            return _Wish.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise Unreachable(f"cannot use {path}: {error}") from error

    def _read_observed(self) -> _Seen:
        hint = "does the stand run? croupier stand status"
        try:
            seen = _Seen.model_validate_json(self._observed.read_bytes())
        except FileNotFoundError as error:
            raise Unreachable(f"nobody runs pods: {self._observed} does not exist", hint=hint) from error
        except (OSError, ValidationError) as error:
            raise Unreachable(f"cannot use {self._observed}: {error}") from error
        age = self._clock.now() - seen.at
        if age > STALE_SECONDS:
            raise Unreachable(f"nobody has looked at the pods for {age:.1f} s", hint=hint)
        if age < -STALE_SECONDS:  # else it would be believed until the clock is there again
            raise Unreachable("nobody has looked at the pods since the clock was set back", hint=hint)
        return seen


def _ordinal(pod: Pod) -> tuple[int, str]:
    """Pods of a version differ in the number at the end: 10 comes after 9."""
    return len(pod.name), pod.name
