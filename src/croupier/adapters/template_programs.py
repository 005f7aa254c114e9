"""Helm and Kustomize as they are installed here: what they print, within bounds of time and size.

Each program is a process of ours: without input, in a session of its own, and ended with everything that it started
when it takes too long or prints too much.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from croupier.errors import EnvironmentFault

SECONDS = 60.0
LARGEST_BYTES = 32 * 1024 * 1024
_LARGEST_COMPLAINT = 64 * 1024
_PATIENCE_SECONDS = 2.0
_LONGEST_TOLD = 300


class NotRendered(Exception):
    """The program made nothing of the folder; the message says why."""


def helm(values: Sequence[str] = ()) -> tuple[str, ...]:
    """The command that renders a chart, but for its name and folder. Raises ``EnvironmentFault`` without Helm."""
    return (_found("helm"), "template", *(word for each in values for word in ("--values", str(Path(each).resolve()))))


def kustomize() -> tuple[str, ...]:
    """The command that renders a kustomization: of ``kustomize``, or of ``kubectl``, which holds it.

    Raises ``EnvironmentFault`` where neither is installed.
    """
    own = shutil.which("kustomize")
    return (own, "build") if own is not None else (_found("kubectl", "kustomize"), "kustomize")


def _found(name: str, wanted: str = "") -> str:
    path = shutil.which(name)
    if path is None:
        said = f"{wanted or name} is not on the PATH"
        raise EnvironmentFault(
            said, hint=f"install it, or render first: … | croupier policy check - (no --{wanted or name})"
        )
    return path


def render(command: Sequence[str], *, seconds: float = SECONDS, largest: int = LARGEST_BYTES) -> str:
    """What ``command`` prints. Raises ``NotRendered`` when it fails, takes longer or prints more than allowed."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        printed, complained = _read(process, time.monotonic() + seconds, seconds, largest)
    finally:
        _end(process)
    if process.returncode != 0:
        said = " ".join(complained.decode("utf-8", "replace").split())
        raise NotRendered(
            f"{_name(command)} failed ({process.returncode}): {said[-_LONGEST_TOLD:] or 'it did not say why'}"
        )
    try:
        return printed.decode("utf-8")
    except UnicodeDecodeError:
        raise NotRendered(f"{_name(command)} did not print UTF-8") from None


def _name(command: Sequence[str]) -> str:
    return " ".join((os.path.basename(command[0]), command[1]))


def _read(process: subprocess.Popen[bytes], until: float, seconds: float, largest: int) -> tuple[bytes, bytes]:
    """Everything from both pipes, and the end of the process. Raises ``NotRendered``."""
    assert process.stdout is not None
    assert process.stderr is not None
    out, errors = bytearray(), bytearray()
    late = NotRendered(f"{_name(_words(process))} did not end within {seconds:g} s")
    with selectors.DefaultSelector() as waiting:
        waiting.register(process.stdout, selectors.EVENT_READ, out)
        waiting.register(process.stderr, selectors.EVENT_READ, errors)
        while waiting.get_map():
            left = until - time.monotonic()
            ready = waiting.select(left) if left > 0 else []
            if not ready:
                raise late
            for key, _ in ready:
                part = os.read(key.fd, 65536)
                if not part:
                    waiting.unregister(key.fileobj)
                key.data.extend(part)
            del errors[:-_LARGEST_COMPLAINT]
            if len(out) > largest:
                raise NotRendered(f"{_name(_words(process))} printed more than {largest} bytes")
    try:
        process.wait(max(until - time.monotonic(), 0))
    except subprocess.TimeoutExpired:
        raise late from None
    return bytes(out), bytes(errors)


def _words(process: subprocess.Popen[bytes]) -> Sequence[str]:
    words = process.args
    assert isinstance(words, (list, tuple))
    return [str(each) for each in words]


def _end(process: subprocess.Popen[bytes]) -> None:
    """Nothing that the process started outlives it: asked first, then forced."""
    for kind, patience in ((signal.SIGTERM, _PATIENCE_SECONDS), (signal.SIGKILL, None)):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, kind)
        if process.returncode is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
