"""Following a run: to its end, over a desk that may be restarted in between, or to the effect of a command."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from croupier.cli.client import DeskClient
from croupier.errors import Unauthorized, Unreachable
from croupier.model.view import GroupView, RunView

PATIENCE_TRIES = 60
"""How many times in a row a lost desk is looked for, a second apart, before following gives up."""
RETRY_SECONDS = 1.0
COMMAND_LOOKS = 20
COMMAND_LOOK_SECONDS = 0.25


def follow(stand: str, run: str, *, tries: int = PATIENCE_TRIES) -> Iterator[RunView | None]:
    """The run's views until it has ended; None each time the desk does not answer.

    The run goes on while nobody follows, and a desk that comes back has a new address and token, so both are read
    anew. Raises ``Unreachable`` or ``Unauthorized`` after ``tries`` failures in a row, or if the desk never answered.
    """
    pause = threading.Event()
    missed = 0
    seen = False
    while True:
        try:
            with DeskClient.of(stand) as client:
                for view in client.events(run):
                    seen, missed = True, 0
                    yield view
                    if view.ended_at is not None:
                        return
        except (Unreachable, Unauthorized):
            missed += 1
            if not seen or missed >= tries:
                raise
            yield None
            pause.wait(RETRY_SECONDS)


def carried_out(client: DeskClient, before: RunView) -> RunView | None:
    """The run once it stands elsewhere than in ``before``; None when that takes longer than a person likes to wait, or
    the desk is gone meanwhile.

    A command is written down first and carried out in the round that follows, a moment later.
    """
    pause = threading.Event()
    for _ in range(COMMAND_LOOKS):
        try:
            view = client.run(before.run)
        except Unreachable:
            return None
        if (view.phase, view.step) != (before.phase, before.step):
            return view
        pause.wait(COMMAND_LOOK_SECONDS)
    return None


def follow_group(client: DeskClient, view: GroupView, tell: Callable[[str], object]) -> GroupView:
    """Tell every change of a group until it has ended, or Ctrl-C; the last view. Raises ``Unreachable``."""
    from croupier.report.group import group_changes

    pause = threading.Event()
    before: GroupView | None = None
    try:
        while True:
            for line in group_changes(before, view):
                tell(line)
            if view.ended_at is not None:
                return view
            pause.wait(RETRY_SECONDS)
            before, view = view, client.group(view.group)
    except KeyboardInterrupt:
        return view
