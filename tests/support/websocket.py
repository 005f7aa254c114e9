"""A WebSocket that a player holds open through a gateway (RFC 6455), read by a thread of its own."""

from __future__ import annotations

import base64
import json
import secrets
import socket
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any

from croupier.adapters.clock import SystemClock

OPEN_SECONDS = 30.0
"""Longest time until the other end has answered the handshake, or said something."""


@dataclass
class Socket:
    """What came through it."""

    said: list[dict[str, Any]] = field(default_factory=list)
    """Texts, each a JSON object, in their order."""
    closed_at: float | None = None
    """When it ended, epoch seconds; None: it is open."""

    @property
    def versions(self) -> set[str]:
        return {str(each["version"]) for each in self.said}


@contextmanager
def opened(url: str, *, host: str, path: str = "/live") -> Iterator[Socket]:
    """A socket to ``host`` through the gateway at ``url``, closed after the block.

    Raises:
        AssertionError: the gateway or the service refuses the upgrade.
    """
    netloc = urllib.parse.urlsplit(url)
    with socket.create_connection((netloc.hostname or "", netloc.port or 80), timeout=OPEN_SECONDS) as connection:
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        lines = (
            f"GET {path} HTTP/1.1",
            f"Host: {host}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
        )
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        stream = connection.makefile("rb")
        status = stream.readline().decode()
        assert " 101 " in status, status
        while stream.readline() not in (b"\r\n", b""):
            continue
        found = Socket()
        reader = threading.Thread(target=_read, args=(stream, found))
        reader.start()
        try:
            yield found
        finally:
            if found.closed_at is None:
                connection.shutdown(socket.SHUT_RDWR)
            reader.join()


def _read(stream: IO[bytes], found: Socket) -> None:
    """Frames of text until the end; the example sends no other, and none of 126 bytes or more."""
    with suppress(OSError, ValueError):  # cut in the middle of a frame, or silent for too long
        while len(head := stream.read(2)) == 2:
            found.said.append(json.loads(stream.read(head[1])))
    found.closed_at = SystemClock().now()
