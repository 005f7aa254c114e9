"""What can go wrong here: always the machine's to mend, so always exit 4."""

from __future__ import annotations


class StandError(Exception):
    """The machine or the cluster refuses. ``remedy``: what a person does about it; "" where nothing is known."""

    exit_code = 4

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}\n{remedy}" if remedy else problem)
