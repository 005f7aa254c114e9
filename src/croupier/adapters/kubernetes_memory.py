"""An API server in memory, for tests: the ``Kubernetes`` protocol with knobs. No schemas, no defaults, no controllers.

What it keeps to: server-side apply with owners of fields, resource versions, uids, a generation that rises with the
spec alone, watches with bookmarks, owned objects that go with their owner, and what API servers refuse for ever:
changes of an immutable ConfigMap or of a Deployment's selector. The contract tests run on it and on a real one.
"""

from __future__ import annotations

import asyncio
import copy
import uuid
from collections.abc import AsyncGenerator, Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from croupier.adapters.kubernetes_api import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    LEASES,
    SERVICES,
    Change,
    Listing,
    Resource,
    describe,
    failure,
    open_fence,
    resource_of,
    selects,
)
from croupier.adapters.kubernetes_merge import Leaves, Path, get, is_mergeable, leaves_of, put, remove, spell
from croupier.errors import Unreachable
from croupier.model.objects import JsonObject
from croupier.ports.clock import Clock

BOOKMARK_SECONDS = 60.0

_WITHOUT_GENERATION = frozenset({CONFIG_MAPS, SERVICES, EVENTS, LEASES})
_WITHOUT_STATUS = frozenset({CONFIG_MAPS, EVENTS, LEASES})
_IDENTITY = frozenset({"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp"})
"""Fields of the metadata that nobody owns."""


class Key(NamedTuple):
    resource: Resource
    namespace: str
    name: str


class Happening(NamedTuple):
    """A change of one object; None: there was none, or is none any more."""

    revision: int
    key: Key
    before: JsonObject | None
    after: JsonObject | None


class Fault(NamedTuple):
    error: Exception
    verbs: Collection[str]
    lands: bool


class Stream:
    """A watch that runs. ``ending``: what it raises next, if anything."""

    def __init__(self) -> None:
        self.news = asyncio.Event()
        self.ending: Exception | None = None
        self.bookmark = False


@dataclass
class Server:
    """What all who talk to it share. ``owned``: key, manager -> leaves."""

    objects: dict[Key, JsonObject] = field(default_factory=dict)
    owned: dict[Key, dict[str, Leaves]] = field(default_factory=dict)
    log: list[Happening] = field(default_factory=list)
    revision: int = 100
    oldest: int = 0
    """Watches can begin at this revision or later."""
    streams: list[Stream] = field(default_factory=list)
    is_silent: bool = False


