"""The judge as a process: it answers over loopback, and a signal ends it in order."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from tests.support.edge import free_port
from tests.support.judged import SETTINGS

DEADLINE_SECONDS = 30.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_judge_with_0(tmp_path: Path, number: signal.Signals) -> None:
    port = free_port()
    (tmp_path / "token").write_text("t")
    (tmp_path / "judge.yaml").write_text(f"{SETTINGS}port: {port}\n")
    words = ["-m", "croupier.cli", "judge", "--config", str(tmp_path / "judge.yaml")]
    with subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True) as process:
        try:
            _wait_for(f"http://127.0.0.1:{port}/v1/health", process)
            process.send_signal(number)
            _, told = process.communicate(timeout=DEADLINE_SECONDS)
        finally:
            process.kill()
    assert process.returncode == 0, told


def _wait_for(url: str, process: subprocess.Popen[str]) -> None:
    pause = threading.Event()
    for _ in range(int(DEADLINE_SECONDS / 0.05)):
        assert process.poll() is None, process.communicate()[1]
        try:
            assert httpx.get(url, trust_env=False).json() == {"ok": True}
        except httpx.TransportError:
            pause.wait(0.05)
        else:
            return
    pytest.fail("the judge did not answer in time")
