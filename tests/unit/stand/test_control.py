"""Starting stands from outside: no signal may come between a supervisor's start and our knowing of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from croupier_stand import control
from croupier_stand.home import Home
from croupier_stand.load import Load

QUIET = Load(seed=1, players=1, deposits_per_second=1.0, bets_per_second=1.0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_supervisor_is_being_started_ends_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setenv("CROUPIER_HOME", str(tmp_path))
    started: list[subprocess.Popen[bytes]] = []

    def start(*_: Any, **__: Any) -> subprocess.CompletedProcess[str]:
        supervisor = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        started.append(supervisor)
        os.kill(os.getpid(), number)
        return subprocess.CompletedProcess((), 0, f"{supervisor.pid}\n", "")

    monkeypatch.setattr(subprocess, "run", start)
    handlers = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(KeyboardInterrupt), control.interrupted_by_sigterm():
        control.up(Home.of("one"), QUIET, print)
    assert started[0].wait(10) == -signal.SIGTERM
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == handlers
