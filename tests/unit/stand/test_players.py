"""The crowd: who sits down, and when."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from croupier_stand.counts import Counts
from croupier_stand.door import GaveUp, Reply
from croupier_stand.load import Load
from croupier_stand.memory import Memory
from croupier_stand.players import Crowd, Player
from croupier_stand.script import GAMES, Move


class Casino:
    """A front door that offers a lobby and takes every bet; ``asked``: path after path."""

    def __init__(self, *lobbies: Sequence[str] | None) -> None:
        self.lobbies = list(lobbies)
        self.asked: list[str] = []

    async def ask(self, _operation: str, _method: str, path: str, **_: Any) -> Reply:
        self.asked.append(path)
        if path == "/identity/login":
            return Reply(200, {"token": "t"})
        if path == "/bets/games":
            offered = self.lobbies.pop(0)
            if offered is None:
                raise GaveUp(path)
            return Reply(200, {"games": offered})
        return Reply(200, {"round": "r", "state": "settled", "win": 0})


async def sittings(casino: Casino, count: int, memory: Path) -> Counts:
    counts = Counts(0.0)
    door: Any = casino
    with Memory(memory) as notes:
        player = Player("p00001", 1, door, counts, notes)
        for _ in range(count):
            await player.sit([Move("bet", 0.0, 100, game) for game in GAMES])
    return counts


async def test_a_player_looks_at_the_lobby_once_and_bets_on_what_is_offered_there(tmp_path: Path) -> None:
    """A version that hides two games of five has 40 % fewer bets, and nothing that fails."""
    casino = Casino(("roulette", "blackjack", "baccarat"))
    counts = await sittings(casino, 1, tmp_path / "m")
    assert counts.ended["bet"] == {"done": 3}
    assert (casino.asked.count("/bets/games"), casino.asked.count("/bets/rounds")) == (1, 3)


async def test_a_lobby_that_does_not_open_is_remembered_from_the_last_time(tmp_path: Path) -> None:
    counts = await sittings(Casino(None, ("slots",), None), 3, tmp_path / "m")
    assert counts.ended["bet"] == {"done": 5 + 1 + 1}


def test_nobody_sits_twice_at_once_though_many_are_seated_before_any_task_runs() -> None:
    """A crowd that catches up seats many in a row."""
    nobody: Any = None
    load = Load(seed=1, players=40, deposits_per_second=1.0, bets_per_second=1.0)
    crowd = Crowd(load, nobody, nobody)
    seated = [player.name for _ in range(300) if (player := crowd._seat()) is not None]
    assert len(seated) > 30
    assert len(seated) == len(set(seated))
