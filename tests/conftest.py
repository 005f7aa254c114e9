"""For all tests."""

from __future__ import annotations

import asyncio

# looptime asks for "the" event loop before synchronous tests, too. Unless somebody has set one, asyncio then makes a
# loop that nobody closes, and its warning fails whichever test runs when it is collected.
asyncio.set_event_loop(None)
