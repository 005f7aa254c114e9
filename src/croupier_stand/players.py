"""The players: ``python -m croupier_stand.players``. Thousands of people in one process, with a memory of their own.

They know only what a player knows: the public address, their password, and what they were told. Whatever the casino
acknowledged they write down (``memory``); the audit later holds the casino to it. Sittings begin at random at a steady
rate; a player never sits twice at once.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import uvloop

from croupier_kit import logs
from croupier_kit.clock import now
from croupier_stand.casino import passwords
from croupier_stand.casino.schema import player_ids
from croupier_stand.counts import Counts, attend, until
from croupier_stand.door import Door, GaveUp, Reply, client
from croupier_stand.load import Load
from croupier_stand.memory import Memory
from croupier_stand.script import GAMES, Move, Rates, sitting

_CREDIT_POLLS_SECONDS = (1.5, 1.5, 3.0, 6.0)
"""Pauses before each look at a payment that is under way; after the last, the player gives up waiting."""
_MOST_SITTINGS = 500
"""More than twice what sits at the usual pace. A casino that has stopped answering is not buried in retries."""
_LEAVE_SECONDS = 3.0


class Settings(NamedTuple):
    """Where to play, and where to write down what happened."""

    url: str
    memory: Path
    stats: Path
    load: Load


class Player:
    """One player: what they were told, and the moves they can make."""

    def __init__(self, name: str, seed: int, door: Door, counts: Counts, memory: Memory) -> None:
        self.name = name
        self.random = Random(f"{seed}/{name}")
        self._door = door
        self._counts = counts
        self._memory = memory
        self._token = ""
        self._keys = 0
        self._offered: Collection[str] = GAMES
        """The games in the lobby when it was last seen."""

    async def sit(self, moves: list[Move]) -> None:
        """Make the moves, one after the other. A player who cannot get in leaves."""
        self._counts.players.add(self.name)
        if not self._token and moves[0].kind != "login":
            moves = [Move("login", 0.0), *moves]
        has_looked = False
        for move in moves:
            await asyncio.sleep(move.pause_seconds)
            if move.kind == "bet" and not has_looked:
                has_looked = True
                await self._look_around()
            if move.kind == "bet" and move.with_ not in self._offered:
                continue  # the game this player came for is not there
            outcome = await self._make(move)
            self._counts.add(move.kind, outcome)
            if not self._token:
                return

    async def _make(self, move: Move) -> str:
        try:
            match move.kind:
                case "login":
                    return await self._log_in()
                case "deposit":
                    return await self._deposit(move)
                case "bet":
                    return await self._bet(move)
                case "withdrawal":
                    return await self._withdraw(move)
        except GaveUp:
            return "failed"

    async def _log_in(self) -> str:
        self._token = ""
        body = {"password": passwords.of(self.name)}
        reply = await self._door.ask("login", "POST", "/identity/login", player=self.name, body=body)
        self._token = str(reply.body.get("token", "")) if reply.status == 200 else ""
        return "done" if self._token else "failed"

    async def _look_around(self) -> None:
        """See which games there are. Who cannot see the lobby plays what was there last time."""
        try:
            reply = await self._door.ask("lobby", "GET", "/bets/games", player=self.name, token=self._token)
        except GaveUp:
            return
        if reply.status == 200:
            self._offered = frozenset(reply.body.get("games", ()))

    async def _deposit(self, move: Move) -> str:
        body = {"amount": move.amount, "currency": "EUR", "psp": move.with_}
        payment = await self._begin("deposit", "/payments/deposits", body)
        if payment is None:
            return "declined"
        state = await self._wait(payment, f"/payments/deposits/{payment}", until=("credited", "declined"))
        self._memory.note("deposit-seen", player=self.name, id=payment, state=state)
        return {"credited": "done", "declined": "declined"}.get(state, "failed")

    async def _withdraw(self, move: Move) -> str:
        body = {"amount": move.amount, "currency": "EUR", "psp": move.with_}
        payment = await self._begin("withdrawal", "/payments/withdrawals", body)
        return "declined" if payment is None else "done"

    async def _begin(self, kind: str, path: str, body: Mapping[str, Any]) -> str | None:
        """Ask for a payment; its id, or None when the casino says a clean no. Raises ``GaveUp``."""
        key = self._new_key()
        self._memory.note(f"{kind}-asked", player=self.name, key=key, amount=body["amount"], psp=body["psp"])
        reply = await self._ask(kind, path, key, body)
        if reply.status != 201 or reply.body.get("state") == "refused":
            return None
        payment = str(reply.body["id"])
        self._memory.note(
            f"{kind}-accepted", player=self.name, key=key, id=payment, amount=body["amount"], psp=body["psp"]
        )
        return payment

    async def _wait(self, payment: str, path: str, until: tuple[str, ...]) -> str:
        """Look at a payment now and then until it is decided; its last known state."""
        state = "pending"
        for pause in _CREDIT_POLLS_SECONDS:
            await asyncio.sleep(pause)
            try:
                reply = await self._door.ask("poll", "GET", path, player=self.name, token=self._token)
            except GaveUp:
                continue
            state = str(reply.body.get("state", state))
            if state in until:
                break
        return state

    async def _bet(self, move: Move) -> str:
        key = self._new_key()
        body = {"game": move.with_, "stake": move.amount}
        self._memory.note("bet-asked", player=self.name, key=key, amount=move.amount)
        reply = await self._ask("bet", "/bets/rounds", key, body)
        if reply.status != 200:
            return "declined"
        state, win = str(reply.body["state"]), int(reply.body.get("win") or 0)
        self._memory.note(
            "bet-answered",
            player=self.name,
            key=key,
            id=str(reply.body["round"]),
            amount=move.amount,
            state=state,
            win=win,
        )
        return "done" if state == "settled" else "declined"

    async def _ask(self, operation: str, path: str, key: str, body: Mapping[str, Any]) -> Reply:
        reply = await self._door.ask(operation, "POST", path, player=self.name, token=self._token, key=key, body=body)
        if reply.status == 401:
            self._token = ""
        return reply

    def _new_key(self) -> str:
        self._keys += 1
        # The start of the process is part of it: players that begin anew must not use a key for a second thing.
        return f"{self.name}-{int(self._counts.began * 1000):x}-{self._keys}"


class Crowd:
    """All players, and the beat at which they sit down."""

    def __init__(self, load: Load, door: Door, memory: Memory) -> None:
        self._random = Random(load.seed)
        self._rates = Rates.of(load)
        self.counts = Counts(now())
        self._players = [Player(name, load.seed, door, self.counts, memory) for name in player_ids(load.players)]
        self._eagerness = [self._random.lognormvariate(0.0, 0.7) for _ in self._players]
        self._sitting: set[Player] = set()

    async def play(self, told_to_leave: asyncio.Event) -> None:
        """Let players sit down until told to leave; those who sit may finish for a few seconds."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tables:
            sittings: set[asyncio.Task[None]] = set()
            begin = loop.time()
            while not told_to_leave.is_set():
                begin += self._random.expovariate(self._rates.sittings_per_second)
                await until(told_to_leave, begin - loop.time())
                player = self._seat()
                if player is not None:
                    task = tables.create_task(self._sit(player))
                    sittings.add(task)
                    task.add_done_callback(sittings.discard)
            if sittings:
                await asyncio.wait(sittings, timeout=_LEAVE_SECONDS)
            for task in sittings:
                task.cancel()

    def _seat(self) -> Player | None:
        """A player who did not sit and does from now on; None when the house is full."""
        if len(self._sitting) >= _MOST_SITTINGS:
            return None
        found = self._random.choices(self._players, self._eagerness, k=4)
        player = next((player for player in found if player not in self._sitting), None)
        if player is not None:
            self._sitting.add(player)  # now, not when the task runs: the next may be seated before that
        return player

    async def _sit(self, player: Player) -> None:
        try:
            await player.sit(sitting(player.random, self._rates.bets_per_sitting))
        finally:
            self._sitting.discard(player)


async def run(settings: Settings) -> None:
    """Play until SIGTERM."""
    async with client() as session:
        door = Door(session, settings.url, now, Random(settings.load.seed + 1))
        with Memory(settings.memory) as memory:
            crowd = Crowd(settings.load, door, memory)
            await attend(crowd.play, crowd.counts, door, settings.stats)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m croupier_stand.players")
    Load.declare(parser)
    load = Load.read(parser.parse_args())
    logs.configure("players")
    told = os.environ
    settings = Settings(told["PUBLIC_URL"], Path(told["PLAYERS_MEMORY"]), Path(told["PLAYERS_STATS"]), load)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings))


if __name__ == "__main__":
    main()
