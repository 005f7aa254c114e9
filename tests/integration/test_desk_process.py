"""The desk as a process: announced, answered over loopback, stopped by a signal, dead when its engine dies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from croupier.cli.client import DeskClient
from croupier.errors import EnvironmentFault, Unauthorized, Unreachable
from croupier.report import example

DEADLINE_SECONDS = 30.0

SCRIPT = """
import asyncio, sys
from pathlib import Path
from croupier.report import example
from croupier.web.memory import MemoryDesk
from croupier.web.server import serve

class Desk(MemoryDesk):
    async def run(self):
        if (Path(sys.argv[1]) / "fail").exists():
            raise ZeroDivisionError("the engine died")
        if (Path(sys.argv[1]) / "end").exists():
            return
        await super().run()

asyncio.run(serve(Desk(example.WATCHED), Path(sys.argv[1])))
"""


def wait_until(condition: object, process: subprocess.Popen[bytes]) -> None:
    """Poll until the condition holds; fails after the deadline or when the process ends."""
    assert callable(condition)
    pause = threading.Event()
    for _ in range(int(DEADLINE_SECONDS / 0.02)):
        if condition():
            return
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        pause.wait(0.02)
    pytest.fail("the desk did not get there in time")


@contextlib.contextmanager
def process_of(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=DEADLINE_SECONDS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CROUPIER_HOME", str(tmp_path))
    folder = tmp_path / "stands" / "default" / "desk"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def running(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with process_of(folder) as process:
        wait_until((folder / "desk.json").exists, process)
        yield process


def test_address_and_token_are_for_the_user_only(running: subprocess.Popen[bytes], folder: Path) -> None:
    for name in ("desk.json", "token"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    address = json.loads((folder / "desk.json").read_text())
    assert address["pid"] == running.pid
    assert address["url"].startswith("http://127.0.0.1:")
    assert len((folder / "token").read_text()) >= 43


def test_the_command_line_reaches_the_desk_and_others_do_not(running: subprocess.Popen[bytes], folder: Path) -> None:
    with DeskClient.of("default") as client:
        assert client.run("r-0007") == example.WATCHED
        assert client.health().ok
    url = json.loads((folder / "desk.json").read_text())["url"]
    answer = httpx.get(f"{url}/v1/runs", trust_env=False)
    assert answer.status_code == 401
    assert answer.json() == {"error": {}}
    assert "server" not in answer.headers
    (folder / "token").write_text("wrong")
    with DeskClient.of("default") as client, pytest.raises(Unauthorized, match="token"):
        client.runs()


def test_a_desk_of_another_version_is_told_apart_from_a_fault(
    running: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with DeskClient.of("default") as client:
        monkeypatch.setattr(client, "_call", lambda *_, **__: {"run": "r-0007", "colour": "red"})
        with pytest.raises(EnvironmentFault, match="cannot be understood"):
            client.run("r-0007")


def test_a_signal_stops_the_desk_in_order_also_with_a_stream_open(
    running: subprocess.Popen[bytes], folder: Path
) -> None:
    with DeskClient.of("default") as client:
        views = client.events("r-0007")
        assert next(views) == example.WATCHED
        running.send_signal(signal.SIGTERM)
        with pytest.raises(Unreachable):
            next(views)
    assert running.wait(DEADLINE_SECONDS) == 0
    assert os.listdir(folder) == []
    with pytest.raises(Unreachable, match="no desk answers"):
        DeskClient.of("default")


def test_a_desk_that_was_killed_is_told_apart_from_one_that_answers(
    running: subprocess.Popen[bytes], folder: Path
) -> None:
    running.kill()
    running.wait(DEADLINE_SECONDS)
    assert (folder / "desk.json").exists()
    with DeskClient.of("default") as client, pytest.raises(Unreachable, match="no desk answers"):
        client.runs()


@pytest.mark.parametrize(("sign", "said"), [("fail", "the engine died"), ("end", "ended by itself")])
def test_a_dead_engine_takes_the_desk_down_with_an_error(folder: Path, sign: str, said: str) -> None:
    (folder / sign).touch()
    with process_of(folder) as process:
        _, errors = process.communicate(timeout=DEADLINE_SECONDS)
        assert process.returncode not in (0, None)
    assert said in errors.decode().splitlines()[-1], "the error itself, not a group that holds it"
    assert not (folder / "desk.json").exists()
