"""What is asked before a release starts, besides its plan: the checklist (S15), and whether a freeze is on (S12.3).

Owned by the desk. ``checked`` and ``ready`` read files and ask every rule, so they are never called while rounds wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from croupier.core.freeze import before, in_force
from croupier.core.run import RunState
from croupier.engine.checklist import WAIVED, assess, in_words, latest, source_of, waiver_of
from croupier.engine.register import Register
from croupier.errors import Refused
from croupier.model.checklist import Checklist, ChecklistAsk, ChecklistPolicy, ChecklistSource, LineWaiver
from croupier.model.freeze import Freeze
from croupier.model.release import Release
from croupier.model.service import Tier
from croupier.ports.clock import Clock


class Preflight:
    """Of one desk.

    Attributes:
        freezes: the calendar as it is now.
    """

    def __init__(
        self,
        register: Register,
        clock: Clock,
        *,
        sources: Mapping[str, ChecklistSource],
        policy: ChecklistPolicy | None,
        freezes: Sequence[Freeze],
    ) -> None:
        """``sources``: service -> where it is described. ``policy``: None: only services with a source are asked, and
        then no line may be red."""
        self.freezes = tuple(freezes)
        self._register = register
        self._clock = clock
        self._sources = sources
        self._policy = policy

    # --- the checklist ------------------------------------------------------------------------------------------------

    def asks(self, tier: Tier) -> ChecklistAsk:
        """Whether a red line keeps a release of this tier from starting."""
        return "require" if self._policy is None else self._policy.of(tier)

    async def waivers(self) -> Sequence[LineWaiver]:
        """The waiver that counts of each service and line, also one that has ended. Raises ``Unreachable``."""
        return latest(waiver_of(each) for each in await self._register.of_desk(WAIVED))

    async def assess(self, service: str, release: Release | None = None) -> Checklist:
        """Raises as ``engine.checklist.assess`` does, and ``Unreachable``."""
        source, waivers = source_of(self._sources, service), await self.waivers()
        now = self._clock.now()
        return await asyncio.to_thread(lambda: assess(service, source, now=now, waivers=waivers, release=release))

    async def checked(self, release: Release) -> Checklist | None:
        """The checklist of a release about to start; None where nobody asks for one."""
        is_asked = self._policy is not None or release.service in self._sources
        return await self.assess(release.service, release) if is_asked else None

    async def ready(self, release: Release, tier: Tier) -> str:
        """What the checklist says, for the journal; "" where there is none, and of a way back, which waits for none.
        Raises ``Refused`` for a red line, where it is required that there is none."""
        if await self.before(release.service) == release.digest:
            return ""
        found = await self.checked(release)
        if found is None:
            return ""
        if not found.ready and self.asks(tier) == "require":
            raise Refused(
                f"{release.service} is not ready for production: {in_words(found)}",
                hint=f"see croupier release check {release.service}; a line is waived by croupier release waive",
            )
        return in_words(found)

    # --- freezes ------------------------------------------------------------------------------------------------------

    async def frozen(self, release: Release) -> tuple[Freeze, ...]:
        """The windows that keep a release from starting now, the one that ends last first; none for a way back."""
        found = in_force(self.freezes, release.service, self._clock.now())
        return () if found and await self.before(release.service) == release.digest else found

    async def before(self, service: str) -> str:
        """Digest of the version that served before the one that serves now; "": not known. Raises ``Unreachable``."""
        return before(await self.last(service))

    async def last(self, service: str) -> RunState | None:
        """The newest run of a service, live or ended. Raises ``Unreachable``."""
        newest = self._register.newest_run(service, "")
        return None if newest is None else await self._register.run(newest)

    async def refuse_frozen(self, release: Release) -> None:
        """Raises ``Refused`` with the window that bars a start now."""
        if found := await self.frozen(release):
            raise Refused(
                f"nothing new starts on {release.service}: {found[0].words}",
                hint='wait, or say who decided and why: croupier release start … --override-freeze --reason "…"; '
                "a release of the version that served before is never frozen",
            )
