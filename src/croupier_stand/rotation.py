"""Keeps a stand's logs from filling the disk: of each the newest part stays, and the part before it as ``NAME.1``.

Stepped by the supervisor. Two ways, for two kinds of writer:

- Envoy reopens its access log when told to. The file is moved away and nothing is lost: until there is a new one Envoy
  writes to the old one, and the tally reads that to its end first.
- Processes hold their log open for appending and know nothing of it. It is copied and cut to nothing; what is written
  between the two, a line or so, is lost.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import aiohttp

_LOG = logging.getLogger(__name__)
ACCESS_LOG_BYTES = 32 * 1024 * 1024
"""About ten minutes of a stand at full load."""
LOG_BYTES = 8 * 1024 * 1024
_LOOK_SECONDS = 5.0


def before(log: Path) -> Path:
    """Where the part before the newest is."""
    return log.with_name(f"{log.name}.1")


class Rotation:
    """The logs of one stand. ``admin_url``: Envoy's admin interface. ``logs`` gives those of the processes."""

    def __init__(self, access_log: Path, admin_url: str, logs: Callable[[], Iterable[Path]]) -> None:
        self._access_log = access_log
        self._logs = logs
        self._reopen_url = f"{admin_url}/reopen_logs"
        self._look_after = 0.0

    async def step(self, client: aiohttp.ClientSession, now: float) -> None:
        """Look at all sizes, every few seconds. ``now`` is monotonic. What fails is tried again at the next look."""
        if now < self._look_after:
            return
        self._look_after = now + _LOOK_SECONDS
        try:
            await asyncio.to_thread(self._rotate)
            if not self._access_log.exists() and before(self._access_log).exists():
                async with client.post(self._reopen_url) as answer:
                    answer.raise_for_status()
        except (OSError, aiohttp.ClientError) as error:  # TimeoutError is an OSError
            _LOG.warning("logs are not rotated: %s", error or type(error).__name__)

    def _rotate(self) -> None:
        if _size(self._access_log) > ACCESS_LOG_BYTES:
            self._access_log.replace(before(self._access_log))
        for log in self._logs():
            if _size(log) > LOG_BYTES:
                _copy_and_cut(log)


def _copy_and_cut(log: Path) -> None:
    copy = log.with_name(f".{log.name}.copy")
    try:
        shutil.copyfile(log, copy)
        copy.replace(before(log))
    finally:
        copy.unlink(missing_ok=True)
    os.truncate(log, 0)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
