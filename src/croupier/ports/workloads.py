from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from croupier.model.service import Version
from croupier.model.workload import VersionPods


class Workloads(Protocol):
    """Versions as immutable sets of pods. Nothing is upgraded in place.

    ``ensure`` and ``retire`` record a wish and return; ``observe`` tells what has come of it. All are safe to repeat
    and raise ``Unreachable`` when whoever runs the pods does not answer.
    """

    async def versions(self, service: str) -> Sequence[Version]:
        """Versions that exist of a service, whether they run or not, sorted by label."""
        ...

    async def ensure(self, service: str, digest: str, replicas: int) -> None:
        """At least ``replicas`` pods of the version. Raises ``UnknownName`` if there is no such version."""
        ...

    async def reduce(self, service: str, digest: str, replicas: int) -> None:
        """At most ``replicas`` pods of the version, one or more: the last that ``observe`` lists finish what they have
        and end. Fewer, or none: nothing to do. Raises ``Refused`` where versions cannot be made smaller."""
        ...

    async def observe(self, service: str) -> Sequence[VersionPods]:
        """All versions of the service that have, or should have, pods; a version's pods always in the same order."""
        ...

    async def retire(self, service: str, digest: str, drain_seconds: float | None = None) -> None:
        """The version's pods stop taking work, finish what they have and end. Unknown or gone: nothing to do.

        ``drain_seconds``: how long they have for that, where it is counted for them; None: as is declared now.
        """
        ...
