"""Passwords of the stand's players, hashed with a cheap scrypt: right in form, fast enough for two cores."""

from __future__ import annotations

import hashlib
import hmac

_COST = {"n": 2**10, "r": 1, "p": 1}


def of(player: str) -> str:
    """The password that a player of the stand knows."""
    return f"secret of {player}"


def hashed(password: str, player: str) -> str:
    """``scrypt$<hex>``, salted with the player's id."""
    digest = hashlib.scrypt(password.encode(), salt=f"croupier:{player}".encode(), dklen=32, **_COST)
    return f"scrypt${digest.hex()}"


def matches(password: str, player: str, stored: str) -> bool:
    return hmac.compare_digest(hashed(password, player), stored)
