"""The rolling moves: old pods make way for new ones batch by batch, players move with the pods, gates watch between.

    25 %          so many of the pods are new, and so many of the players are on them; gates watch
    room for 50 % as many old pods as may be missing leave, so that the next batch finds room
    50 % …        the next batch
    100 %         everybody is on new pods; the last old ones stay through the bake

For where capacity does not allow a second set of pods. It costs what a canary keeps: the way back has to start old pods
again before players return. Bounds, held at every moment: never more than ``replicas + max_surge`` pods, never fewer
than ``replicas - max_unavailable`` that serve. A pod leaves the split before it ends. Pure.
"""

from __future__ import annotations

from typing import NamedTuple

from croupier.core.plans.move import Move
from croupier.model.release import Release
from croupier.model.service import Service


class Batch(NamedTuple):
    """How many pods of each version there are once a batch is done; ``room``: old ones while it begins."""

    new: int
    old: int
    room: int

    @property
    def weight(self) -> int:
        """Percent of players on new pods, were all as large as each other."""
        return 100 if self.old == 0 else max(1, min(99, round(100 * self.new / (self.new + self.old))))


def batches(replicas: int, max_surge: int, max_unavailable: int) -> tuple[Batch, ...]:
    """The batches of a service of ``replicas`` pods. ``max_surge`` is 1 or more.

    The first batch only adds, because nobody has seen a new pod serve before it. In the last one ``old`` is 0 for the
    players; one old pod at least is kept all the same, so that there is somebody to go back to.
    """
    found: list[Batch] = []
    new, old = 0, replicas
    while new < replicas:
        room = old if not found else max(old - max_unavailable, 1)
        new = min(replicas, replicas + max_surge - room)
        old = max(0, replicas - new)
        found.append(Batch(new, old, room))
    return tuple(found)


def rolling_steps(service: Service, release: Release) -> tuple[int, ...]:
    """Percent of players after each batch: what ``release.steps`` is for a rolling release."""
    found = batches(service.replicas, release.max_surge, release.max_unavailable)
    return tuple(batch.weight for batch in found)


def rolling_moves(service: Service, release: Release) -> tuple[Move, ...]:
    moves: list[Move] = []
    before: Batch | None = None
    for batch in batches(service.replicas, release.max_surge, release.max_unavailable):
        name, is_last = f"{batch.weight} %", batch.new == service.replicas
        if before is not None and batch.room < before.old:
            moves.append(Move(f"room for {name}", before.weight, before.new, batch.room, "next"))
        kept = batch.room if is_last else batch.old
        moves.append(Move(name, batch.weight, batch.new, kept, "bake" if is_last else "gates"))
        before = batch
    return tuple(moves)
