"""The exceptions croupier raises on purpose, as one tree. Front ends turn them into exit codes and HTTP answers.

CroupierError
├── UserError            the person at the keyboard can mend it             exit 2
│   ├── UsageError       a wrong word, number or flag
│   ├── SpecError        problems in a file, each with its place
│   ├── UnknownName      a name that does not exist; lists those that do
│   └── Refused          a sound request that the rules do not allow now
├── EnvironmentFault     the world around us does not answer as it must     exit 4
│   ├── Unreachable      temporary: the next round tries again
│   │   ├── Expired      what was asked for is too old to be had; read all again
│   │   └── Unconfirmed  a split is written, and who has to take it up does not say so
│   ├── Unauthorized     the desk did not accept the token
│   ├── Missing          what is addressed is not there, or no longer
│   └── Conflict         somebody else holds what we need
└── IntegrityError       the journal or the evidence is not what was written  exit 1

A red gate is not an exception: it is a verdict (``croupier.model.verdict``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches


class CroupierError(Exception):
    """Root of the tree.

    Attributes:
        code: stable machine-readable code (``UNKNOWN_NAME``); part of the JSON interface.
        exit_code: what the command line exits with (STYLE: 1 no, 2 usage, 3 waiting, 4 environment, 70 bug).
        hint: what to do next, one sentence, or "".
    """

    code = "ERROR"
    exit_code = 70

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UserError(CroupierError):
    code = "USER"
    exit_code = 2


class UsageError(UserError):
    code = "USAGE"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong in a file. Lines and columns count from 1; 0 means that no place is known."""

    file: str
    line: int
    column: int
    code: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        tail = f", {self.hint}" if self.hint else ""
        return f"{place} {self.code} {self.message}{tail}"


class SpecError(UserError):
    """A file could not be used. ``problems`` holds all of them, sorted by place."""

    code = "SPEC"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


_LONGEST_NAME = 80
_MOST_NAMES = 40


class UnknownName(UserError):
    code = "UNKNOWN_NAME"

    def __init__(self, kind: str, name: str, known: Sequence[str]) -> None:
        """``name`` may be anything that somebody sent, and ``known`` long: the message stays readable."""
        shown = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
        near = get_close_matches(shown, known, n=1)
        more = len(known) - _MOST_NAMES
        listing = ", ".join(sorted(known)[-_MOST_NAMES:]) or "none"
        known_names = f"known: {listing}" if more <= 0 else f"the last of {len(known)}: {listing}"
        hint = f"did you mean {near[0]}? {known_names}" if near else known_names
        super().__init__(f"unknown {kind} {shown!r}", hint=hint)


class Refused(UserError):
    """A sound request that must not be carried out now: a second live run, a plan that cannot be decided in time."""

    code = "REFUSED"
    exit_code = 1


class EnvironmentFault(CroupierError):
    code = "ENVIRONMENT"
    exit_code = 4


class Unreachable(EnvironmentFault):
    """``retry_after_seconds``: how long the other side asked us to leave it alone; 0.0: it did not ask."""

    code = "UNREACHABLE"

    def __init__(self, message: str, *, hint: str = "", retry_after_seconds: float = 0.0) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class Expired(Unreachable):
    code = "EXPIRED"


class Unconfirmed(Unreachable):
    """A split is written, and a gateway or a mesh does not confirm it.

    Attributes:
        run, revision, weights: of what is written, as in an observed split.
    """

    code = "UNCONFIRMED"

    def __init__(self, message: str, *, run: str, revision: int, weights: Mapping[str, int]) -> None:
        super().__init__(message)
        self.run = run
        self.revision = revision
        self.weights = weights


class Unauthorized(EnvironmentFault):
    code = "UNAUTHORIZED"


class Missing(EnvironmentFault):
    code = "MISSING"


class Conflict(EnvironmentFault):
    code = "CONFLICT"


class IntegrityError(CroupierError):
    """``entry``: number of the first bad journal entry, or None when it is not one entry that is wrong."""

    code = "INTEGRITY"
    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", entry: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.entry = entry