class MemoryKubernetes:
    """See ``croupier.adapters.kubernetes_api.Kubernetes``.

    Args:
        clock: for times of creation; None: all were created at the beginning of the epoch.

    Attributes:
        manager: whose fields ``apply`` writes.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.fence: Callable[[], None] = open_fence
        self.manager = "croupier"
        self._clock = clock
        self._server = Server()
        self._faults: list[Fault] = []

    # --- knobs -------------------------------------------------------------------------------------------------------

    @property
    def revision(self) -> int:
        """Rises with every change, and with nothing else."""
        return self._server.revision

    def acting_as(self, manager: str) -> MemoryKubernetes:
        """The same server as another field manager sees it, without fence or faults: a GitOps loop, a controller."""
        other = copy.copy(self)
        other.manager = manager
        other.fence = open_fence
        other._faults = []
        return other

    def fail(self, error: Exception, *, calls: int = 1, verbs: Collection[str] = (), lands: bool = False) -> None:
        """Raise ``error`` from the next ``calls`` calls of this client: its line to the server is bad, not the server.

        Args:
            error: what is raised.
            calls: how many.
            verbs: names of methods to fail; empty: all.
            lands: the call is carried out before it raises, as when its answer is lost.
        """
        self._faults += [Fault(error, verbs, lands)] * calls

    def recover(self) -> None:
        """Forget the faults that are left."""
        self._faults.clear()

    def silence(self) -> None:
        """Watches stay open and say nothing, until ``speak``."""
        self._server.is_silent = True

    def speak(self) -> None:
        self._server.is_silent = False
        self._wake()

    def cut(self) -> None:
        """Break all watches that run."""
        self._end(Unreachable("the watch was cut"))

    def expire(self) -> None:
        """Forget what has been: watches that run end as expired, and none can begin from before now."""
        self._server.oldest = self._server.revision
        self._end(failure("watch", 410, {"message": "too old resource version"}))

    def bookmark(self) -> None:
        """Send a bookmark to all watches now. They also come by themselves, by the loop's time."""
        for stream in self._server.streams:
            stream.bookmark = True
        self._wake()

    # --- the protocol ------------------------------------------------------------------------------------------------

    async def list(self, resource: Resource, *, namespace: str | None = None, labels: str = "") -> Listing:
        await self._begin("list")
        found = [
            copy.deepcopy(obj)
            for key, obj in sorted(self._server.objects.items(), key=lambda pair: pair[0][1:])
            if key.resource == resource and namespace in (None, key.namespace) and selects(labels, obj)
        ]
        return Listing(tuple(found), str(self._server.revision))

    async def watch(
        self, resource: Resource, *, namespace: str | None = None, labels: str = "", resource_version: str
    ) -> AsyncGenerator[Change, None]:
        await self._begin("watch")
        server = self._server
        seen = int(resource_version)
        if seen < server.oldest:
            raise failure(describe("watch", resource), 410, {"message": f"too old resource version: {seen}"})
        stream = Stream()
        server.streams.append(stream)
        try:
            while True:
                for happening in [] if server.is_silent else [one for one in server.log if one.revision > seen]:
                    seen = happening.revision
                    change = _seen(happening, resource, namespace, labels)
                    if change is not None:
                        yield change
                if stream.ending is not None:
                    raise stream.ending
                if not await _news(stream) and not server.is_silent:
                    yield Change("BOOKMARK", {"metadata": {"resourceVersion": str(server.revision)}})
        finally:
            server.streams.remove(stream)

    async def get(self, resource: Resource, name: str, *, namespace: str | None = None) -> JsonObject | None:
        await self._begin("get")
        return copy.deepcopy(self._server.objects.get(Key(resource, namespace or "", name)))

    async def apply(self, obj: JsonObject, *, force: bool = True) -> JsonObject:
        resource = resource_of(obj)
        self._guard(resource)
        lost = await self._begin("apply")
        part = {name: value for name, value in obj.items() if name != "status" or resource in _WITHOUT_STATUS}
        answer = self._apply("apply", obj, part, self.manager, force=force)
        return _unless(lost, answer)

    async def patch_status(self, obj: JsonObject) -> JsonObject:
        self._guard(resource_of(obj))
        lost = await self._begin("patch_status")
        if _key(obj) not in self._server.objects:
            raise _refuse("apply status of", obj, 404, f'"{obj["metadata"]["name"]}" not found')
        part = {"status": obj.get("status", {})}
        answer = self._apply("apply status of", obj, part, f"{self.manager}/status", force=True)
        return _unless(lost, answer)

    async def create(self, obj: JsonObject) -> JsonObject:
        self._guard(resource_of(obj))
        lost = await self._begin("create")
        if _key(obj) in self._server.objects:
            raise _refuse("create", obj, 409, f'"{obj["metadata"]["name"]}" already exists')
        return _unless(lost, self._store(_key(obj), copy.deepcopy(obj)))

    async def replace(self, obj: JsonObject) -> JsonObject:
        self._guard(resource_of(obj))
        lost = await self._begin("replace")
        before = self._server.objects.get(_key(obj))
        _check_preconditions("replace", obj, before)
        if before is None:
            raise _refuse("replace", obj, 404, f'"{obj["metadata"]["name"]}" not found')
        after = copy.deepcopy(obj)
        after["metadata"] |= {name: before["metadata"][name] for name in _IDENTITY & before["metadata"].keys()}
        _check_immutable("replace", before, after)
        return _unless(lost, self._store(_key(obj), after))

    async def delete(
        self, resource: Resource, name: str, *, namespace: str | None = None, uid: str | None = None
    ) -> None:
        self._guard(resource)
        lost = await self._begin("delete")
        key = Key(resource, namespace or "", name)
        obj = self._server.objects.get(key)
        if obj is not None and uid in (None, obj["metadata"]["uid"]):
            self._delete(key)
        _unless(lost, {})

    # --- inside ------------------------------------------------------------------------------------------------------

    def _guard(self, resource: Resource) -> None:
        if resource != LEASES:
            self.fence()

    async def _begin(self, verb: str) -> Exception | None:
        """Let others run, as any call over a network does. Returns the error to raise after the call is carried out."""
        await asyncio.sleep(0)
        for fault in self._faults:
            if not fault.verbs or verb in fault.verbs:
                self._faults.remove(fault)
                if fault.lands:
                    return fault.error
                raise fault.error
        return None

    def _apply(self, verb: str, obj: JsonObject, part: JsonObject, manager: str, *, force: bool) -> JsonObject:
        key = _key(obj)
        before = self._server.objects.get(key)
        _check_preconditions(verb, obj, before)
        owned = self._server.owned.setdefault(key, {})
        others = {name: leaves for name, leaves in owned.items() if name != manager}
        wanted = _ownable(part)
        after = copy.deepcopy(before) if before is not None else _bare(obj)
        taken = {
            path: name
            for path, value in wanted.items()
            for name, leaves in others.items()
            if path in leaves and not is_mergeable(path, value) and get(after, path) != value
        }
        if taken and not force:
            path, name = next(iter(taken.items()))
            raise _refuse(verb, obj, 409, f'conflict with "{name}": {spell(path)}')
        for path, name in taken.items():
            del owned[name][path]
        kept: set[Path] = set().union(*others.values())
        remove(after, owned.get(manager, {}).keys() - wanted.keys() - kept)
        for path, value in wanted.items():
            put(after, path, copy.deepcopy(value))
        _check_selector(verb, after)
        if before is not None:
            _check_immutable(verb, before, after)
        owned[manager] = wanted
        return self._store(key, after)

    def _store(self, key: Key, after: JsonObject) -> JsonObject:
        """``after`` becomes the object; one that is as it was is no change."""
        before = self._server.objects.get(key)
        if before != after:
            self._server.revision += 1
            metadata = after["metadata"]
            if before is None:
                metadata["uid"] = str(uuid.uuid5(uuid.NAMESPACE_OID, str(self._server.revision)))
                metadata["creationTimestamp"] = self._time()
            if key.resource not in _WITHOUT_GENERATION:
                was = before["metadata"]["generation"] if before else 0
                metadata["generation"] = was + (before is None or _intent(before) != _intent(after))
            metadata["resourceVersion"] = str(self._server.revision)
            self._server.objects[key] = after
            self._tell(key, before, after)
        return copy.deepcopy(after)

    def _delete(self, key: Key) -> None:
        before = self._server.objects.pop(key)
        self._server.owned.pop(key, None)
        self._server.revision += 1
        last = copy.deepcopy(before)
        last["metadata"]["resourceVersion"] = str(self._server.revision)
        self._tell(key, last, None)
        uids = {obj["metadata"]["uid"] for obj in self._server.objects.values()}
        for other, obj in list(self._server.objects.items()):
            owners = {owner["uid"] for owner in obj["metadata"].get("ownerReferences", ())}
            if before["metadata"]["uid"] in owners and not owners & uids and other in self._server.objects:
                self._delete(other)

    def _tell(self, key: Key, before: JsonObject | None, after: JsonObject | None) -> None:
        happening = Happening(self._server.revision, key, copy.deepcopy(before), copy.deepcopy(after))
        self._server.log.append(happening)
        self._wake()

    def _wake(self) -> None:
        for stream in self._server.streams:
            stream.news.set()

    def _end(self, error: Exception) -> None:
        for stream in self._server.streams:
            stream.ending = error
        self._wake()

    def _time(self) -> str:
        moment = self._clock.now() if self._clock is not None else 0.0
        return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def _news(stream: Stream) -> bool:
    """Wait for news; False: it is time for a bookmark."""
    try:
        async with asyncio.timeout(BOOKMARK_SECONDS):
            await stream.news.wait()
    except TimeoutError:
        return False
    stream.news.clear()
    is_bookmark, stream.bookmark = stream.bookmark, False
    return not is_bookmark


