"""A deposit or withdrawal as payments-api knows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Payment(NamedTuple):
    """As stored. ``arm`` and ``pod`` are those that began it; ``amount`` is cents."""

    id: str
    player: str
    arm: str
    pod: str
    psp: str
    amount: int
    currency: str
    state: str


class Unreadable(Exception):
    """A payment was stored by a version that writes what this one does not know. Nothing may be done to it here."""


@dataclass(frozen=True, slots=True)
class Wish:
    """As asked for, before anything is stored. ``key``: the idempotency key."""

    key: str
    player: str
    psp: str
    amount: int
    currency: str
