"""The loop from what Git asks for to runs of the desk, and back to what people see.

A turn of one policy: what stands (journal, intent, live run) ▸ put back what somebody changed ▸ the one next move
(``core.intent``), through the desk ▸ what a person asked for ▸ show. Nothing begins while what serves is not as it must
be: a release from something else would compare with nothing. A way back begins all the same: what could not be put
back is shown. Whatever goes wrong with one policy is shown on it and neither touches the others nor holds them up
(``turns``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

from pydantic import ValidationError

from croupier.adapters.kubernetes_api import RELEASES, Resource
from croupier.adapters.kubernetes_cluster import Cluster, Policy
from croupier.adapters.traffic.gateway_api import GatewayTraffic
from croupier.adapters.workloads.kubernetes import KubernetesWorkloads
from croupier.core.freeze import in_force
from croupier.core.intent import LastRun, LiveRun, Move, Standing, lacking, next_move, serving
from croupier.core.plans.defaults import default_policy
from croupier.core.plans.release import as_return, at_once
from croupier.core.render.version import Owner, intent_digest
from croupier.engine.desk import Desk
from croupier.errors import CroupierError, Refused
from croupier.model.checklist import ChecklistResult
from croupier.model.freeze import Freeze
from croupier.model.objects import JsonObject
from croupier.model.release import GatePolicy, Release
from croupier.model.release_object import CommandAnswer, CommandRequest
from croupier.model.release_policy import CHECKLIST, LEAVE, RETRY
from croupier.model.service import LATENCY_EDGES, Platform, Service
from croupier.model.view import RunView
from croupier.operator import status
from croupier.operator.calendar import current_freezes, override_of
from croupier.operator.drift import Drift
from croupier.operator.memory import Memory
from croupier.operator.rivals import without_rivals
from croupier.operator.show import Show, release_name
from croupier.operator.turns import Turns

MOST_REPLICAS = 64
"""Of one version in the engine's eyes; more are scaled, and stay as they are."""
AGAIN_SECONDS = 10.0
"""A release that the desk refused is offered again after this long."""
SLACK_SECONDS = 5.0
"""A policy comes to rest this long after the versions of its last run have drained."""

log = logging.getLogger(__name__)


