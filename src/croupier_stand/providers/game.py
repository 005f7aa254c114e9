"""The game provider: ``python -m croupier_stand.providers.game --port 0 …``.

Routes:
    ``POST /rounds`` ``{"round", "player", "game", "stake"}`` → 200 ``{"round", "win"}`` (cents); the same round again
        gives the same answer; 409 for a round that was rolled back; now and then 503, and then nothing was played.
    ``POST /rounds/{round}/rollback`` → 200; a round never heard of is remembered as void.
    ``GET /books?after=`` → the provider's books, see ``books``. Kinds: ``round`` (``more.win``), ``void``.

What a round wins hangs on seed and round only; the return to player is 96 %.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from croupier_kit import service
from croupier_kit.clock import now
from croupier_stand.casino import pod
from croupier_stand.providers.books import Books, dice

_PAYTABLE = ((0.004, 50), (0.036, 8), (0.236, 2))
"""(chance, times the stake): 0.200 + 0.288 + 0.472 = 0.96."""
_FAILED_RATIO = 0.0005


def win(seed: int, round_: str, stake: int) -> int:
    """What a round wins, in cents."""
    turn, reached = dice(seed, "round", round_).random(), 0.0
    for chance, times in _PAYTABLE:
        reached += chance
        if turn < reached:
            return stake * times
    return 0


class GameProvider:
    def __init__(self, seed: int, books: Books, failed_ratio: float) -> None:
        self._seed, self._books, self._failed_ratio = seed, books, failed_ratio
        entries = books.after(0)
        self._played = {entry.id: int(entry.more["win"]) for entry in entries if entry.kind == "round"}
        self._void = {entry.id for entry in entries if entry.kind == "void"}

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/rounds", self.play),
            web.post("/rounds/{round}/rollback", self.roll_back),
            web.get("/books", self._books.show),
        ]

    async def play(self, request: web.Request) -> web.Response:
        body = await pod.body_of(request)
        round_, player, game = (pod.text_in(body, name) for name in ("round", "player", "game"))
        stake = pod.cents_in(body, "stake")
        if round_ in self._void:
            return web.json_response({"error": "this round was rolled back"}, status=409)
        if round_ not in self._played:
            if dice(self._seed, "failed", round_).random() < self._failed_ratio:
                return web.json_response({"error": "no table is free"}, status=503)
            won = win(self._seed, round_, stake)
            self._books.add("round", round_, player, stake, game=game, win=won)
            self._played[round_] = won
        return web.json_response({"round": round_, "win": self._played[round_]})

    async def roll_back(self, request: web.Request) -> web.Response:
        round_ = request.match_info["round"]
        if round_ not in self._void:
            self._books.add("void", round_, "", 0)
            self._void.add(round_)
        return web.json_response({"round": round_})


def factory(seed: int, books_path: Path | None, *, failed_ratio: float = _FAILED_RATIO) -> service.Factory:
    @asynccontextmanager
    async def make(settings: service.PodSettings) -> AsyncIterator[service.Pod]:
        books = Books(books_path, now)
        try:
            yield service.Pod(settings, GameProvider(seed, books, failed_ratio).routes())
        finally:
            books.close()

    return make


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the game provider")
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--books", type=Path, help="file that keeps the books over restarts")
    given = parser.parse_args()
    environment = {"POD_NAME": "games", "CROUPIER_SERVICE": "games", "PORT": str(given.port), "DRAIN_SECONDS": "1"}
    service.run(factory(given.seed, given.books), environment)


if __name__ == "__main__":
    main()
