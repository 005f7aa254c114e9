"""The command line as people run it: installed, so with its bytecode at hand, whatever the shell of the bench says.

With ``PYTHONDONTWRITEBYTECODE`` in the environment every start compiles croupier anew, half of what a start takes.
"""

from __future__ import annotations

import os
import subprocess
import sysconfig
import tempfile
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

SCRIPT = str(Path(sysconfig.get_path("scripts")) / "croupier")


@contextmanager
def installed() -> Iterator[Mapping[str, str]]:
    """The environment of a call; the bytecode is kept in a folder of its own, written by the first call."""
    with tempfile.TemporaryDirectory(prefix="bytecode-") as folder:
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        yield {**kept, "PYTHONPYCACHEPREFIX": folder}


def cost(words: list[str], environment: Mapping[str, str], answers: Container[int] = (0, 1)) -> tuple[float, float]:
    """(user and system CPU seconds, MiB at most resident) of ``words``, whose exit code is one of ``answers``."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in answers:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
