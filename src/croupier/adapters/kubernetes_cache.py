"""What an API server holds of one kind of object, in memory: one list, then a watch that keeps it current.

Rounds read the world from here, so the cache must know when it is not current: every list, event and bookmark proves
that it is, for that moment, and ``require_fresh`` refuses what is older than ``STALE_SECONDS``. A silent or broken
watch is replaced; when that took long, or the server has forgotten what came between, everything is listed again and
what is gone is reported as deleted. Nothing ends ``run`` but its cancellation.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import NamedTuple

from croupier.adapters.kubernetes_api import Change, Kubernetes, Resource, selects
from croupier.errors import CroupierError, Expired, Unreachable
from croupier.model.objects import JsonObject
from croupier.ports.clock import Clock

STALL_SECONDS = 70.0
"""API servers send a bookmark about once a minute: a watch that is silent for longer is dead."""

RESUME_SECONDS = 20.0
"""A watch is resumed if the cache was current so lately. After a longer time the objects are listed, because the next
bookmark of a resumed watch may be a minute away."""

STALE_SECONDS = 90.0
"""Older than this, nothing is decided on it."""

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
LONGEST_OBEDIENCE_SECONDS = 300.0
"""How long a server can make us wait at most by Retry-After."""

_CLOCK_SLACK_SECONDS = 5.0

log = logging.getLogger(__name__)

OnChange = Callable[[Resource, JsonObject], None]
"""The object as it is now, or as it was when it was deleted."""


class Key(NamedTuple):
    namespace: str
    name: str


Terms = Mapping[str, str]
"""By what an object is found: its labels, and what else its kind is looked up by."""


def labels_of(obj: JsonObject) -> Terms:
    return obj["metadata"].get("labels") or {}


class Index:
    """Term -> objects, so that looking for a few among thousands does not look at all of them."""

    def __init__(self, terms_of: Callable[[JsonObject], Terms]) -> None:
        self._terms_of = terms_of
        self._found: dict[tuple[str, str, str], set[Key]] = {}
        """(namespace, name of the term, its value) -> objects. ``_ALL`` is a term of every object."""

    def add(self, key: Key, obj: JsonObject) -> None:
        for place in self._places(key, obj):
            self._found.setdefault(place, set()).add(key)

    def remove(self, key: Key, obj: JsonObject) -> None:
        for place in self._places(key, obj):
            keys = self._found[place]
            keys.discard(key)
            if not keys:
                del self._found[place]

    def find(self, namespace: str, wanted: Terms) -> set[Key]:
        """Objects of the namespace under all these terms."""
        places = [(namespace, name, value) for name, value in (wanted or _ALL).items()]
        postings = sorted((self._found.get(place, set()) for place in places), key=len)
        return postings[0].intersection(*postings[1:])

    def _places(self, key: Key, obj: JsonObject) -> list[tuple[str, str, str]]:
        return [(key.namespace, name, value) for name, value in (*self._terms_of(obj).items(), *_ALL.items())]


_ALL: Terms = {"": ""}


class Cache:
    """Objects of one kind. They are shared: nobody may change what ``get`` and ``items`` give.

    Args:
        kubernetes: the API server.
        resource: the kind.
        clock: tells ages, and waits between attempts.
        namespace: None: all namespaces.
        labels: selector of equalities, or "".
        terms_of: what objects of this kind are looked up by in ``items``.

    Attributes:
        on_change: called after an object was added, changed or deleted here; must return at once. Several changes may
            come as one.
        listed: set when everything is here for the first time.
    """

    def __init__(
        self,
        kubernetes: Kubernetes,
        resource: Resource,
        clock: Clock,
        *,
        namespace: str | None = None,
        labels: str = "",
        terms_of: Callable[[JsonObject], Terms] = labels_of,
    ) -> None:
        self.on_change: OnChange | None = None
        self.listed = asyncio.Event()
        self._kubernetes = kubernetes
        self._resource = resource
        self._clock = clock
        self._namespace = namespace
        self._labels = labels
        self._objects: dict[Key, JsonObject] = {}
        self._index = Index(terms_of)
        self._version = ""
        """Up to where the server's history is known here; "": list first."""
        self._current_at = -math.inf
        self._has_heard = False
        """Whether the present watch has told anything."""
        self._put_meanwhile: dict[Key, JsonObject] = {}
        """What was put since the last list began: the list may not hold it yet."""

    def get(self, namespace: str, name: str) -> JsonObject | None:
        return self._objects.get(Key(namespace, name))

    def items(self) -> list[JsonObject]:
        """All, by namespace and name."""
        return [self._objects[key] for key in sorted(self._objects)]

    def find(self, namespace: str, terms: Terms | None = None) -> list[JsonObject]:
        """Those of a namespace under all ``terms`` (see ``terms_of``), by name."""
        return [self._objects[key] for key in sorted(self._index.find(namespace, terms or {}))]

    def put(self, obj: JsonObject) -> None:
        """What a write has answered, so that we read what we wrote before the watch tells of it.

        An answer that the watch has overtaken is ignored: it may have told that the object is gone again.
        """
        if _version(obj) > _number(self._version) and self._is_ours(obj):
            self._put_meanwhile[_key(obj)] = obj
            self._enter(obj)

    def age(self, now: float) -> float:
        """Seconds since this was last known to be current; infinite before the first list.

        A clock that was set back tells no age: that, too, is infinite, until the next event or bookmark.
        """
        age = now - self._current_at
        return max(age, 0.0) if age >= -_CLOCK_SLACK_SECONDS else math.inf

    def require_fresh(self, now: float) -> None:
        """Raises ``Unreachable`` when this may not be what the API server holds."""
        age = self.age(now)
        if age > STALE_SECONDS:
            known = "not known yet" if math.isinf(age) else f"as of {age:.0f} s ago"
            raise Unreachable(
                f"the cluster's {self._resource.plural} are {known}: nothing is decided on that",
                hint="is the API server reachable, and may we list and watch them?",
            )

    async def run(self) -> None:
        """Keep this current. Ends by cancellation only; failures are logged, and tried again after a pause."""
        failures = 0
        while True:
            self._has_heard = False
            asked = 0.0
            try:
                if not self._version or self.age(self._clock.now()) > RESUME_SECONDS:
                    await self._list()
                await self._follow()
            except Expired:
                self._version = ""
                log.info("%s: the API server has forgotten our place, all are listed again", self._resource.plural)
            except CroupierError as error:
                log.warning("%s are not followed: %s", self._resource.plural, error)
                asked = error.retry_after_seconds if isinstance(error, Unreachable) else 0.0
            # A list alone is no progress: where watching is forbidden, listing would go on for ever at full speed.
            failures = 0 if self._has_heard else failures + 1
            await self._clock.sleep(pause(failures, asked))

    async def _list(self) -> None:
        self._put_meanwhile = {}
        listing = await self._kubernetes.list(self._resource, namespace=self._namespace, labels=self._labels)
        self._version = listing.resource_version
        listed = {_key(obj): obj for obj in listing.items}
        newer = {key for key, obj in self._put_meanwhile.items() if _version(obj) > _number(self._version)}
        for key in self._objects.keys() - listed.keys() - newer:
            self._leave(key)
        for key in listed.keys() - newer:
            self._enter(listed[key])
        self._current_at = self._clock.now()
        self.listed.set()

    async def _follow(self) -> None:
        """Until the watch ends, raises or falls silent."""
        stream = self._kubernetes.watch(
            self._resource, namespace=self._namespace, labels=self._labels, resource_version=self._version
        )
        async with aclosing(stream):
            while True:
                try:
                    async with asyncio.timeout(STALL_SECONDS):
                        change = await anext(stream)
                except StopAsyncIteration:
                    return
                except TimeoutError as error:
                    raise Unreachable(f"the watch has been silent for {STALL_SECONDS:g} s") from error
                self._take(change)

    def _take(self, change: Change) -> None:
        self._version = change.object["metadata"]["resourceVersion"]
        self._current_at = self._clock.now()
        self._has_heard = True
        if change.kind == "BOOKMARK":
            return
        key = _key(change.object)
        known = self._objects.get(key)
        if known is not None and _version(known) > _version(change.object):
            return  # we have put a later one
        if change.kind == "DELETED":
            self._leave(key)
        else:
            self._enter(change.object)

    def _enter(self, obj: JsonObject) -> None:
        key = _key(obj)
        known = self._objects.get(key)
        if known is not None and _version(known) == _version(obj):
            return
        obj["metadata"].pop("managedFields", None)  # half of the memory, and nobody reads it
        if known is not None:
            self._index.remove(key, known)
        self._objects[key] = obj
        self._index.add(key, obj)
        self._tell(obj)

    def _leave(self, key: Key) -> None:
        last = self._objects.pop(key, None)
        if last is not None:
            self._index.remove(key, last)
            self._tell(last)

    def _tell(self, obj: JsonObject) -> None:
        if self.on_change is not None:
            self.on_change(self._resource, obj)

    def _is_ours(self, obj: JsonObject) -> bool:
        return self._namespace in (None, _key(obj).namespace) and selects(self._labels, obj)


def pause(failures: int, asked_seconds: float) -> float:
    """Seconds until the next attempt: doubling and spread, so that many do not come back at once; never less than the
    server has asked for, within reason."""
    longest = min(FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 10), LONGEST_PAUSE_SECONDS)
    return max(random.uniform(longest / 2, longest), min(asked_seconds, LONGEST_OBEDIENCE_SECONDS))


def _key(obj: JsonObject) -> Key:
    metadata = obj["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])


def _version(obj: JsonObject) -> int:
    return _number(obj["metadata"]["resourceVersion"])


def _number(version: str) -> int:
    """Resource versions of one kind are numbers that rise (kubernetes.io/docs/reference/using-api/api-concepts)."""
    return int(version) if version else -1
