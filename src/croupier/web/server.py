"""Engine and API in one process: started together, announced to the command line, stopped together.

The API listens on loopback on a port the system chooses. Address and token are new at every start and are written to
the desk's folder, readable by its user only. The desk takes no lock here: the journal has one writer, and a second
desk on the same folder is refused when it opens that.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import uvicorn
from starlette.types import ASGIApp

from croupier.adapters.files import replace_file
from croupier.adapters.user import user_name
from croupier.web.app import ReleaseDesk, create_app

STOP_SECONDS = 3
"""How long open requests may take to finish when the desk stops."""
TOKEN_BYTES = 32


class RunningDesk(ReleaseDesk, Protocol):
    async def run(self) -> None:
        """The engine loop. Ends only by cancellation or with an error."""
        ...


async def serve(desk: RunningDesk, folder: Path) -> None:
    """Run the engine loop and the API until SIGTERM or SIGINT.

    Raises what the engine loop died of; a loop that merely returns is a ``RuntimeError``, because nothing would watch
    the live releases then.

    Args:
        desk: the wired desk.
        folder: where ``desk.json`` (``{"url", "pid"}``) and ``token`` are written, both mode 0600; exists.
    """
    stopping = asyncio.Event()
    token = secrets.token_urlsafe(TOKEN_BYTES)
    listener = _listen()
    server = Server(create_app(desk, token, who=user_name(), stopping=stopping))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        with listener, _announced(folder, listener.getsockname()[1], token):
            async with asyncio.TaskGroup() as tasks:
                engine = tasks.create_task(_endless(desk), name="engine")
                api = tasks.create_task(server.serve(sockets=[listener]), name="api")
                await stopping.wait()  # cancelled by the group when the engine dies first
                server.should_exit = True
                await api
                engine.cancel()
    except ExceptionGroup as group:  # not except*, which wraps what it raises again before Python 3.11.4
        raise _leaf(group) from None
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


class Server(uvicorn.Server):
    """uvicorn without hands on our signals: who runs it says when it stops, and the process ends with its own code."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                ws="none",
                access_log=False,
                log_config=None,
                server_header=False,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen() -> socket.socket:
    """A listening socket on a free loopback port. Callers may connect from now on; they wait until the API answers."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.listen(128)
    return listener


@contextlib.contextmanager
def _announced(folder: Path, port: int, token: str) -> Iterator[None]:
    """The desk's address and token are in its folder while it runs."""
    address = {"url": f"http://127.0.0.1:{port}", "pid": os.getpid()}
    replace_file(folder / "token", token.encode())
    replace_file(folder / "desk.json", json.dumps(address).encode())
    try:
        yield
    finally:
        (folder / "desk.json").unlink(missing_ok=True)
        (folder / "token").unlink(missing_ok=True)


async def _endless(desk: RunningDesk) -> None:
    await desk.run()
    raise RuntimeError("the engine loop ended by itself")


def _leaf(group: BaseExceptionGroup[Exception]) -> BaseException:
    """The first single error of a group of groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
