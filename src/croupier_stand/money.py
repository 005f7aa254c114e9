"""The money of a running stand: audit it, reconcile it, audit it again. For ``stand audit``, the demo and the tests."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import aiohttp
import psycopg

from croupier.errors import EnvironmentFault
from croupier_stand.audit import GRACE_SECONDS, AuditReport, AuditSettings, audit
from croupier_stand.audit_rules import Violation
from croupier_stand.casino.pod import Undecided
from croupier_stand.home import Home
from croupier_stand.parts import environment
from croupier_stand.reconciler import ReconcilerSettings, reconcile_once


class Reckoning(NamedTuple):
    """``before``: what was open. ``mended``: corrections by kind. ``remaining``: of what was open, what still is."""

    before: AuditReport
    mended: Mapping[str, int]
    remaining: Sequence[Violation]

    @property
    def is_right(self) -> bool:
        return not self.remaining


def reckon(home: Home, *, everything: bool = False) -> Reckoning:
    """Audit, let the reconciler go over it once, audit again.

    Args:
        everything: judge what has just happened too. Right when nobody plays any more; while players play, what is
            younger than the grace period may still be under way, and what turns up meanwhile is for the next audit.

    Raises EnvironmentFault when the stand is not up, or when something that has to be read does not answer.
    """
    record = home.require()
    if not record.database:
        raise EnvironmentFault(f"stand {home.name!r} runs services of its own: there is no casino with money to audit")
    told = environment(home, record.ports, record.database)
    grace = 0.0 if everything else GRACE_SECONDS
    try:
        return asyncio.run(_reckon(told, grace, everything))
    except (psycopg.OperationalError, aiohttp.ClientError, TimeoutError, Undecided, ValueError) as error:
        raise EnvironmentFault(f"the audit could not read everything: {error!r}") from error


async def _reckon(told: Mapping[str, str], grace: float, everything: bool) -> Reckoning:
    settings = AuditSettings.of(told)
    before = await audit(settings, grace)
    if before.is_clean:
        return Reckoning(before, {}, ())
    mended = await reconcile_once(ReconcilerSettings.of(told), grace)
    after = await audit(settings, grace)
    open_before = {(violation.kind, violation.subject) for violation in before.violations}
    remaining = [each for each in after.violations if everything or (each.kind, each.subject) in open_before]
    return Reckoning(before, dict(mended), remaining)


def by_kind(violations: Sequence[Violation]) -> dict[str, int]:
    """How many violations there are of each kind."""
    return dict(sorted(Counter(violation.kind for violation in violations).items()))


def document(reckoning: Reckoning) -> dict[str, Any]:
    """As JSON; fields: see docs/reference/json.md."""
    return {
        "right": reckoning.is_right,
        "before": {"violations": [_violation(each) for each in reckoning.before.violations]},
        "mended": dict(reckoning.mended),
        "after": {"violations": [_violation(each) for each in reckoning.remaining]},
        "checked": dict(reckoning.before.checked),
        "correctedEarlier": dict(reckoning.before.corrections),
    }


def lines(reckoning: Reckoning) -> list[str]:
    """For people: what was looked at, what was open, what was mended, what is left."""
    before = reckoning.before
    said = ["Checked: " + ", ".join(f"{count:,} {what}" for what, count in before.checked.items())]
    if before.corrections:
        said.append("Corrected earlier: " + _counted(before.corrections))
    said.append("Before reconciliation: " + (_counted(before.by_kind) or "no violations"))
    said += [f"  {each.kind} {each.subject}: {each.detail}" for each in before.violations[:20]]
    if len(before.violations) > 20:
        said.append(f"  … and {len(before.violations) - 20} more")
    if before.violations:
        said.append("Mended now: " + (_counted(reckoning.mended) or "nothing"))
        said.append(f"After reconciliation: {len(reckoning.remaining) or 'no'} violations")
        said += [f"  {each.kind} {each.subject}: {each.detail}" for each in reckoning.remaining[:50]]
    return said


def _violation(violation: Violation) -> dict[str, str]:
    return {"kind": violation.kind, "subject": violation.subject, "detail": violation.detail}


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