def _seen(happening: Happening, resource: Resource, namespace: str | None, labels: str) -> Change | None:
    """What a watch of these sees: an object that leaves the selection is deleted for it."""
    key, before, after = happening.key, happening.before, happening.after
    if key.resource != resource or namespace not in (None, key.namespace):
        return None
    was = before is not None and selects(labels, before)
    if after is not None and selects(labels, after):
        return Change("MODIFIED" if was else "ADDED", copy.deepcopy(after))
    if before is not None and was:
        last = copy.deepcopy(after or before)
        return Change("DELETED", last)
    return None


def _unless(lost: Exception | None, answer: JsonObject) -> JsonObject:
    if lost is not None:
        raise lost
    return answer


def _key(obj: JsonObject) -> Key:
    metadata = obj["metadata"]
    return Key(resource_of(obj), metadata.get("namespace", ""), metadata["name"])


def _bare(obj: JsonObject) -> JsonObject:
    metadata = {name: obj["metadata"][name] for name in ("name", "namespace") if name in obj["metadata"]}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": metadata}


def _ownable(part: JsonObject) -> Leaves:
    return {
        path: value
        for path, value in leaves_of(part).items()
        if path[0] not in ("apiVersion", "kind") and not (path[0] == "metadata" and path[1] in _IDENTITY)
    }


