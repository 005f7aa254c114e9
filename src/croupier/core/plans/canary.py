"""The canary plan: a new version beside the old one, more players at each step, the old one kept until the end (S4.5).

    prepare   the canary's pods run and are ready; nobody is on them
    5 % …     enough pods, then the split; gates watch until the required ones pass (S4.6)
    100 %     everybody is on the canary, the old version stays ready through the bake
    finish    the canary becomes the one version that serves; the old one is retired

Stable is never scaled down while the plan lives, so that the way back needs no scale-up. Called by the engine's use
cases; pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from croupier.model.base import Digest
from croupier.model.plan import (
    Action,
    EnsureVersion,
    Hold,
    Plan,
    ReplicasReady,
    Retire,
    SetSplit,
    Settle,
    Settled,
    SplitConfirmed,
    Step,
)
from croupier.model.release import Release
from croupier.model.service import Service
from croupier.model.traffic import WHOLE

SETTLE_SECONDS = 30.0
"""Longest time from setting a split to its confirmation by the data plane and by the players seen."""

ROTATION = 3819
"""Slots between the hash windows of consecutive releases: WHOLE x (1 - golden ratio's fraction). Consecutive multiples
of it fill the ring most evenly, so the same players are not the first of every release."""

FULL_FROM = 50
"""From this weight on the canary has all its pods: half of the players may arrive at once after a lost pod."""


def plan_canary(
    *,
    run: str,
    service: Service,
    stable: Digest,
    canary: Digest,
    release: Release,
    ordinal: int,
    dispersion: Mapping[str, float],
) -> Plan:
    """Write the whole plan of one release.

    Args:
        run: id of the run, stamped on requests.
        service: the declared service; its ``replicas`` are the demand.
        stable: what serves now.
        canary: what is to serve.
        release: what was asked for, defaults filled in.
        ordinal: number of the release, from 0; turns the hash window.
        dispersion: series -> dispersion of stable, at least 1.0, fixed for the run.
    """
    offset = ordinal * ROTATION % WHOLE
    back_revision = len(release.steps) + 1

    def split(weight: int, revision: int) -> SetSplit:
        return SetSplit(
            service=service.name,
            stable=stable,
            canary=canary,
            weight=weight,
            offset=offset,
            revision=revision,
        )

    retire = Retire(service=service.name, digest=canary)
    # Capacity first, then traffic: stable can carry everybody before anybody returns to it.
    way_back: tuple[Action, ...] = (
        EnsureVersion(service=service.name, digest=stable, replicas=service.replicas),
        split(0, back_revision),
        Settle(service=service.name, digest=stable),
        retire,
    )
    first = canary_replicas(service, release.steps[0])
    steps = [
        Step(
            name="prepare",
            weight=0,
            actions=(EnsureVersion(service=service.name, digest=canary, replicas=first),),
            settled=(ReplicasReady(service=service.name, digest=canary, replicas=first),),
            settle_seconds=release.ready_seconds,
            hold=Hold(gates=False, dwell_seconds=0.0, deadline_seconds=release.ready_seconds, at_deadline="back"),
            way_back=(retire,),
        )
    ]
    for revision, weight in enumerate(release.steps, start=1):
        replicas = canary_replicas(service, weight)
        steps.append(
            Step(
                name=f"{weight} %",
                weight=weight,
                actions=(
                    EnsureVersion(service=service.name, digest=canary, replicas=replicas),
                    split(weight, revision),
                ),
                settled=(
                    ReplicasReady(service=service.name, digest=canary, replicas=replicas),
                    SplitConfirmed(service=service.name, revision=revision, canary=canary, weight=weight),
                ),
                settle_seconds=release.ready_seconds + SETTLE_SECONDS,
                hold=Hold(
                    # At 100 % there is no control left to compare with: the bake watches, and asks for no evidence.
                    gates=weight < 100,
                    dwell_seconds=release.dwell_seconds if weight < 100 else release.bake_seconds,
                    deadline_seconds=release.deadline_seconds + (release.bake_seconds if weight == 100 else 0.0),
                    at_deadline="back" if service.tier == "money" else "hold",
                ),
                way_back=way_back,
            )
        )
    steps.append(
        Step(
            name="finish",
            weight=100,
            actions=(Settle(service=service.name, digest=canary), Retire(service=service.name, digest=stable)),
            settled=(Settled(service=service.name, digest=canary),),
            settle_seconds=SETTLE_SECONDS,
            hold=Hold(gates=False, dwell_seconds=0.0, deadline_seconds=SETTLE_SECONDS, at_deadline="hold"),
            # The point of no return: the bake is over, and going back is a release of the old version.
            way_back=(),
        )
    )
    return Plan(
        run=run,
        service=service.name,
        stable=stable,
        canary=canary,
        release=release,
        tier=service.tier,
        steps=tuple(steps),
        drain_seconds=service.drain_seconds,
        dispersion=dict(dispersion),
    )


def canary_replicas(service: Service, weight: int) -> int:
    """Pods the canary needs at ``weight`` percent: its share of the demand, two at least, all from half on."""
    if weight >= FULL_FROM:
        return service.replicas
    share = -(-service.replicas * weight // 100)
    return min(service.replicas, max(2, share))
