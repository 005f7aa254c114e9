"""What a tally remembers over its own restart: whom a run has affected, so that no first failure is counted twice.

A file of JSON lines ``[service, run, signal, player, stretch]``: what is new is appended as soon as it is counted, and
now and then the whole is written anew with what the fold still knows, so that it does not grow for ever. It survives
the process and not a power cut, and neither does a tally.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from croupier_kit import logs
from croupier_kit.tally_fold import Affected

log = logging.getLogger(__name__)


class TallyMemory:
    """``path`` None: nothing is remembered."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def read(self) -> Iterator[Affected]:
        """All that is remembered. Lines that cannot be read, as one torn by a crash, are left out."""
        if self._path is None or not self._path.exists():
            return
        for line in self._path.read_bytes().splitlines():
            try:
                service, run, signal, player, stretch = json.loads(line)
                yield Affected(str(service), str(run), str(signal), str(player), float(stretch))
            except (ValueError, TypeError):
                log.warning("not understood in the memory of the tally", extra=logs.fields(line=repr(line[:80])))

    def append(self, affected: Iterable[Affected]) -> None:
        """Remember more."""
        if self._path is not None and (text := _text(affected)):
            try:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(text)
            except OSError as error:  # a full disk must not stop the count
                log.warning("the tally cannot remember", extra=logs.fields(why=str(error)))

    def rewrite(self, affected: Iterable[Affected]) -> None:
        """Remember this and nothing else."""
        if self._path is None:
            return
        new = self._path.with_name(f".{self._path.name}.new")
        try:
            new.write_text(_text(affected), encoding="utf-8")
            os.replace(new, self._path)
        except OSError as error:
            log.warning("the tally cannot remember", extra=logs.fields(why=str(error)))


def _text(affected: Iterable[Affected]) -> str:
    return "".join(f"{json.dumps(each)}\n" for each in affected)
