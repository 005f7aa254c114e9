"""Errors as JSON, one form for the API's answers and for ``--output json`` on stderr; problems as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from croupier.errors import CroupierError, Problem, SpecError
from croupier.report.markdown import cell, code


def error_body(error: CroupierError) -> dict[str, object]:
    """``{"error": {"code", "message", "hint", "problems": [{"place", "code", "message", "hint"}]}}``."""
    problems = error.problems if isinstance(error, SpecError) else ()
    return {
        "error": {
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "problems": [
                {"place": place(problem), "code": problem.code, "message": problem.message, "hint": problem.hint}
                for problem in problems
            ],
        }
    }


def problems_markdown(problems: Sequence[Problem]) -> str:
    """A table for a pull request whose platform is refused; nothing in it can break out of its cell."""
    lines = [f"**Refused: {len(problems)} problem{'s' if len(problems) != 1 else ''}**", ""]
    lines += ["| where | what is wrong | what to do |", "| --- | --- | --- |"]
    for each in problems:
        cells = (code(place(each)), cell(f"{each.code}: {each.message}"), cell(each.hint))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def place(problem: Problem) -> str:
    """``file:line:column``, or the file (or JSON pointer into a body) alone where no line is known."""
    return f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file
