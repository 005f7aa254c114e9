"""Groups of releases as text."""

from __future__ import annotations

from collections.abc import Sequence

from croupier.model.digest import short
from croupier.model.view import GroupView
from croupier.report.format import UNKNOWN, duration, readable, table, timestamp

_WORDS = {"left-out": "not started", "rolled-back": "rolled back"}
OUTCOME_WORDS = {"promoted": "promoted", "rolled-back": "stopped: a member was rolled back", "aborted": "aborted"}


def groups_text(views: Sequence[GroupView]) -> str:
    """A table, one group a line, in the order given."""
    if not views:
        return "No groups yet."
    rows = [("GROUP", "SERVICES", "STANDS", "STARTED", "TOOK")]
    for view in views:
        took = UNKNOWN if view.ended_at is None else duration(view.ended_at - view.started_at)
        stands = view.outcome or "live"
        services = ", ".join(member.service for member in view.members)
        rows.append((view.group, services, stands, timestamp(view.started_at), took))
    return "\n".join(table(rows))


def group_text(view: GroupView) -> str:
    """One group in full: its members in the order they go, what it waits for, how it ended."""
    ways = [
        word
        for is_so, word in ((view.supersede, "supersedes live releases"), (view.fix_forward, "without gates"))
        if is_so
    ]
    head = f"{view.group} by {readable(view.who) or UNKNOWN}{': ' + ', '.join(ways) if ways else ''}"
    rows = [("", "SERVICE", "VERSION", "RUN", "STANDS")]
    rows += [
        (
            f"{place}.",
            member.service,
            short(member.digest),
            member.run or UNKNOWN,
            _WORDS.get(member.state, member.state),
        )
        for place, member in enumerate(view.members, start=1)
    ]
    if view.outcome is not None:
        end = f"{OUTCOME_WORDS[view.outcome]}: {readable(view.reason)}"
    else:
        end = f"Waits for: {readable(view.waiting_for) or 'the next round'}"
    return "\n".join([head, *table(rows), end])


def group_changes(before: GroupView | None, now: GroupView) -> list[str]:
    """What is new since the look before, one line each."""
    known = {} if before is None else {member.service: member.state for member in before.members}
    lines = [
        f"{now.group} {member.service}: {_WORDS.get(member.state, member.state)} ({member.run or 'no run'})"
        for member in now.members
        if member.state != known.get(member.service, "waiting")
    ]
    if now.outcome is not None and (before is None or before.outcome is None):
        lines.append(f"{now.group} {OUTCOME_WORDS[now.outcome]}: {readable(now.reason)}")
    elif now.waiting_for and (before is None or before.waiting_for != now.waiting_for):
        lines.append(f"{now.group} waits for {readable(now.waiting_for)}")
    return lines
