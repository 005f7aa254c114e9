"""Errors as JSON: one form for the API's answers and for ``--output json`` on stderr."""

from __future__ import annotations

from croupier.errors import CroupierError, Problem, SpecError


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


def place(problem: Problem) -> str:
    """``file:line:column``, or the file (or JSON pointer into a body) alone where no line is known."""
    return f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file
