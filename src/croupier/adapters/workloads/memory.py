"""Workloads in memory, for tests: pods are values, and become what the test says.

By default a pod is ready as soon as it is wanted. ``unready`` versions never become ready; ``crash`` counts a restart;
``unreachable`` makes every call fail.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from croupier.errors import UnknownName, Unreachable
from croupier.model.digest import short
from croupier.model.service import Version
from croupier.model.traffic import Endpoint
from croupier.model.workload import Pod, VersionPods

_FIRST_PORT = 20_000


class MemoryWorkloads:
    """The workloads port, with knobs.

    Attributes:
        unready: digests whose pods are not ready, and why.
        unreachable: every call raises ``Unreachable``.
    """

    def __init__(self, versions: Iterable[Version] = ()) -> None:
        self.unready: dict[str, str] = {}
        self.unreachable = False
        self._versions = list(versions)
        self._desired: dict[tuple[str, str], int] = {}
        self._restarts: dict[str, int] = {}
        self._ports: dict[str, int] = {}

    async def versions(self, service: str) -> Sequence[Version]:
        self._answer()
        return self._known(service)

    async def ensure(self, service: str, digest: str, replicas: int) -> None:
        self._answer()
        known = [version.digest for version in self._known(service)]
        if digest not in known:
            raise UnknownName(f"version of {service}", digest, known)
        self._desired[service, digest] = max(replicas, self._desired.get((service, digest), 0))

    async def reduce(self, service: str, digest: str, replicas: int) -> None:
        self._answer()
        if (service, digest) in self._desired:
            self._desired[service, digest] = min(replicas, self._desired[service, digest])

    async def observe(self, service: str) -> Sequence[VersionPods]:
        self._answer()
        wanted = sorted((digest, replicas) for (name, digest), replicas in self._desired.items() if name == service)
        return [
            VersionPods(service, digest, replicas, tuple(self._pod(service, digest, i) for i in range(replicas)))
            for digest, replicas in wanted
        ]

    async def retire(self, service: str, digest: str, drain_seconds: float | None = None) -> None:
        self._answer()
        self._desired.pop((service, digest), None)

    def crash(self, pod: str) -> None:
        """The pod of this name died and was started again."""
        self._restarts[pod] = self._restarts.get(pod, 0) + 1

    def _known(self, service: str) -> list[Version]:
        found = [version for version in self._versions if version.service == service]
        return sorted(found, key=lambda version: version.label)

    def _pod(self, service: str, digest: str, ordinal: int) -> Pod:
        name = f"{service}-{short(digest)}-{ordinal}"
        port = self._ports.setdefault(name, _FIRST_PORT + len(self._ports))
        reason = self.unready.get(digest, "")
        return Pod(
            name, Endpoint(host="127.0.0.1", port=port), digest not in self.unready, self._restarts.get(name, 0), reason
        )

    def _answer(self) -> None:
        if self.unreachable:
            raise Unreachable("nobody runs the pods")
