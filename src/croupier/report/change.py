"""What changes in a platform, as text for a terminal and as Markdown for a pull request."""

from __future__ import annotations

import json
from itertools import groupby

from pydantic import JsonValue

from croupier.model.change import Change, PlatformPlan
from croupier.report.markdown import cell, code

_LONGEST = 60
_MOST_CELLS = 4


def plan_text(plan: PlatformPlan) -> str:
    lines = []
    for kind, group in groupby(plan.changes, key=lambda change: change.kind):
        lines.append(kind)
        for change in group:
            lines.append(f"  {_name(change)}: {_shown(change.before)} → {_shown(change.after)}")
            lines.append(f"    {_where(change)}")
            if change.why:
                lines.append(f"    {change.why}")
    return "\n".join([*lines, *([""] if lines else []), _summary(plan)])


def plan_markdown(plan: PlatformPlan) -> str:
    """A table, for people who review; nothing in it can break out of its cell."""
    lines = [f"**{_summary(plan)}**"]
    if plan.changes:
        lines += ["", "| what | before | after | class | where |", "| --- | --- | --- | --- | --- |"]
    for change in plan.changes:
        where = _where(change) + (f"<br>{cell(change.why)}" if change.why else "")
        values = (code(_name(change)), code(_shown(change.before)), code(_shown(change.after)), change.kind, where)
        lines.append(f"| {' | '.join(values)} |")
    if plan.files:
        lines += ["", "<details><summary>rendered files</summary>", "", *(f"- `{name}`" for name in plan.files)]
        lines += ["", "</details>"]
    return "\n".join(lines)


def _summary(plan: PlatformPlan) -> str:
    if not plan.changes:
        return "nothing changes" if not plan.files else f"no value changes; {len(plan.files)} rendered files do"
    touched = {cell for change in plan.changes for cell in change.cells}
    count = len(plan.changes)
    return (
        f"{count} change{'s' if count != 1 else ''} in {len(touched)} of {plan.cells} cells, "
        f"{len(plan.files)} rendered file{'s' if len(plan.files) != 1 else ''}, "
        f"{len(plan.versions)} new version{'s' if len(plan.versions) != 1 else ''} to release"
    )


def _name(change: Change) -> str:
    return f"{change.subject}.{change.path}" if change.path else change.subject


def _where(change: Change) -> str:
    more = len(change.cells) - _MOST_CELLS
    cells = ", ".join(change.cells[:_MOST_CELLS]) + (f" and {more} more" if more > 0 else "")
    if not change.releases:
        return f"in {cells}"
    if len(change.releases) == len(change.cells):
        return f"in {cells}: a new version"
    return f"in {cells}: a new version in {len(change.releases)} of them"


def _shown(value: JsonValue) -> str:
    if value is None:
        return "none"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
