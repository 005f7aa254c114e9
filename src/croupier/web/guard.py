"""The door of the API: who may come in, under which host name, and with how much in their hands.

Plain ASGI, so that a body is counted while it streams and event streams pass through unbuffered. The token is checked
first and for every path: without it the answer is 401 and tells nothing, not even whether the path exists.
"""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from croupier.errors import UserError
from croupier.report.problems import error_body

BODY_LIMIT_BYTES = 256 * 1024
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


class BodyTooLarge(UserError):
    code = "BODY_TOO_LARGE"


class _TooMuch(Exception):
    """Raised through the application by the counting receive; not a ``CroupierError``, so that no handler takes it."""


class WrongHost(UserError):
    code = "WRONG_HOST"


class Guard:
    """ASGI middleware. ``hosts``: host names the API answers to; others are refused (DNS rebinding)."""

    def __init__(self, app: ASGIApp, *, token: str, hosts: frozenset[str] = LOOPBACK_NAMES) -> None:
        if not token:
            raise ValueError("the API needs a token")
        self._app = app
        self._expected = f"Bearer {token}".encode()
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if scope["type"] != "http" or not hmac.compare_digest(headers.get(b"authorization", b""), self._expected):
            unauthorized = JSONResponse({"error": {}}, status_code=401, headers={"WWW-Authenticate": "Bearer"})
            await unauthorized(scope, receive, send)
            return
        if _host_name(headers.get(b"host", b"")) not in self._hosts:
            refused = WrongHost("the desk answers on loopback names only", hint="use http://127.0.0.1:PORT")
            await JSONResponse(error_body(refused), status_code=421)(scope, receive, send)
            return
        await self._with_limit(scope, receive, send, declared=headers.get(b"content-length", b"0"))

    async def _with_limit(self, scope: Scope, receive: Receive, send: Send, *, declared: bytes) -> None:
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > BODY_LIMIT_BYTES:
                raise _TooMuch
            return message

        try:
            if declared.isdigit() and int(declared) > BODY_LIMIT_BYTES:
                raise _TooMuch
            await self._app(scope, counted, send)
        except _TooMuch:
            too_large = BodyTooLarge(f"the body is larger than {BODY_LIMIT_BYTES // 1024} KiB")
            refusal = JSONResponse(error_body(too_large), status_code=413, headers={"Connection": "close"})
            await refusal(scope, receive, send)


def _host_name(header: bytes) -> str:
    """The host of a Host header without its port, brackets of IPv6 taken off; "" when it is not one."""
    try:
        return urlsplit(f"//{header.decode('ascii')}").hostname or ""
    except ValueError:
        return ""
