"""What comes of judging a run's recorded evidence again."""

from __future__ import annotations

from croupier.model.base import Value


class Difference(Value):
    """A verdict that does not come out again."""

    entry: int
    """Number of the journal entry that says otherwise."""
    problem: str
    """What it says and what comes out, one sentence."""


class RunReplay(Value):
    """The verdicts of one run, judged again."""

    run: str
    verdicts: int
    """Entries that rest on what the gates said and were judged again: verdicts, passes and ways back."""
    unstored: int
    """Entries whose evidence could not be stored when they were written; they say so, and nobody can judge them."""
    differences: tuple[Difference, ...]


class Replay(Value):
    """All runs asked for, oldest first."""

    ok: bool
    """Whether every verdict came out as it was written."""
    runs: tuple[RunReplay, ...]
