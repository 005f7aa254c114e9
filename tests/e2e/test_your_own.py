"""A program that knows nothing of croupier is released like the casino's services: how-to/your-own-service.md."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from tests.e2e.conftest import Bench

from croupier.model.view import RunView
from croupier_stand import control
from croupier_stand.home import Home
from croupier_stand.load import Load
from croupier_stand.process import wait_for
from croupier_stand.stats import read_stats

pytestmark = [pytest.mark.stand, pytest.mark.timeout(280)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "your-own"
LOAD = Load(seed=5, players=3000, requests_per_second=90.0)
PYTHON = """\
import os, random
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        bad = self.path != "/ready" and random.random() < float(os.environ.get("FAIL_RATIO", 0))
        body = os.environ.get("GREETING", "hello").encode()
        self.send_response(500 if bad else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Hello).serve_forever()
"""
RELEASE = """\
service: hello
digest: {digest}
steps: [25, 100]
dwellSeconds: 5
deadlineSeconds: 200
bakeSeconds: 5
policy:
  gates:
    - {{signal: errors, role: required, margin: {{points: 5}}}}
    - {{signal: latency, margin: {{ratio: 3}}}}
  latencyEdges: [0.4, 1.0]
"""


@pytest.fixture(
    params=[pytest.param(each, marks=pytest.mark.xdist_group(f"own {each}")) for each in ("node", "python")]
)
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """A stand of the example: in Node as it is shown, and with the same program in Python's standard library."""
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE, project)
    if request.param == "node" and shutil.which("node") is None:
        pytest.skip("Node is not installed here; the Python variant runs")
    if request.param == "python":
        (project / "versions" / "hello.py").write_text(PYTHON)
        for file in (project / "versions").glob("*.yaml"):
            text = file.read_text().replace("[node, hello.mjs]", "[python3, hello.py]").replace("hello.mjs", "hello.py")
            file.write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROUPIER_HOME", str(tmp_path / "croupier"))
        home = Home.of("own")
        control.up(home, LOAD, print, platform=project)
        try:
            yield Bench(home)
        finally:
            control.down(home)


def release(bench: Bench, digest: str, directory: Path, *, strategy: str = "canary") -> RunView:
    file = directory / "release.yaml"
    file.write_text(RELEASE.format(digest=digest) + f"strategy: {strategy}\n")

    def started() -> bool:
        """A desk that has just begun to watch refuses, and says so."""
        said = bench.croupier("release", "start", "-f", str(file), "--yes", "--output", "json")
        assert said.exit_code == 0 or "has watched" in said.stderr, said.stderr
        if said.exit_code == 0:
            runs.append(str(json.loads(said.stdout)["run"]))
        return said.exit_code == 0

    runs: list[str] = []
    assert wait_for(started, 90, pause_seconds=2.0)
    return bench.wait_for_end(runs[0])


def answer(bench: Bench) -> str:
    port = bench.home.require().ports["edge"]
    with urlopen(Request(f"http://127.0.0.1:{port}/hello/", headers={"x-player": "ann"}), timeout=5) as response:
        return str(response.read().decode())


def test_a_program_of_ones_own_is_promoted_or_taken_back_by_what_the_edge_sees(own: Bench, tmp_path: Path) -> None:
    versions = {each["label"]: each["digest"] for each in own.json("stand", "versions", "--name", "own")}
    assert answer(own).startswith("hello")

    broken = release(own, versions["broken"], tmp_path)
    assert (broken.outcome, broken.code) == ("rolled-back", "worse"), broken.reason

    # A version that is added while the stand runs: another greeting, so another digest.
    file = tmp_path / "project" / "versions" / "kinder.yaml"
    file.write_text(file.read_text().replace("good morning", "good evening"))
    added = own.json("stand", "add", str(file), "--name", "own")
    assert added["digest"] not in versions.values()
    good = release(own, added["digest"], tmp_path)
    assert good.outcome == "promoted", good.reason
    assert answer(own).startswith("good evening")

    undone = own.json("release", "undo", "hello", "--yes", "--wait")
    assert (undone["outcome"], undone["canary"]["digest"]) == ("promoted", versions["stable"])
    assert answer(own).startswith("hello")

    # Two pods, one more at a time: half of the visitors, then all.
    rolled = release(own, added["digest"], tmp_path, strategy="rolling")
    assert (rolled.outcome, rolled.steps) == ("promoted", 4), rolled.reason
    assert answer(own).startswith("good evening")

    stats = read_stats(own.home.players_stats)
    assert stats is not None
    assert stats.rate("/hello/") > 30
    # Only the broken version failed; no request was lost while versions came and went.
    assert [failure for failure in stats.failures if failure.by_edge] == []
