"""The bundles in tests/policy: one file a rule, each case after a line ``# fail: name`` or ``# pass: name``."""

from __future__ import annotations

import re
from pathlib import Path

FILES = sorted((Path(__file__).parents[1] / "policy").glob("*.yaml"))
_CASE = re.compile(r"^# (fail|pass): (.+)$", re.MULTILINE)


def cases(file: Path) -> list[tuple[str, str, str]]:
    """(expected, name, text) of each case in ``file``."""
    text = file.read_text(encoding="utf-8")
    marks = list(_CASE.finditer(text))
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    return [(mark[1], mark[2], text[mark.end() : end]) for mark, end in zip(marks, ends, strict=True)]
