"""A partner's books: an append-only list of facts, in memory and in a file, so that a restart forgets nothing."""

from __future__ import annotations

import json
import random
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

_PAGE_LIMIT = 5000


@dataclass(frozen=True, slots=True)
class Entry:
    """One fact. ``seq`` counts from 1; ``at`` is epoch seconds; ``id`` is the casino's id; ``amount`` is cents."""

    seq: int
    at: float
    kind: str
    id: str
    player: str
    amount: int
    more: Mapping[str, Any]


class Books:
    """One writer. ``path`` None: memory only."""

    def __init__(self, path: Path | None, clock: Callable[[], float]) -> None:
        """Reads what the file holds; a line torn by a crash is cut off."""
        self._clock = clock
        self._entries: list[Entry] = []
        self._lines: list[str] = []
        """The entries as JSON, so that a page of thousands costs the provider no more than joining them."""
        self._file = None
        if path is not None:
            for line in _recovered(path):
                self._lines.append(line)
                self._entries.append(Entry(**json.loads(line)))
            self._file = path.open("a", encoding="utf-8")

    def add(self, kind: str, id_: str, player: str, amount: int, **more: Any) -> Entry:
        """Write one fact down. It has reached the kernel when this returns."""
        entry = Entry(len(self._entries) + 1, self._clock(), kind, id_, player, amount, more)
        line = json.dumps(asdict(entry))
        if self._file is not None:
            self._file.write(f"{line}\n")
            self._file.flush()
        self._entries.append(entry)
        self._lines.append(line)
        return entry

    def after(self, seq: int) -> Sequence[Entry]:
        """All entries after ``seq``, oldest first."""
        return self._entries[seq:]

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    async def show(self, request: web.Request) -> web.Response:
        """``GET /books?after=SEQ&since=EPOCH`` → ``{"at", "entries": […], "more": bool}``.

        Only entries after ``after`` and not older than ``since``; both may be left out. ``at``: how far the page is
        complete.
        """
        try:
            seq, since = int(request.query.get("after", "0")), float(request.query.get("since", "0"))
        except ValueError as error:
            raise web.HTTPBadRequest(reason="after and since must be numbers") from error
        at = self._clock()
        first = max(seq, bisect_left(self._entries, since, key=lambda entry: entry.at))
        last = min(first + _PAGE_LIMIT, len(self._lines))
        more = json.dumps(last < len(self._lines))
        text = f'{{"at": {at}, "entries": [{", ".join(self._lines[first:last])}], "more": {more}}}'
        return web.Response(text=text, content_type="application/json")


def dice(seed: int, *what: str) -> random.Random:
    """Randomness that belongs to one thing: the same seed and id give the same fate, also after a restart."""
    return random.Random(f"{seed}/{'/'.join(what)}")


def _recovered(path: Path) -> Iterator[str]:
    if not path.exists():
        return
    whole = 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            yield line.decode().rstrip()
    with path.open("r+b") as file:
        file.truncate(whole)
