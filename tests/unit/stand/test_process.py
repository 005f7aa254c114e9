from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from croupier.errors import EnvironmentFault
from croupier_stand.process import ChildProcess, ProcessId, identify, is_running, orphans_of, stop_recorded, wait_for

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


def shell(directory: Path, script: str) -> ChildProcess:
    """A shell around a program, as people bring it; what it starts writes its pid into the log."""
    environment = os.environ | {"POD_NAME": "mine-0"}
    return ChildProcess("shell", ("sh", "-c", script), directory / "log", environment, signals_group=True)


def started(child: ChildProcess) -> ProcessId:
    """What the shell started, once that has said its pid."""
    assert wait_for(lambda: child.log.exists() and child.log.read_text().endswith("\n"), 10)
    found = identify(int(child.log.read_text().split()[-1]))
    assert found is not None
    return found


def test_what_a_program_leaves_when_it_ends_by_itself_ends_with_it(tmp_path: Path) -> None:
    """Else each restart leaves one more, which no `stand down` would find."""
    child = shell(tmp_path, "sleep 60 & echo $!; sleep 0.2; exit 3")
    child.start()
    left = started(child)
    assert wait_for(lambda: not child.is_running, 10)
    assert (is_running(left), child.exit_code) == (False, 3)


def test_what_a_shell_started_may_finish_and_is_killed_when_it_does_not(tmp_path: Path) -> None:
    child = shell(tmp_path, "sh -c 'trap \"\" TERM; echo $$; exec sleep 60' & wait")
    child.start()
    deaf = started(child)
    child.terminate()
    assert child.identity is not None
    assert wait_for(lambda: identify(child.identity.pid) is None, 10)  # the shell has ended
    assert child.is_running
    assert is_running(deaf)
    assert child.stop(patience_seconds=0.1) == -signal.SIGTERM
    assert (child.is_running, is_running(deaf)) == (False, False)


def test_a_shell_stands_still_with_what_it_started(tmp_path: Path) -> None:
    child = shell(tmp_path, "sleep 60 & echo $!; wait")
    child.start()
    stat = Path(f"/proc/{started(child).pid}/stat")
    child.freeze()
    assert wait_for(lambda: " T " in stat.read_text(), 10)
    child.kill()


def test_what_outlives_its_shell_is_found_by_its_session_and_its_pod(tmp_path: Path) -> None:
    child = shell(tmp_path, "sleep 60 & echo $!; wait")
    child.start()
    left, pid = started(child), child.identity.pid if child.identity else 0
    os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: identify(pid) is None, 10)
    assert orphans_of(pid, "POD_NAME=mine-1") == []
    assert orphans_of(pid, "POD_NAME=mine-0") == [left]
    child.kill()


@pytest.mark.parametrize(("argv", "environment"), [(("true", "a\0b"), None), (("true",), {"A=B": "c"})])
def test_what_no_system_can_start_is_an_environment_fault(
    tmp_path: Path, argv: tuple[str, ...], environment: dict[str, str] | None
) -> None:
    with pytest.raises(EnvironmentFault, match="n cannot be started"):
        ChildProcess("n", argv, tmp_path / "log", environment).start()


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
