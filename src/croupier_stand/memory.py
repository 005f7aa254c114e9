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
from pathlib import Path
from types import TracebackType
from typing import Self

from croupier_kit.clock import now


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
