"""Session tokens: ``<player>.<expiry>.<signature>``, checked by every service without asking anybody."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

from aiohttp import web

from croupier_kit import arm
from croupier_kit.clock import now

_LIFE_SECONDS = 4 * 3600


class Sessions:
    """Issues and checks tokens with the platform's session key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def from_file(cls, path: Path) -> Sessions:
        return cls(path.read_bytes().strip())

    def issue(self, player: str, at: float) -> str:
        body = f"{player}.{int(at) + _LIFE_SECONDS}"
        return f"{body}.{self._signature(body)}"

    def holds(self, token: str, player: str, at: float) -> bool:
        """Whether ``token`` was issued to ``player`` and has not expired."""
        body, _, signature = token.rpartition(".")
        if not signature.isascii() or not hmac.compare_digest(signature, self._signature(body)):
            return False
        owner, _, expiry = body.rpartition(".")
        return owner == player and at < int(expiry)

    def player_of(self, request: web.Request) -> str:
        """The player who sent the request. Raises ``HTTPUnauthorized`` when token and ``x-player`` do not fit."""
        player = arm.current().player
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not player or not self.holds(token, player, now()):
            raise web.HTTPUnauthorized(reason="log in first")
        return player

    def _signature(self, body: str) -> str:
        digest = hmac.digest(self._key, body.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")
