"""Which freeze window stands in the way of a service or of a run. Pure.

A freeze bars what goes forward: a start, a step up, a promotion. It bars no way back: neither the end of a run, nor the
release of the version that served before the one that serves now (progressive-delivery 2.1: closed windows that
block rollbacks). A person may override a window for one run, by its name and that of its calendar.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from croupier.core.phases import Phase
from croupier.core.run import RunState
from croupier.core.snapshot import Snapshot
from croupier.model.freeze import Freeze


def in_force(freezes: Iterable[Freeze], service: str, now: float) -> tuple[Freeze, ...]:
    """The windows that freeze the service now, the one that ends last first."""
    found = (
        each
        for each in freezes
        if each.from_at <= now < each.until_at and (not each.services or service in each.services)
    )
    return tuple(sorted(found, key=lambda each: (-each.until_at, each.name)))


def thawed_at(freezes: Iterable[Freeze], service: str, now: float) -> float:
    """When the last window that froze the service ended; minus infinity when none has."""
    found = (each.until_at for each in freezes if not each.services or service in each.services)
    return max((each for each in found if each <= now), default=float("-inf"))


def freeze_of(state: RunState, s: Snapshot) -> Freeze | None:
    """What keeps the run from going forward now; None: nothing does."""
    if state.returns:
        return None
    return next((each for each in s.freezes if not is_overridden(each, state.overridden)), None)


def is_overridden(freeze: Freeze, overridden: Collection[str]) -> bool:
    """Whether ``overridden`` has the window. A bare name is from before calendars were named, too, and counts for every
    window that is called so."""
    return freeze.key in overridden or freeze.name in overridden


def before(last: RunState | None) -> str:
    """Digest of the version that served before the one that serves now: a release of it goes back. "": not known.

    ``last``: the newest run of the service. Runs that were taken back, or are live, changed nothing of it. A version
    that was left by going back is no way back: releasing it again is something new.
    """
    if last is None:
        return ""
    if last.phase not in (Phase.PROMOTING, Phase.PROMOTED):
        return last.before
    return "" if last.returns else last.plan.stable