def _intent(obj: JsonObject) -> dict[str, Any]:
    return {name: value for name, value in obj.items() if name not in ("metadata", "status")}


def _refuse(verb: str, obj: JsonObject, code: int, words: str) -> Exception:
    metadata = obj["metadata"]
    return failure(
        describe(verb, resource_of(obj), metadata["name"], metadata.get("namespace")), code, {"message": words}
    )


def _check_preconditions(verb: str, obj: JsonObject, before: JsonObject | None) -> None:
    """The state and the very object that the request is bound to, if it is."""
    uid, version = obj["metadata"].get("uid"), obj["metadata"].get("resourceVersion")
    if uid is not None and before is None:
        raise _refuse(verb, obj, 409, f"Precondition failed: UID in precondition: {uid}, UID in object meta: ")
    if before is None:
        return
    if uid not in (None, before["metadata"]["uid"]):
        raise _refuse(verb, obj, 422, f'metadata.uid: Invalid value: "{uid}": field is immutable')
    if version not in (None, before["metadata"]["resourceVersion"]):
        raise _refuse(verb, obj, 409, "the object has been modified; please apply your changes to the latest version")


def _check_selector(verb: str, obj: JsonObject) -> None:
    if resource_of(obj) != DEPLOYMENTS:
        return
    wanted = get(obj, ("spec", "selector", "matchLabels")) or {}
    labels = get(obj, ("spec", "template", "metadata", "labels")) or {}
    if not wanted or not wanted.items() <= labels.items():
        raise _refuse(verb, obj, 422, "spec.template.metadata.labels: `selector` does not match template `labels`")


def _check_immutable(verb: str, before: JsonObject, after: JsonObject) -> None:
    resource = resource_of(after)
    if resource == DEPLOYMENTS and before["spec"]["selector"] != after["spec"]["selector"]:
        raise _refuse(verb, after, 422, "spec.selector: field is immutable")
    if resource == CONFIG_MAPS and before.get("immutable"):
        for name in ("immutable", "data", "binaryData"):
            if before.get(name) != after.get(name):
                raise _refuse(verb, after, 422, f"{name}: field is immutable when `immutable` is set")
