from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from croupier.errors import EnvironmentFault
from croupier_stand.process import ChildProcess, ProcessId, identify, is_running, stop_recorded, wait_for

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")


def test_a_recorded_process_is_not_mistaken_for_a_later_one_with_its_pid() -> None:
    ours = identify(os.getpid())
    assert ours is not None
    assert is_running(ours)
    stranger = ProcessId(ours.pid, ours.start_ticks - 1)
    assert not is_running(stranger)
    assert stop_recorded([stranger], patience_seconds=0.1) == []  # and we are still here


def test_a_child_says_why_it_did_not_become_ready(tmp_path: Path) -> None:
    child = ChildProcess(
        name="mute", argv=(sys.executable, "-c", "print('no disk'); raise SystemExit(7)"), log=tmp_path / "log"
    )
    child.start()
    with pytest.raises(EnvironmentFault, match="mute ended with 7: no disk"):
        child.wait_until(lambda: False, seconds=10)


def test_a_program_that_does_not_exist_is_an_environment_fault(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match="nobody cannot be started"):
        ChildProcess(name="nobody", argv=("/no/such/program",), log=tmp_path / "log").start()


def test_stop_is_safe_twice_and_before_the_first_start(tmp_path: Path) -> None:
    child = ChildProcess(name="sleeper", argv=SLEEP, log=tmp_path / "log")
    assert child.stop(patience_seconds=1) is None
    child.start()
    assert child.identity is not None
    assert child.stop(patience_seconds=5) == -signal.SIGTERM
    assert child.stop(patience_seconds=5) == -signal.SIGTERM
    assert child.identity is None


OWNER = """
import sys, os
from pathlib import Path
from croupier_stand.process import ChildProcess
child = ChildProcess(name="c", argv=(sys.executable, "-c", "import time; time.sleep(60)"), log=Path(sys.argv[1]))
child.start()
print(child.identity.pid, child.identity.start_ticks, flush=True)
import time; time.sleep(60)
"""


def test_children_die_with_an_owner_that_is_killed(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner, owner.stdout:
        pid, ticks = map(int, owner.stdout.readline().split())
        child = ProcessId(pid, ticks)
        assert is_running(child)
        owner.kill()
        owner.wait()
        assert wait_for(lambda: not is_running(child), 10)


def test_what_somebody_else_started_is_ended_by_its_record(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE) as stubborn:
        assert stubborn.stdout is not None
        stubborn.stdout.readline()
        recorded = identify(stubborn.pid)
        assert recorded is not None
        assert stop_recorded([recorded], patience_seconds=0.2) == []
        assert stubborn.wait() == -signal.SIGKILL
