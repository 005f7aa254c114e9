"""For all tests."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# looptime asks for "the" event loop before synchronous tests, too. Unless somebody has set one, asyncio then makes a
# loop that nobody closes, and its warning fails whichever test runs when it is collected.
asyncio.set_event_loop(None)

# A job in the background of a script begins with Ctrl-C ignored; so would all that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: a slow machine is not a wrong answer. Speed is measured in bench/. The examples are the same in every
# run, so that a test that fails tells of the change that was made; PROPERTY_SEARCH=1 looks for new ones, and for more.
settings.register_profile("croupier", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=2_000)
settings.load_profile("search" if os.environ.get("PROPERTY_SEARCH") else "croupier")

HERE = Path(__file__).parent
HAVE_STANDS = ("contracts", "integration", "e2e")
"""Folders of the tests on a stand; the Makefile names them, too."""

pytest_plugins = ["tests.support.cluster"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on parts of a stand may run in two processes (``--dist loadgroup``), file by file unless a test says which
    others it shares a stand with. Whole stands come first, for they take longest."""
    for item in items:
        if not item.get_closest_marker("stand"):
            continue
        if item.path.relative_to(HERE).parts[0] not in HAVE_STANDS:
            raise pytest.UsageError(f"{item.nodeid} needs a stand: it belongs under {', '.join(HAVE_STANDS)}")
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
    items.sort(key=lambda item: (not _needs_the_stand(item), item.path.parent.name != "e2e"))


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: the garbage collector need not go through it again and again,
    nor look for garbage every 700 objects where one rendered platform makes a hundred thousand."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _needs_the_stand(item: pytest.Item) -> bool:
    return "bench" in getattr(item, "fixturenames", ())
