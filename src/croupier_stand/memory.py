"""The players' own memory: what they asked for and what they were told. The audit holds the casino to it.

One JSON line a note, handed to the kernel at once, so that a killed player process forgets nothing it was told. Every
note has ``at`` (epoch seconds), ``event`` and ``player``; amounts are cents. Events and their further fields:

    deposit-asked        key, amount, psp           before the request is sent
    deposit-accepted     key, id, amount, psp       the casino took it: 201
    deposit-seen         id, state                  the last state seen: ``credited``, ``declined``, ``pending``, …
    withdrawal-asked     key, amount, psp
    withdrawal-accepted  key, id, amount, psp       201, and not refused
    bet-asked            key, amount
    bet-answered         key, id, amount, state, win

An ``asked`` without an answer means that the player does not know what happened. A key is used for one thing only; a
repeated request has the same key.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from croupier_kit.clock import now


@dataclass(frozen=True, slots=True)
class Note:
    """One note as read back. Fields that an event does not have are "" or 0."""

    at: float
    event: str
    player: str
    key: str = ""
    id: str = ""
    psp: str = ""
    state: str = ""
    amount: int = 0
    win: int = 0


def read(path: Path) -> Sequence[Note]:
    """All notes, oldest first; none when there is no file. A last line torn by a crash is left out.

    Raises:
        ValueError: for a line in the middle that is no note.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return ()
    try:
        return tuple(Note(**json.loads(line)) for line in lines[:-1])
    except TypeError as error:
        raise ValueError(f"{path} holds a line that is no note: {error}") from error


class Memory:
    """Appends notes to a file. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        self._stream = self._path.open("a", buffering=1, encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    def note(self, event: str, *, player: str, **facts: str | int) -> None:
        self._stream.write(json.dumps({"at": now(), "event": event, "player": player, **facts}) + "\n")
