"""Following a run to its end over a desk that may be restarted in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from croupier.cli.client import DeskClient
from croupier.errors import Unauthorized, Unreachable
from croupier.model.view import RunView

PATIENCE_TRIES = 60
"""How many times in a row a lost desk is looked for, a second apart, before following gives up."""
RETRY_SECONDS = 1.0


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
