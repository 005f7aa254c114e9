"""Who a request is for and which arm of a release it belongs to, from the edge to every call made on its behalf.

The edge stamps each request with its *arm* (run and version) and its *hop* (the arm of this very hop). A service stores
the arm with what it begins, and passes it on in calls, so that harm seen later or elsewhere is charged to the arm that
began it (DESIGN.md §3). The kit treats the arm as opaque text.

The W3C trace context travels the same way: accepted, or begun here, and passed on with a new span id.
"""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass

from aiohttp import ClientHandlerType, ClientRequest, ClientResponse, web

ARM_HEADER = "x-croupier-arm"
PLAYER_HEADER = "x-player"
TRACE_HEADER = "traceparent"

_TRACEPARENT = re.compile(r"^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$")
_OPAQUE = re.compile(r"^[\x21-\x7e]{1,256}$")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Origin:
    """What a piece of work belongs to. ``arm`` and ``player`` are "" when unknown."""

    arm: str = ""
    player: str = ""
    trace_id: str = ""
    """32 hex digits; "" until one is begun."""


_NOWHERE = Origin()
_current: ContextVar[Origin] = ContextVar("origin", default=_NOWHERE)


def current() -> Origin:
    """The origin of the work at hand; empty outside a request."""
    return _current.get()


def forget() -> None:
    """Belong to nobody: for loops, between two pieces of work."""
    _current.set(_NOWHERE)


def adopt(*, arm: str, player: str, trace_id: str = "") -> None:
    """Go on with work that began elsewhere (a stored intent) under the arm that began it."""
    _current.set(Origin(arm, player, trace_id or current().trace_id or _new_id(128)))


def read(headers: Mapping[str, str]) -> Origin:
    """The origin that request headers tell. What is malformed counts as absent."""
    return Origin(
        _opaque(headers.get(ARM_HEADER, "")),
        _opaque(headers.get(PLAYER_HEADER, "")),
        _trace_id(headers) or _new_id(128),
    )


def headers(origin: Origin | None = None) -> dict[str, str]:
    """Headers for a call on behalf of ``origin`` (default: the current one)."""
    origin = origin or current()
    told = {ARM_HEADER: origin.arm, PLAYER_HEADER: origin.player}
    told[TRACE_HEADER] = f"00-{origin.trace_id or _new_id(128)}-{_new_id(64)}-01"
    return {name: value for name, value in told.items() if value}


@web.middleware
async def accept(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Server middleware: remember the request's origin while it is handled."""
    token = _current.set(read(request.headers))
    try:
        return await handler(request)
    finally:
        _current.reset(token)


async def pass_on(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Client middleware for calls inside the platform. Headers the caller set itself stay."""
    for name, value in headers().items():
        request.headers.setdefault(name, value)
    return await handler(request)


def _trace_id(headers: Mapping[str, str]) -> str:
    match = _TRACEPARENT.match(headers.get(TRACE_HEADER, ""))
    return match[1] if match and match[1] != "0" * 32 else ""


def _opaque(text: str) -> str:
    return text if _OPAQUE.match(text) else ""


def _new_id(bits: int) -> str:
    return f"{random.getrandbits(bits) or 1:0{bits // 4}x}"
