"""The roll: what is known of all runs and groups at any time, in a size that past releases do not add to.

A fold over the journal, as cheap as can be: five kinds of entries, a few words of each. The engine writes it down now
and then, as a *snapshot* (``desk.snapshot``), so that a desk which opens need not read what came before; ``journal
verify`` folds all entries and compares. It grows with services and with those that releases were started for. Pure.

Body of a snapshot (keys camelCase):

    entries     how many entries it stands for: all before it
    runs        how many runs there have been             groups   the same of groups
    live        [[run, service]]: those that have not ended, oldest first
    liveGroups  {group: {service: run}}: those that have not ended, with the runs they have started
    newest      {service: {owner: run}}: the newest run of each, live or ended; owner "" where it was started for nobody
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from croupier.core.group import PREFIX
from croupier.model.base import Value
from croupier.model.journal import Draft, Entry

SNAPSHOT = "desk.snapshot"

KINDS = frozenset({"run.planned", "run.started", "run.ended", "group.planned", "group.ended"})
"""What changes the roll."""


def run_id(number: int) -> str:
    """Runs are numbered from 1, in the order they were planned."""
    return f"r-{number:04d}"


def group_id(number: int) -> str:
    return f"{PREFIX}{number:04d}"


class Snapshot(Value):
    """The body of a snapshot."""

    entries: int
    runs: int
    groups: int
    live: tuple[tuple[str, str], ...]
    live_groups: dict[str, dict[str, str]]
    newest: dict[str, dict[str, str]]


@dataclass(slots=True)
class Roll:
    """Every entry goes through ``take``, in order. It refuses none: what an entry may say is for ``core.run``."""

    runs: int = 0
    groups: int = 0
    live: dict[str, str] = field(default_factory=dict)
    """Run -> service, oldest first."""
    live_groups: dict[str, dict[str, str]] = field(default_factory=dict)
    """Group -> service -> run."""
    newest: dict[str, dict[str, str]] = field(default_factory=dict)
    """Service -> owner -> run."""

    @classmethod
    def of(cls, snapshot: Snapshot) -> Roll:
        return cls(
            runs=snapshot.runs,
            groups=snapshot.groups,
            live=dict(snapshot.live),
            live_groups={group: dict(members) for group, members in snapshot.live_groups.items()},
            newest={service: dict(owners) for service, owners in snapshot.newest.items()},
        )

    def take(self, record: Entry | Draft) -> None:
        body: Mapping[str, Any] = record.body
        name = record.subject
        match record.kind:
            case "run.planned":
                self.runs += 1
                plan = body.get("plan")
                self.live[name] = str(plan.get("service", "")) if isinstance(plan, dict) else ""
            case "run.started":
                service = self.live.get(name, "")
                self.newest.setdefault(service, {})[str(body.get("owner", ""))] = name
                members = self.live_groups.get(str(body.get("group", "")))
                if members is not None:
                    members[service] = name
            case "run.ended":
                self.live.pop(name, None)
            case "group.planned":
                self.groups += 1
                self.live_groups[name] = {}
            case "group.ended":
                self.live_groups.pop(name, None)

    def newest_run(self, service: str, owner: str) -> str | None:
        """The newest run of a service that was started for ``owner`` or for nobody; ``owner`` "": for whomever."""
        owners = self.newest.get(service, {})
        runs = [run for each, run in owners.items() if owner in ("", each) or each == ""]
        return max(runs, key=_number, default=None)

    def snapshot(self, entries: int) -> dict[str, JsonValue]:
        """The body of a snapshot after so many entries."""
        return {
            "entries": entries,
            "runs": self.runs,
            "groups": self.groups,
            "live": [list(each) for each in self.live.items()],
            "liveGroups": {group: dict(members) for group, members in self.live_groups.items()},
            "newest": {service: dict(owners) for service, owners in self.newest.items()},
        }


def _number(run: str) -> tuple[int, str]:
    """Orders ids by their numbers, beyond four digits too."""
    return len(run), run
