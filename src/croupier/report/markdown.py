"""Cells of tables in Markdown: nothing that people have written can break out of them."""

from __future__ import annotations

from itertools import groupby


def cell(text: str) -> str:
    """``text`` as it stands there."""
    return _in_line(text).replace("<", "&lt;")


def code(text: str) -> str:
    """``text`` as code."""
    longest = max((len(run) for run in _runs(text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if longest else ""
    return f"{fence}{pad}{_in_line(text)}{pad}{fence}"


def _in_line(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _runs(text: str) -> list[str]:
    return ["".join(group) for is_tick, group in groupby(text, key=lambda one: one == "`") if is_tick]
