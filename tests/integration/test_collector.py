"""What a real OpenTelemetry Collector keeps and takes out with the configuration that is rendered (S9.2)."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.support import quick_yaml
from tests.support.edge import free_port
from tests.support.platforms import LARGE, described

from croupier.core.render.collector import SAMPLER, collectors
from croupier_stand.process import wait_for

PROGRAM = next((found for name in ("otelcol-contrib", "otelcol") if (found := shutil.which(name))), None)
OWN, OTHER = "eu-east", "eu-north"
MANY = 40
_ERROR = 2
_PATIENCE_SECONDS = 60.0

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="OpenTelemetry Collector contrib is not installed")


class Collector:
    """A sampler that keeps what it would hand over in files."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.health = folder, free_port(), free_port()
        objects = collectors(each for each in described(LARGE).cells if each.cell.region == OWN)
        name = f"{SAMPLER}-config"
        (made,) = (each for each in objects if each["metadata"]["name"].startswith(name))
        config: dict[str, Any] = quick_yaml.load(made["data"]["collector.yaml"])
        config["receivers"]["otlp"]["protocols"] = {"http": {"endpoint": f"127.0.0.1:{self.port}"}}
        config["extensions"]["health_check"]["endpoint"] = f"127.0.0.1:{self.health}"
        sampling = config["processors"]["tail_sampling"]
        sampling["decision_wait"] = "1s"
        next(each for each in sampling["policies"] if each["name"] == "share")["probabilistic"] = {
            "sampling_percentage": 0
        }
        config["exporters"] = {f"file/{region}": {"path": str(self.kept(region))} for region in (OWN, OTHER)}
        for region in (OWN, OTHER):
            config["service"]["pipelines"][f"traces/{region}"]["exporters"] = [f"file/{region}"]
        config["service"]["telemetry"]["metrics"] = {"level": "none"}
        (folder / "collector.yaml").write_text(yaml.safe_dump(config))

    def kept(self, region: str) -> Path:
        return self.folder / f"{region}.json"

    def spans(self, region: str) -> Iterator[tuple[str, list[str]]]:
        """(trace, names of all attributes) of what was kept."""
        for line in self.kept(region).read_text().splitlines() if self.kept(region).exists() else ():
            for resource in json.loads(line)["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    for span in scope["spans"]:
                        every = [resource["resource"], span, *span.get("events", ())]
                        yield span["traceId"], [each["key"] for part in every for each in part.get("attributes", ())]


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    assert PROGRAM is not None
    made = Collector(tmp_path)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, f"--config={tmp_path}/collector.yaml"], stdout=log, stderr=log)
    try:
        _until(partial(_answers, made.health, process), tmp_path / "log")
        yield made
    finally:
        process.terminate()
        process.wait(30)


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "it has ended"
    try:
        return httpx.get(f"http://127.0.0.1:{port}/").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _until(true: Callable[[], bool], log: Path) -> None:
    assert wait_for(true, _PATIENCE_SECONDS, pause_seconds=0.1), log.read_text()[-2000:]


def _send(collector: Collector, trace: str, service: str, region: str | None, *, seconds: float, failed: bool) -> None:
    resource = {"service.name": service, "player.id": "p-1", **({"croupier.traces": region} if region else {})}
    span = {
        "traceId": trace,
        "spanId": trace[16:],
        "name": "request",
        "kind": 2,
        "startTimeUnixNano": "1000000000",
        "endTimeUnixNano": str(1_000_000_000 + int(seconds * 1e9)),
        "attributes": _attributes({"player.id": "p-1", "http.route": "/"}),
        "events": [{"name": "said", "attributes": _attributes({"player.id": "p-1"})}] if failed else [],
        "status": {"code": _ERROR} if failed else {},
    }
    body = {"resourceSpans": [{"resource": {"attributes": _attributes(resource)}, "scopeSpans": [{"spans": [span]}]}]}
    httpx.post(f"http://127.0.0.1:{collector.port}/v1/traces", json=body).raise_for_status()


def _attributes(values: dict[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]


def _has(collector: Collector, region: str, wanted: set[str]) -> bool:
    return {trace for trace, _ in collector.spans(region)} >= wanted


def test_what_failed_what_was_slow_and_the_money_is_kept_and_players_stay_in_the_region(collector: Collector) -> None:
    sent: dict[str, str] = {}
    for _ in range(MANY):
        for kind in ("sound", "failed", "slow", "money"):
            for region in (OWN, OTHER, None):
                trace = f"{len(sent) + 1:032x}"
                sent[trace] = f"{kind} {region or OWN}"
                service = "payments-api" if kind == "money" else "lobby"
                seconds = 0.5 if kind == "slow" else 0.01
                _send(collector, trace, service, region, seconds=seconds, failed=kind == "failed")
    for region in (OWN, OTHER):
        wanted = {trace for trace, what in sent.items() if what.endswith(region) and "sound" not in what}
        _until(partial(_has, collector, region, wanted), collector.folder / "log")
        assert {trace for trace, _ in collector.spans(region)} == wanted
    assert {names.count("player.id") for _, names in collector.spans(OWN)} == {2, 3}
    assert {names.count("player.id") for _, names in collector.spans(OTHER)} == {0}
    assert all("http.route" in names for _, names in collector.spans(OTHER))
