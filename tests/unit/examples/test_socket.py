"""The WebSocket of the example, and the player's end of it that tests on a cluster use, held against each other."""

from __future__ import annotations

import importlib.util
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from tests.support.websocket import opened

from croupier_stand.process import wait_for

EXAMPLE = Path(__file__).parents[3] / "examples" / "kubernetes" / "service.py"
VERSION = "aaaaaaaaaaaa"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ModuleType, Any, str]]:
    """The module of the example, payments-api as a server of this process, and its address."""
    spec = importlib.util.spec_from_file_location("example_of_sockets", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "example_of_sockets", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "SOCKET_SECONDS", 0.01)
    payments = module.Payments({"CROUPIER_VERSION": VERSION})
    server = module.Server(0, payments)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield module, server, f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()
    payments.finish()


def test_a_socket_says_which_version_it_is_with_until_its_player_goes(served: tuple[ModuleType, Any, str]) -> None:
    with opened(served[2], host="casino.example") as found:
        assert wait_for(lambda: len(found.said) > 2, 30.0)
        assert found.closed_at is None
    assert found.closed_at is not None
    assert found.versions == {VERSION}


def test_a_socket_that_the_other_end_cuts_is_noticed(
    served: tuple[ModuleType, Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, _, url = served

    def cut(handler: Any, _: object) -> None:
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x10{")
        handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)

    monkeypatch.setattr(module.Handler, "_keep_socket", cut)
    with opened(url, host="casino.example") as found:
        assert wait_for(lambda: found.closed_at is not None, 30.0)
    assert found.said == []


def test_a_page_is_no_socket_and_the_other_way_round(served: tuple[ModuleType, Any, str]) -> None:
    assert httpx.get(f"{served[2]}/live").status_code == 404
    with pytest.raises(AssertionError, match=r"HTTP/1\.1 200"), opened(served[2], host="casino.example", path="/"):
        raise AssertionError("a page was taken for a socket")