class Reconciler:
    """One operator's reconciler. ``round`` is called again and again, never two at a time; then ``close``.

    Attributes:
        called: set when something in the cluster has changed: the next round need not wait.
    """

    def __init__(self, desk: Desk, cluster: Cluster, workloads: KubernetesWorkloads, traffic: GatewayTraffic) -> None:
        self.called = asyncio.Event()
        self._desk = desk
        self._cluster = cluster
        self._workloads = workloads
        self._traffic = traffic
        self._show = Show(cluster)
        self._drift = Drift(desk, cluster, workloads, traffic, self._show)
        self._turns = Turns(cluster.clock)
        self._memory: dict[str, Memory] = {}
        self._platform: Platform | None = None
        self._freezes: tuple[Freeze, ...] = ()
        self._services: dict[str, Service] = {}
        """Uid of a policy -> its service, as the last turn found it."""
        self._complaints: dict[str, str] = {}
        """What could not even be shown, by uid of the policy: said once."""
        cluster.on_change(self._on_change)

    async def round(self) -> None:
        """Look at every policy that is due. Raises nothing that concerns one policy only."""
        await self._desk.open()  # what serves is the journal's word: without it everything would look like the first
        self._cluster.require_fresh()
        policies = {policy.uid: policy for policy in without_rivals(self._cluster, self._cluster.policies())}
        self._forget(policies)
        await self._bury(set(policies))
        due = [policy for policy in policies.values() if self._turns.is_due(policy.uid)]
        await self._declare(policies, due)
        for policy in due:
            self._turns.begin(policy.uid, policy.title, partial(self._turn, policy))
        await self._turns.settle()

    async def close(self) -> None:
        """Give up what is under way; the next operator looks and goes on."""
        await self._turns.close()

    def _on_change(self, kind: Resource, obj: JsonObject) -> None:
        for policy in self._cluster.concerned(kind, obj):
            self._turns.call(policy.uid)
        self.called.set()

    def _forget(self, present: dict[str, Policy]) -> None:
        self._turns.forget(present)
        self._show.forget()
        self._memory = {uid: each for uid, each in self._memory.items() if uid in present}
        self._complaints = {uid: each for uid, each in self._complaints.items() if uid in present}

    async def _bury(self, present: set[str]) -> None:
        """End runs whose policy was deleted: the cluster has taken its versions and its route away with it."""
        for run, (service, owner) in self._desk.live_owners().items():
            if owner and owner not in present and self._cluster.covers(service.partition(".")[2]):
                await self._desk.give_up(run, f"the ReleasePolicy of {service} was deleted, and its versions with it")
                log.warning("%s has ended: the ReleasePolicy of %s was deleted", run, service)

    async def _declare(self, present: dict[str, Policy], due: list[Policy]) -> None:
        """Tell the desk which services there are, with how many pods those that are looked at now have, and what
        freezes them."""
        for policy in due:
            if policy.owner is not None:
                self._services[policy.uid] = service_of(policy.owner, await self._serving(policy.owner))
        found = (self._services.get(uid) for uid, policy in present.items() if policy.owner is not None)
        platform = Platform(services=tuple(service for service in found if service is not None))
        freezes = current_freezes(self._cluster, present.values())
        if (platform, freezes) != (self._platform, self._freezes):
            await self._desk.declare(platform, freezes)
            self._platform, self._freezes = platform, freezes
            self._services = {uid: each for uid, each in self._services.items() if uid in present}

    async def _serving(self, owner: Owner) -> int:
        """How many pods carry the load now: what a canary's share is a share of."""
        return max((each.desired for each in await self._workloads.observe(owner.service)), default=0)

    # --- one policy ---------------------------------------------------------------------------------------------------

    async def _turn(self, policy: Policy) -> bool:
        """Look after one policy; whether it is at rest. Raises nothing."""
        try:
            is_at_rest = await self._policy(policy)
        except CroupierError as error:
            complaint = error.message
            if complaint != self._complaints.get(policy.uid):
                log.warning("%s: %s", policy.title, complaint)
        except Exception as error:  # one policy's bug must not stop the others
            complaint = f"{type(error).__name__}: {error}"
            if complaint != self._complaints.get(policy.uid):
                log.exception("%s", policy.title)
        else:
            self._complaints.pop(policy.uid, None)
            return is_at_rest
        self._complaints[policy.uid] = complaint
        return False

    async def _policy(self, policy: Policy) -> bool:
        owner = policy.owner
        if owner is None:
            return await self._unusable(policy)
        memory = self._memory.setdefault(owner.uid, Memory())
        run = await self._desk.last_run(owner.service, owner=owner.uid)
        faults: list[str] = []
        before = "" if run is None else await self._desk.before(owner.service)
        standing = self._standing(owner, policy.object, run, memory, faults, before=before)
        move = Move("rest", "Unknown", "") if faults else next_move(standing)
        with _noted(faults):
            await self._drift.put_back(owner, standing, memory)
        if not faults or move.kind == "abort" or move.returns:
            with _noted(faults):
                await self._carry_out(owner, move, run, memory)
        with _noted(faults):
            await self._obey(owner, run, memory)
        run = await self._desk.last_run(owner.service, owner=owner.uid)
        word = status.word_of(move, run, "; ".join(faults), memory.refused)
        await self._show.release(owner, run, memory)
        routes = self._traffic.told(owner)
        await self._show.policy(policy.object, standing.stable, standing.wanted, run, word, routes=routes)
        await self._show.tell(owner, run, memory)  # events last: after a start all of the last hour are written again
        return not faults and not memory.drift and move.kind == "rest" and self._has_drained(owner, run)

    async def _unusable(self, policy: Policy) -> bool:
        """Nothing begins by such a policy; a run that is live goes on, shows itself and obeys."""
        word = status.Word("stalled", "InvalidSpec", "; ".join(policy.problems))
        owner = policy.fallback
        run = None if owner is None else await self._desk.last_run(owner.service, owner=owner.uid)
        if owner is None or run is None:
            await self._show.policy(policy.object, None, None, None, word)
            return True
        memory = self._memory.setdefault(owner.uid, Memory())
        await self._obey(owner, run, memory)
        await self._show.release(owner, run, memory)
        stable = serving(run, intent_digest(owner.namespace, owner.spec.deployment), leaving=False)
        await self._show.policy(policy.object, stable, None, run, word, routes=self._traffic.told(owner))
        await self._show.tell(owner, run, memory)
        return run.ended_at is not None

    def _has_drained(self, owner: Owner, run: RunView | None) -> bool:
        """Whether nothing of the last run is left to be done but what a change will tell of."""
        if run is None:
            return True
        rests_from = None if run.ended_at is None else run.ended_at + owner.spec.drain_seconds + SLACK_SECONDS
        return rests_from is not None and self._cluster.clock.now() > rests_from

    def _standing(
        self, owner: Owner, obj: JsonObject, run: RunView | None, memory: Memory, faults: list[str], *, before: str
    ) -> Standing:
        """What stands; ``before``: as of ``LastRun``; ``faults`` is told why nobody can say what is wanted."""
        annotations = obj["metadata"].get("annotations") or {}
        is_leaving = annotations.get(LEAVE) == "true"
        intent = intent_digest(owner.namespace, owner.spec.deployment)
        stable = serving(run, intent, leaving=is_leaving)
        wanted = None
        with _noted(faults):
            wanted = self._workloads.wanted(owner.service)
        live = last = None
        if run is not None and run.ended_at is None:
            live = LiveRun(
                run.run,
                run.canary.digest,
                run.phase,
                aborting=run.run == memory.aborted,
                turns_back="abort" in run.commands,
            )
        elif run is not None and run.outcome is not None:
            last = LastRun(run.run, run.canary.digest, run.outcome, run.reason, before)
        return Standing(
            wanted=wanted,
            stable=stable,
            intent_runs=self._workloads.intent_replicas(owner.service) > 0,
            live=live,
            last=last,
            suspended=owner.spec.suspend,
            leaving=is_leaving,
            intent=intent,
            retry=str(annotations.get(RETRY, "")),
            checklist=owner.spec.checklist,
            lacking=self._lacking(annotations.get(CHECKLIST), wanted),
            frozen=self._frozen(owner),
            override=override_of(annotations, intent if is_leaving else wanted),
        )

    def _frozen(self, owner: Owner) -> str:
        """The freeze that keeps new releases of a service from starting now, in words; "": none."""
        found = in_force(self._freezes, owner.service, self._cluster.clock.now())
        return found[0].words if found else ""

    def _lacking(self, shown: str | None, wanted: str | None) -> str:
        """Why no checklist of what is wanted counts, in words; "" when one does, or nothing is wanted."""
        if wanted is None:
            return ""
        try:
            result = None if shown is None else ChecklistResult.model_validate_json(shown)
        except ValidationError:
            return f"its annotation {CHECKLIST} is no result of a checklist"
        return lacking(result, wanted, datetime.fromtimestamp(self._cluster.clock.now(), UTC).date())

    async def _carry_out(self, owner: Owner, move: Move, run: RunView | None, memory: Memory) -> None:
        now = self._cluster.clock.now()
        match move.kind:
            case "abort":
                assert run is not None
                await self._desk.command(run.run, "abort", "git", move.text)
                memory.aborted = run.run
            case "start" | "switch":
                waits = memory.refused_digest == move.digest and now - memory.refused_at < AGAIN_SECONDS
                if waits:
                    return
                release = _release(owner, move)
                begin = self._desk.switch if release.steps == (100,) else self._desk.start
                try:
                    told = {"who": "git", "reason": move.text, "owner": owner.uid}
                    await begin(release, **told, override_freeze=move.overrides)
                except Refused as error:
                    memory.refused, memory.refused_at, memory.refused_digest = _words(error), now, move.digest
                    return
                memory.refused = memory.refused_digest = ""
            case "rest":
                memory.refused = memory.refused_digest = ""

    async def _obey(self, owner: Owner, run: RunView | None, memory: Memory) -> None:
        """Carry out what a person asked for in the run's ``Release``; answer once."""
        obj = run and self._cluster.get(RELEASES, owner.namespace, release_name(owner, run.run))
        if run is None or not obj or not obj["spec"].get("command"):
            return
        request = CommandRequest.model_validate(obj["spec"]["command"])
        answered = (obj.get("status") or {}).get("command") or {}
        known = memory.answer[1].id if memory.answer is not None and memory.answer[0] == run.run else None
        if request.id in (answered.get("id"), known):
            return
        try:
            await self._desk.command(run.run, request.name, request.who, request.reason, request=request.id)
            answer = CommandAnswer(id=request.id, accepted=True, message=f"{request.name} is written down")
        except Refused as error:
            answer = CommandAnswer(id=request.id, accepted=False, message=_words(error))
        memory.answer = (run.run, answer)


