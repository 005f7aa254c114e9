"""The plan of a release: prepare, the moves of its strategy, finish, and the way back from each (S4.5).

    prepare   the canary's first pods run and are ready; nobody is on them
    …         the moves, each with enough pods before the players (``canary.py``, ``rolling.py``)
    finish    the canary becomes the one version that serves; what is left of the old one is retired, where players hold
              sockets to it: once those are closed, or ``drainSeconds`` later (``core.drain``)

Called by the engine's use cases; pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from croupier.core.plans.canary import canary_moves
from croupier.core.plans.rolling import rolling_moves
from croupier.model.base import Digest
from croupier.model.plan import (
    Action,
    EnsureVersion,
    Hold,
    Plan,
    Reduce,
    ReplicasReady,
    Retire,
    SetSplit,
    Settle,
    Settled,
    SplitConfirmed,
    Step,
)
from croupier.model.release import BakeSeconds, Release
from croupier.model.service import Service
from croupier.model.traffic import WHOLE

SETTLE_SECONDS = 30.0
"""Longest time from setting a split to its confirmation by the data plane and by the players seen."""

ROTATION = 3819
"""Slots between the hash windows of consecutive releases: WHOLE x (1 - golden ratio's fraction). Consecutive multiples
of it fill the ring most evenly, so the same players are not the first of every release."""

SCRAPES_TO_RETURN = 3
"""How many looks gates have at the first step of a way back: what they see in fewer is mostly its first second."""

_MOVES = {"canary": canary_moves, "rolling": rolling_moves}


def at_once(release: Release) -> Release:
    """The same release in one step: for who must not wait for what steps and gates would ask."""
    return release.model_copy(update={"steps": (100,), "strategy": "canary", "hold_back_percent": 0})


def as_return(release: Release) -> Release:
    """The release of the version that served before, as who undoes the last one wants it (ADR 22).

    Its first step for a few scrapes, then everybody: gates may only take it back, and nobody waits for what they cannot
    tell (``core.due.asks_no_proof``). A rolling one keeps its batches.
    """
    gates = tuple(
        gate.model_copy(
            update={"role": "veto", "strata": tuple(each.model_copy(update={"required": ()}) for each in gate.strata)}
        )
        for gate in release.policy.gates
    )
    return release.model_copy(
        update={
            "steps": tuple(dict.fromkeys((release.steps[0], 100))),
            "dwell_seconds": SCRAPES_TO_RETURN * release.scrape_seconds,
            "hold_back_percent": 0,
            "policy": release.policy.model_copy(update={"gates": gates}),
        }
    )


def cannot_be_judged(*, returns: bool, is_confirmed: bool, is_up: bool) -> bool:
    """Whether a release goes ``at_once`` and without gates, because they would wait for who does not answer (ADR 21).

    ``returns``: it goes back to the version that served before. ``is_confirmed``: the data plane says that the split is
    in force. ``is_up``: the version that serves has a ready pod.
    """
    return returns and not (is_confirmed and is_up)


def plan_release(
    *,
    run: str,
    service: Service,
    stable: Digest,
    canary: Digest,
    release: Release,
    ordinal: int,
    dispersion: Mapping[str, float],
    few_pods: Sequence[str] = (),
) -> Plan:
    """Write the whole plan of one release.

    Args:
        run: id of the run, stamped on requests.
        service: the declared service; its ``replicas`` are the demand.
        stable: what serves now.
        canary: what is to serve.
        release: what was asked for, defaults filled in; ``steps`` of a rolling one are ``rolling_steps``.
        ordinal: number of the release, from 0; turns the hash window.
        dispersion: series -> dispersion of stable, at least 1.0, fixed for the run.
        few_pods: series of which stable has one pod or two.
    """
    name = service.name
    moves = _MOVES[release.strategy](service, release)
    bake = BakeSeconds().of(service.tier) if release.bake_seconds is None else release.bake_seconds

    def split(weight: int, revision: int, stable_pods: int | None = None) -> SetSplit:
        return SetSplit(
            service=name,
            stable=stable,
            canary=canary,
            weight=weight,
            offset=ordinal * ROTATION % WHOLE,
            revision=revision,
            stable_pods=stable_pods,
        )

    def ensure(digest: Digest, replicas: int) -> EnsureVersion:
        return EnsureVersion(service=name, digest=digest, replicas=replicas)

    def ready(replicas: int) -> ReplicasReady:
        return ReplicasReady(service=name, digest=canary, replicas=replicas)

    retire = Retire(service=name, digest=canary)

    def back(revision: int) -> tuple[Action, ...]:
        """Capacity first, then traffic: stable can carry everybody before anybody returns to it."""
        settle = Settle(service=name, digest=stable)
        return ensure(stable, service.replicas), split(0, revision), settle, retire

    way_back = back(len(moves) + 1)
    steps = [
        Step(
            name="prepare",
            weight=0,
            actions=(ensure(canary, moves[0].replicas),),
            settled=(ready(moves[0].replicas),),
            settle_seconds=release.ready_seconds,
            hold=Hold(gates=False, dwell_seconds=0.0, deadline_seconds=release.ready_seconds, at_deadline="back"),
            way_back=(retire,),
        )
    ]
    for revision, move in enumerate(moves, start=1):
        actions: tuple[Action, ...] = (ensure(canary, move.replicas), split(move.weight, revision, move.kept))
        if move.kept is not None:
            actions += (Reduce(service=name, digest=stable, replicas=move.kept),)
        bake_seconds = bake if move.then == "bake" else 0.0
        steps.append(
            Step(
                name=move.name,
                weight=move.weight,
                actions=actions,
                settled=(
                    ready(move.replicas),
                    SplitConfirmed(service=name, revision=revision, canary=canary, weight=move.weight),
                ),
                settle_seconds=release.ready_seconds + SETTLE_SECONDS,
                hold=Hold(
                    gates=move.then == "gates",
                    dwell_seconds=release.dwell_seconds if move.then == "gates" else bake_seconds,
                    deadline_seconds=release.deadline_seconds + bake_seconds,
                    at_deadline="back" if service.tier == "money" else "hold",
                ),
                way_back=way_back,
            )
        )
    # A version that has left the edge has no sockets that could be counted: players leave it first.
    has_sockets = service.traffic == "websocket"
    leave = (split(100, len(moves) + 2),) if has_sockets and moves[-1].weight < 100 else ()
    steps.append(
        Step(
            name="finish",
            weight=100,
            actions=(*leave, Settle(service=name, digest=canary), Retire(service=name, digest=stable)),
            settled=(Settled(service=name, digest=canary),),
            settle_seconds=SETTLE_SECONDS,
            hold=Hold(gates=False, dwell_seconds=0.0, deadline_seconds=SETTLE_SECONDS, at_deadline="hold"),
            # The bake is over, and going back is a release of the old version; but not while that has sockets still, or
            # nobody confirms that it is left.
            way_back=back(len(moves) + 3) if has_sockets else way_back,
        )
    )
    return Plan(
        run=run,
        service=name,
        stable=stable,
        canary=canary,
        release=release,
        tier=service.tier,
        steps=tuple(steps),
        drain_seconds=service.drain_seconds,
        waits_for_sockets=has_sockets,
        dispersion=dict(dispersion),
        few_pods=tuple(few_pods),
    )
