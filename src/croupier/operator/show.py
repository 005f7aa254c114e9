"""What people see of a policy with ``kubectl``: status, events, an object a run. Written when it says something new."""

from __future__ import annotations

from croupier.adapters.kubernetes_api import RELEASES
from croupier.adapters.kubernetes_cluster import Cluster
from croupier.core.render.version import POLICY_LABEL, Owner
from croupier.model.digest import short
from croupier.model.objects import JsonObject
from croupier.model.release_object import CommandAnswer, ReleaseSpec, RouteStatus
from croupier.model.view import RunView
from croupier.operator import status
from croupier.operator.events import event, reason_of
from croupier.operator.memory import Memory

EVENT_SECONDS = 3600.0
"""How long API servers keep events. What is older is not told once more after a start."""
WORDS_SECONDS = 5.0
"""A status whose words alone have changed is written this seldom: they count seconds down."""
RELEASES_KEPT = 10


class Show:
    """Writes what is shown; all of it may be written again."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._shown: dict[str, float] = {}
        """Uid of an object -> when its status was written, within the last ``WORDS_SECONDS``."""

    def forget(self) -> None:
        """What was written long ago."""
        now = self._cluster.clock.now()
        self._shown = {uid: at for uid, at in self._shown.items() if 0 <= now - at < WORDS_SECONDS}

    async def tell(self, owner: Owner, run: RunView | None, memory: Memory) -> None:
        """An event for each new line of the run's story. After a start, the API server still knows the lines told."""
        if run is None:
            return
        known = memory.told[1] if memory.told[0] == run.run else None
        lines = list(run.timeline)
        first = len(lines) - lines[::-1].index(known) if known is not None and known in lines else 0
        for place, moment in enumerate(lines[first:], start=first):
            if moment.at > self._cluster.clock.now() - EVENT_SECONDS:
                note = f"{run.run} of {short(run.canary.digest)}: {moment.text}"
                reason, is_warning = reason_of(moment.text)
                key = f"{run.run}/{moment.at}/{moment.text}/{lines[:place].count(moment)}"
                await self.event(owner, reason, note, moment.at, key, is_warning=is_warning)
            memory.told = (run.run, moment)

    async def event(
        self, owner: Owner, reason: str, note: str, at: float, key: str, *, is_warning: bool = True
    ) -> None:
        """One event on the policy (``events.event``)."""
        made = event(owner, reason=reason, note=note, at=at, key=key, is_warning=is_warning)
        await self._cluster.kubernetes.apply(made)

    async def release(self, owner: Owner, run: RunView | None, memory: Memory) -> None:
        """The run as a ``Release``."""
        if run is None:
            return
        name = release_name(owner, run.run)
        obj = self._cluster.get(RELEASES, owner.namespace, name)
        kind = {"apiVersion": RELEASES.api_version, "kind": RELEASES.kind}
        if obj is None:
            spec = ReleaseSpec(policy=owner.name, run=run.run, digest=run.canary.digest)
            obj = await self._cluster.apply(
                {
                    **kind,
                    "metadata": {
                        "name": name,
                        "namespace": owner.namespace,
                        "labels": {POLICY_LABEL: owner.name},
                        "ownerReferences": [owner.reference],
                    },
                    "spec": spec.model_dump(mode="json", by_alias=True, exclude_none=True),
                }
            )
            await self._forget_releases(owner)
        before = obj.get("status") or {}
        answer = CommandAnswer.model_validate(before["command"]) if before.get("command") else None
        if memory.answer is not None and memory.answer[0] == run.run:
            answer = memory.answer[1]
        made = status.stored(
            status.release_status(
                run,
                generation=obj["metadata"].get("generation", 0),
                now=self._cluster.clock.now(),
                command=answer,
                before=before,
            )
        )
        await self._write(obj, made)

    async def _forget_releases(self, owner: Owner) -> None:
        found = self._cluster.find(RELEASES, owner.namespace, {POLICY_LABEL: owner.name})
        for obj in sorted(found, key=lambda each: str(each["metadata"]["name"]))[:-RELEASES_KEPT]:
            await self._cluster.delete(RELEASES, obj)

    async def policy(
        self,
        obj: JsonObject,
        stable: str | None,
        wanted: str | None,
        run: RunView | None,
        word: status.Word,
        *,
        routes: tuple[RouteStatus, ...] = (),
    ) -> None:
        """Where the service stands, in the status of its policy."""
        before = obj.get("status") or {}
        made = status.stored(
            status.policy_status(
                stable=stable,
                wanted=wanted,
                run=run,
                word=word,
                routes=routes,
                generation=obj["metadata"].get("generation", 0),
                now=self._cluster.clock.now(),
                before=before,
            )
        )
        await self._write(obj, made)

    async def _write(self, obj: JsonObject, made: JsonObject) -> None:
        """Write the status if it says something new; sentences that count down are written now and then."""
        uid, now = str(obj["metadata"]["uid"]), self._cluster.clock.now()
        if not status.differs(made, obj.get("status") or {}, but_in_words=uid in self._shown):
            return
        self._shown[uid] = now
        place = {key: obj["metadata"][key] for key in ("name", "namespace")}
        kind = {"apiVersion": obj["apiVersion"], "kind": obj["kind"]}
        await self._cluster.patch_status({**kind, "metadata": place, "status": made})


def release_name(owner: Owner, run: str) -> str:
    return f"{owner.name[:50]}-{run}"
