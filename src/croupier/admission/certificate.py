"""The server's certificate, read again when its files change, without a request that fails.

Each pair of files becomes a TLS context of its own, so a pair that does not fit together is found before anybody is
shown it; a handshake takes the newest context that was sound. Connections that are open stay as they are.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Callable
from datetime import UTC
from pathlib import Path

from cryptography import x509

from croupier.errors import UsageError

LOOK_SECONDS = 1.0
"""How often the files are looked at."""

log = logging.getLogger(__name__)


class Certificate:
    """``context`` is what a server is given, once."""

    def __init__(self, cert: Path, key: Path) -> None:
        """Raises ``UsageError`` for files that are no certificate with its key."""
        self.on_look: Callable[[float | None], None] = lambda _: None
        """Told of each look at changed files: when the new certificate ends, None: it could not be used."""
        self._cert = cert
        self._key = key
        self._seen = self._looks()
        try:
            self._newest = self._read()
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{cert} and {key} are no certificate with its key: {_why(error)}",
                hint="PEM files, as in a Secret of type kubernetes.io/tls",
            ) from error
        self.not_after = self._ends_at()
        self.context = self._made()
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._newest

    def look(self) -> bool:
        """Read the files again if they have changed; whether a new certificate is shown from now on.

        What cannot be used is said, and the one before stays; it is tried again at the next look.
        """
        looks = self._looks()
        if looks == self._seen:
            return False
        try:
            self._newest = self._read()
            self.not_after = self._ends_at()
        except (OSError, ValueError) as error:
            log.error("certificate.unusable", extra={"told": {"why": _why(error)}})
            self.on_look(None)
            return False
        self._seen = looks
        log.info("certificate.reloaded", extra={"told": {"notAfter": self.not_after}})
        self.on_look(self.not_after)
        return True

    async def watch(self) -> None:
        """Look without end."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def _read(self) -> ssl.SSLContext:
        context = self._made()
        context.load_cert_chain(self._cert, self._key)
        return context

    def _made(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def _ends_at(self) -> float:
        """Seconds since the epoch."""
        return x509.load_pem_x509_certificate(self._cert.read_bytes()).not_valid_after_utc.astimezone(UTC).timestamp()

    def _looks(self) -> tuple[object, ...]:
        """What tells one pair of files from another: a Secret's volume swaps the folder that both lie in."""
        found: list[object] = []
        for path in (self._cert, self._key):
            try:
                told = os.stat(path)
                found += [told.st_ino, told.st_mtime_ns, told.st_size]
            except OSError:
                found.append(None)
        return tuple(found)


def _why(error: OSError | ValueError) -> str:
    """Never what is in the key."""
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else type(error).__name__