def service_of(owner: Owner, serving: int = 0) -> Service:
    """The engine's view of a service on the cluster. ``serving``: pods of the stable version, if it is scaled."""
    spec = owner.spec
    routes = spec.route.path_prefixes if spec.route is not None else ("/",)
    return Service(
        name=owner.service,
        tier=spec.tier,
        replicas=min(max(spec.replicas, serving), MOST_REPLICAS),
        routes=tuple(prefix if prefix.endswith("/") else f"{prefix}/" for prefix in routes),
        traffic=spec.traffic,
        drain_seconds=spec.drain_seconds,
        objectives=spec.objectives,
    )


def _release(owner: Owner, move: Move) -> Release:
    spec, service = owner.spec, service_of(owner)
    policy = GatePolicy(gates=spec.gates, latency_edges=LATENCY_EDGES) if spec.gates else default_policy(service)
    asked = Release(service=owner.service, digest=move.digest, policy=policy, **dict(spec.strategy))
    if move.kind == "switch":
        return at_once(asked)
    return as_return(asked) if move.returns else asked


@contextmanager
def _noted(faults: list[str]) -> Iterator[None]:
    """What goes wrong inside is said, and ends nothing else."""
    try:
        yield
    except CroupierError as error:
        faults.append(_words(error))


def _words(error: CroupierError) -> str:
    return f"{error.message}{f'; {error.hint}' if error.hint else ''}"
