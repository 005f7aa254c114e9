"""One handler per type of action; each calls one port and is safe to repeat. Called by the loop, after the journal.

Endpoints of a version are fixed once its pods have addresses, so the last ones seen are good enough when whoever runs
the pods does not answer: a rollback must not wait for it.
"""

from __future__ import annotations

from croupier.core.drain import retire_seconds
from croupier.core.run import RunState
from croupier.engine.gather import answered
from croupier.model.plan import Action, EnsureVersion, Reduce, Retire, SetSplit, Settle
from croupier.model.traffic import ArmBackend, Endpoint, Split
from croupier.model.workload import VersionPods
from croupier.ports.traffic import Traffic
from croupier.ports.workloads import Workloads


class Handlers:
    """Carries out actions. Raises what the ports raise."""

    def __init__(self, traffic: Traffic, workloads: Workloads) -> None:
        self._traffic = traffic
        self._workloads = workloads
        self._endpoints: dict[tuple[str, str], tuple[Endpoint | None, ...]] = {}
        """(service, digest) -> of each pod in the order observed; None: it has no address."""

    def note(self, versions: list[VersionPods]) -> None:
        """Remember where the pods are."""
        for version in versions:
            found = tuple(pod.endpoint for pod in version.pods)
            if any(endpoint is not None for endpoint in found):
                self._endpoints[version.service, version.digest] = found

    async def carry_out(self, state: RunState, action: Action) -> None:
        """``state``: of the run whose plan has the action."""
        match action:
            case EnsureVersion():
                await self._workloads.ensure(action.service, action.digest, action.replicas)
            case Reduce():
                await self._workloads.reduce(action.service, action.digest, action.replicas)
            case SetSplit():
                await self._set_split(state, action)
            case Settle():
                await self._look(action.service)
                backend = self._backend(action.service, action.digest, 100)
                await self._traffic.set_split(Split(service=action.service, run="-", revision=0, stable=backend))
            case Retire():
                await self._workloads.retire(action.service, action.digest, retire_seconds(state.plan))

    async def _set_split(self, state: RunState, action: SetSplit) -> None:
        await self._look(action.service)
        has_canary = action.weight > 0 or (action.service, action.canary) in self._endpoints
        canary = self._backend(action.service, action.canary, action.weight) if has_canary else None
        await self._traffic.set_split(
            Split(
                service=action.service,
                run=state.plan.run,
                revision=action.revision,
                stable=self._backend(action.service, action.stable, 100 - action.weight, action.stable_pods),
                canary=canary,
                offset=action.offset,
                returns=state.returns,
            )
        )

    async def _look(self, service: str) -> None:
        """Where the pods are now; the last known places when that cannot be told, whatever the reason."""
        try:
            self.note(list(await answered(self._workloads.observe(service))))
        except Exception:  # the round's own look tells of it
            if not any(known == service for known, _ in self._endpoints):
                raise

    def _backend(self, service: str, digest: str, weight: int, pods: int | None = None) -> ArmBackend:
        """``pods``: only the first so many, which stay when the version is reduced; None: all."""
        found = self._endpoints.get((service, digest), ())[:pods]
        endpoints = tuple(endpoint for endpoint in found if endpoint is not None)
        return ArmBackend(digest=digest, weight=weight, endpoints=endpoints)
