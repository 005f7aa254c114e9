"""One change of a split as a value: what was in force, what is to be, what must stay reachable meanwhile. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from croupier.adapters.traffic.envoy_config import cluster_name, windows
from croupier.adapters.traffic.envoy_files import Record
from croupier.model.digest import short
from croupier.model.traffic import WHOLE, ObservedSplit, Split


@dataclass(frozen=True, slots=True)
class Change:
    """``before`` and ``after``: service -> split in force, of all services."""

    split: Split
    before: Mapping[str, Split]
    after: Mapping[str, Split]
    interrupted: tuple[Split, ...]
    """Splits that a crash left half done. Envoy may still route to their clusters."""

    @property
    def replaced(self) -> Split | None:
        return self.before.get(self.split.service)

    @property
    def reachable(self) -> tuple[Split, ...]:
        """Splits whose clusters must exist until ``after`` is confirmed; of two with the same version the later one
        knows its endpoints better."""
        return (*self.interrupted, *self.before.values(), *self.after.values())

    @property
    def routed(self) -> frozenset[str]:
        """Clusters that routes will name."""
        return frozenset().union(*(_routed(split) for split in self.after.values()))

    @property
    def fresh(self) -> frozenset[str]:
        """Clusters of the changed service that get traffic now and had none. One of their pods must be healthy;
        of those that serve already nothing is asked, so that a way back is never held up."""
        return _routed(self.split) - (_routed(self.replaced) if self.replaced else frozenset())

    @property
    def settled(self) -> Mapping[str, Record]:
        """Records to write once Envoy has confirmed ``after``: that also clears what was interrupted."""
        changed = {self.split.service, *(split.service for split in self.interrupted)}
        return {service: Record(confirmed=self.after.get(service)) for service in sorted(changed)}


def plan_change(
    split: Split, records: Mapping[str, Record], loaded: Mapping[str, Mapping[str, ObservedSplit]]
) -> Change:
    """The change that puts ``split`` in force.

    Args:
        split: what is wanted.
        records: service -> what we remember.
        loaded: listener -> service -> split that Envoy runs (digests short). Decides whether a change that a crash cut
            off had taken effect; only needed if some record still wants one. A way back is gone on with in any case.
    """
    before: dict[str, Split] = {}
    for service, record in records.items():
        done = record.wanted is not None and (record.wanted.goes_back or _serves(loaded, record.wanted))
        in_force = record.wanted if done else record.confirmed
        if in_force is not None:
            before[service] = in_force
    interrupted = tuple(
        each
        for record in records.values()
        if record.wanted is not None
        for each in _both(record.confirmed, record.wanted)
    )
    return Change(split, before, {**before, split.service: split}, interrupted)


def _both(confirmed: Split | None, wanted: Split) -> tuple[Split, ...]:
    return (wanted,) if confirmed is None else (confirmed, wanted)


def _serves(loaded: Mapping[str, Mapping[str, ObservedSplit]], split: Split) -> bool:
    """Whether every listener that knows the service runs this split."""
    owned: Counter[str] = Counter()
    for backend, slots in windows(split):
        owned[short(backend.digest)] += slots
    weights = {digest: slots * 100 // WHOLE for digest, slots in owned.items()}
    found = [splits[split.service] for splits in loaded.values() if split.service in splits]
    return bool(found) and all(
        (each.run, each.revision, each.weights) == (split.run, split.revision, weights) for each in found
    )


def _routed(split: Split) -> frozenset[str]:
    return frozenset(cluster_name(split.service, backend.digest) for backend, _ in windows(split))
