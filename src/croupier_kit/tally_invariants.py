"""What a ledger must never show, counted per arm. Pure: postings in, violations out.

One is enough to take a version back, so each is exact: there is no innocent way for the ledger to show it, and no
sampling in it. A violation is charged to the arm whose posting broke the rule. ``posted-twice``: a movement of money
that happens once was booked again under another key. ``paid-and-returned``: a withdrawal was both paid out and given
back. ``amount-differs``: a deposit was credited with another amount than the player had asked for.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

INVARIANTS = ("posted-twice", "paid-and-returned", "amount-differs")

MEMORY_SECONDS = 900.0
"""So long a second posting is known for one; partners repeat what they have told within minutes."""

_ONCE = frozenset({"deposit", "withdrawal-reserve", "withdrawal-settle", "withdrawal-release", "bet", "win"})
_EITHER_OR = {"withdrawal-settle": "withdrawal-release", "withdrawal-release": "withdrawal-settle"}


class ArmName(NamedTuple):
    """An arm without the revision of its split."""

    service: str
    run: str
    version: str


class _Posted(NamedTuple):
    at: float
    amount: int
    arm: ArmName


class Invariants:
    """All arms of all services. ``since``: what was posted before is known and not counted."""

    def __init__(self, since: float) -> None:
        self.violations: Counter[tuple[ArmName, str]] = Counter()
        """Arm and invariant -> how often it was broken."""
        self.services: set[str] = set()
        """Services under whose arms money was moved; of others there is nothing to say."""
        self._since = since
        self._posted: dict[tuple[str, str], _Posted] = {}
        self._asked: dict[str, tuple[float, int]] = {}

    def ask(self, deposit: str, amount: int, at: float) -> None:
        """A player has asked for a deposit, in cents."""
        self._asked.setdefault(deposit, (at, amount))
        credit = self._posted.get((deposit, "deposit"))
        if credit is not None and credit.amount != amount:
            self._violated(credit.arm, "amount-differs", credit.at)

    def post(self, kind: str, reference: str, amount: int, arm: ArmName, at: float) -> None:
        """The ledger has posted a transfer."""
        if kind not in _ONCE:
            return
        self.services.add(arm.service)
        if (reference, kind) in self._posted:
            self._violated(arm, "posted-twice", at)
            return
        self._posted[reference, kind] = _Posted(at, amount, arm)
        other = _EITHER_OR.get(kind)
        if other is not None and (reference, other) in self._posted:
            self._violated(arm, "paid-and-returned", at)
        if kind == "deposit" and self._asked.get(reference, (0.0, amount))[1] != amount:
            self._violated(arm, "amount-differs", at)

    def forget(self, before: float) -> None:
        """Forget postings older than ``before``."""
        self._posted = {key: each for key, each in self._posted.items() if each.at >= before}
        self._asked = {key: each for key, each in self._asked.items() if each[0] >= before}

    def drop(self, over: set[tuple[str, str, str]]) -> None:
        """Forget what was counted of runs (service, run, "") that are over, and of arms (service, run, version)."""
        for key in [key for key in self.violations if key[0] in over or (*key[0][:2], "") in over]:
            del self.violations[key]

    def _violated(self, arm: ArmName, invariant: str, at: float) -> None:
        if at >= self._since:
            self.violations[arm, invariant] += 1
