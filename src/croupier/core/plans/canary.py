"""The canary's moves: a new version beside the old one, more players at each, the old one kept until the end (S4.5).

    5 % …     enough pods, then the split; gates watch until the required ones pass (S4.6)
    99 %      all but the hold-back (the money tier's 1 %) are on the canary, the old version stays ready through the
              bake; without a hold-back 100 %: then there is nobody left to compare with

Stable is never scaled down while the plan lives, so that the way back needs no scale-up. Pure.
"""

from __future__ import annotations

from croupier.core.plans.move import Move
from croupier.model.release import Release
from croupier.model.service import Service

MONEY_HOLD_BACK = 1
"""Enough to tell an outage of everybody from a fault of the canary, and few players to move last."""

FULL_FROM = 50
"""From this weight on the canary has all its pods: half of the players may arrive at once after a lost pod."""


def canary_moves(service: Service, release: Release) -> tuple[Move, ...]:
    bake = 100 - hold_back(release, service)
    weights = (*release.steps[:-1], bake)
    return tuple(
        Move(f"{weight} %", weight, canary_replicas(service, weight), None, "gates" if weight < bake else "bake")
        for weight in weights
    )


def hold_back(release: Release, service: Service) -> int:
    """Percent of players that stay with the old version until the bake is over.

    None where everybody moves at once: there nothing is compared. Never so many that players of the step before would
    have to return: weights only rise.
    """
    if release.steps[0] == 100:
        return 0
    asked = release.hold_back_percent
    if asked is None:
        asked = MONEY_HOLD_BACK if service.tier == "money" else 0
    return min(asked, 99 - release.steps[-2])


def canary_replicas(service: Service, weight: int) -> int:
    """Pods the canary needs at ``weight`` percent: its share of the demand, two at least, all from half on."""
    if weight >= FULL_FROM:
        return service.replicas
    share = -(-service.replicas * weight // 100)
    return min(service.replicas, max(2, share))
