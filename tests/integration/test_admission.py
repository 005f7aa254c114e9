"""The webhook over real TLS: what hostile bodies cost, and a new certificate costs nobody an answer (S3.6, S10)."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.support.authority import Authority
from tests.support.hostile_bodies import hostile
from tests.support.reviews import DIGEST, images, pod, review, sent

from croupier.adapters.clock import SystemClock
from croupier.admission import app as app_module
from croupier.admission.app import Doorkeeper, Limits
from croupier.admission.certificate import Certificate
from croupier.admission.judge import Door, at_the_door, on_images
from croupier.admission.run import Places, serving
from croupier.core.policy.catalogue import chosen
from croupier.core.policy.objects import Settings
from croupier.core.policy.rule import Level, Rule, Scope
from croupier.errors import UsageError
from croupier_stand.process import wait_for

DOOR = Door(
    rules=at_the_door(chosen("default")),
    image_rules=on_images(chosen("default")),
    mode="enforce",
    fail_on=Level.ERROR,
    settings=Settings(),
    excluded=frozenset(("croupier",)),
    allow_on_failure=False,
    heeds_waivers=True,
)
LARGEST = 1024 * 1024
JSON = {"Content-Type": "application/json"}


@dataclass
class Served:
    """A webhook in this process, and a client that trusts its authority."""

    keeper: Doorkeeper
    certificate: Certificate
    authority: Authority
    folder: Path
    port: int
    about: int
    http: aiohttp.ClientSession

    async def post(self, path: str, body: object) -> tuple[int, dict[str, object]]:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.http.post(f"https://127.0.0.1:{self.port}{path}", data=raw, headers=JSON) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str) -> tuple[int, str]:
        async with self.http.get(f"http://127.0.0.1:{self.about}{path}") as answer:
            return answer.status, await answer.text()

    async def counted(self, name: str) -> float:
        """A sample of /metrics by name and labels; 0.0 without one."""
        found = re.search(rf"^{re.escape(name)} (\S+)$", (await self.get("/metrics"))[1], re.MULTILINE)
        return float(found[1]) if found else 0.0


@asynccontextmanager
async def served(folder: Path, door: Door = DOOR, limits: Limits | None = None) -> AsyncIterator[Served]:
    authority = Authority()
    authority.write(folder)
    certificate = Certificate(folder / "tls.crt", folder / "tls.key")
    keeper = Doorkeeper(door, SystemClock(), limits or Limits(LARGEST, 5.0))
    connector = aiohttp.TCPConnector(ssl=authority.trusted())
    async with (
        serving(keeper, certificate, Places("127.0.0.1", 0, 0)) as (port, about),
        aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(30)) as http,
    ):
        yield Served(keeper, certificate, authority, folder, port, about, http)


# --- answers ----------------------------------------------------------------------------------------------------------


async def test_reviews_are_answered_and_counted(tmp_path: Path) -> None:
    async with served(tmp_path) as door:
        for name, allowed in (("deployment-good", True), ("deployment-privileged", False)):
            status, told = await door.post("/validate", sent(name))
            assert (status, told["kind"], told["apiVersion"]) == (200, "AdmissionReview", "admission.k8s.io/v1")
            assert told["response"]["allowed"] is allowed  # type: ignore[index]
        status, told = await door.post("/image-policy", images(f"registry.example/bets@{DIGEST}"))
        assert (status, told["status"]) == (200, {"allowed": True})
        await door.post("/image-policy", images("bets:latest", "bets:latest"))
        assert await door.counted('croupier_admission_reviews_total{endpoint="validate",outcome="refused"}') == 1
        assert await door.counted('croupier_admission_reviews_total{endpoint="image-policy",outcome="refused"}') == 1
        assert await door.counted('croupier_admission_findings_total{rule="privileged"}') == 1
        assert await door.counted('croupier_admission_image_lookups_total{held="yes"}') == 1
        assert await door.counted("croupier_admission_image_verdicts_held") == 2


async def test_the_report_says_who_would_break(tmp_path: Path) -> None:
    async with served(tmp_path, replace(DOOR, mode="warn")) as door:
        _, told = await door.post("/validate", sent("deployment-privileged"))
        assert told["response"]["allowed"] is True  # type: ignore[index]
        report = json.loads((await door.get("/report"))[1])
        (row,) = report["breaking"]
        assert (report["mode"], row["kind"], row["name"], row["user"]) == (
            "warn",
            "Deployment",
            "payments-api",
            "lucky-releases@example",
        )
        assert "privileged" in row["rules"]


async def test_what_a_rule_stumbles_over_is_refused_counted_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def stumbles(each: object) -> Iterator[None]:
        raise TypeError(f"what was brought: {each}")
        yield

    bug = Rule("bug", "A bug", Level.ERROR, Scope.POD, "", "", "", "", "", frozenset(), True, stumbles)  # type: ignore[arg-type]
    async with served(tmp_path, replace(DOOR, rules=at_the_door([bug]))) as door:
        status, told = await door.post("/validate", review(pod()))
        assert status == 200
        assert told["response"]["allowed"] is False  # type: ignore[index]
        assert told["response"]["status"]["code"] == 500  # type: ignore[index]
        assert await door.counted('croupier_admission_reviews_total{endpoint="validate",outcome="failed"}') == 1
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == ["review.failed"]
    async with served(tmp_path, replace(DOOR, rules=at_the_door([bug]), allow_on_failure=True)) as door:
        _, told = await door.post("/validate", review(pod()))
        assert told["response"]["allowed"] is True  # type: ignore[index]


async def test_judging_is_bounded_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes too long is answered as configured, and nobody else waits for it."""
    monkeypatch.setattr(app_module, "FEW_VALUES", 100)
    release = threading.Event()

    def waits(each: object) -> Iterator[None]:
        assert release.wait(60)
        yield from ()

    slow = Rule("slow", "Slow", Level.ERROR, Scope.POD, "", "", "", "", "", frozenset(), True, waits)  # type: ignore[arg-type]
    async with served(tmp_path, replace(DOOR, rules=at_the_door([slow])), Limits(LARGEST, 0.2)) as door:
        large = pod(args=["x"] * 200)
        status, told = await door.post("/validate", review(large))
        assert (status, told["response"]["allowed"]) == (200, False)  # type: ignore[index]
        assert "it took too long" in told["response"]["status"]["message"]  # type: ignore[index]
        assert (await door.get("/healthz"))[0] == 200
        release.set()


async def test_who_finds_no_room_is_told_so_in_time(tmp_path: Path) -> None:
    async with served(tmp_path, limits=Limits(LARGEST, 0.2)) as door:
        door.keeper._small = asyncio.Semaphore(0)
        assert (await door.post("/validate", review(pod())))[0] == 503
        assert await door.counted('croupier_admission_unfit_bodies_total{reason="too-busy"}') == 1


async def test_a_body_that_does_not_come_is_given_up(tmp_path: Path) -> None:
    async with served(tmp_path, limits=Limits(LARGEST, 0.2)) as door:

        async def never() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.Event().wait()

        with pytest.raises((aiohttp.ClientError, TimeoutError)):
            async with (
                asyncio.timeout(20),
                door.http.post(f"https://127.0.0.1:{door.port}/validate", data=never(), headers=JSON) as answer,
            ):
                assert answer.status == 408
                raise aiohttp.ClientError
        assert await door.counted('croupier_admission_unfit_bodies_total{reason="too-slow"}') == 1


# --- the certificate --------------------------------------------------------------------------------------------------


async def shown(door: Served, *, name: str | None) -> int:
    """Serial number of the certificate that a new connection is shown. ``name``: SNI; None: none is sent."""
    _, writer = await asyncio.open_connection(
        "127.0.0.1", door.port, ssl=door.authority.trusted(), server_hostname=name or "127.0.0.1"
    )
    found = writer.get_extra_info("peercert")["serialNumber"]
    writer.close()
    await writer.wait_closed()
    return int(found, 16)


async def test_ten_new_certificates_under_load_cost_no_answer(tmp_path: Path) -> None:
    async with served(tmp_path) as door:
        done, failures = asyncio.Event(), list[str]()
        answered = asyncio.Semaphore(0)
        body = json.dumps(review(pod())).encode()

        async def load(*, keeps: bool) -> None:
            """One client after another: with a connection that is kept, or a new one each time."""
            connector = aiohttp.TCPConnector(ssl=door.authority.trusted(), force_close=not keeps)
            async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(30)) as http:
                while not done.is_set():
                    try:
                        url = f"https://127.0.0.1:{door.port}/validate"
                        async with http.post(url, data=body, headers=JSON) as answer:
                            if answer.status != 200 or not (await answer.json())["response"]["allowed"]:
                                failures.append(str(answer.status))
                    except (aiohttp.ClientError, OSError, TimeoutError) as error:
                        failures.append(repr(error))
                    answered.release()

        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(load(keeps=number % 2 == 0))
            for turn in range(10):
                answered = asyncio.Semaphore(0)
                serial = door.authority.write(tmp_path)
                assert door.certificate.look()
                # Not before each client has asked on, with the new one.
                for _ in range(24):
                    await answered.acquire()
                assert await shown(door, name="localhost" if turn % 2 else None) == serial
            done.set()
        assert not failures
        assert await door.counted('croupier_admission_certificate_reloads_total{result="reloaded"}') == 10


async def test_a_pair_that_does_not_fit_is_shown_to_nobody_and_tried_again(tmp_path: Path) -> None:
    async with served(tmp_path) as door:
        first = await shown(door, name="localhost")
        cert, key, serial = door.authority.issue()
        (tmp_path / "tls.crt").write_bytes(cert)
        assert not door.certificate.look()
        assert await shown(door, name="localhost") == first
        assert await door.counted('croupier_admission_certificate_reloads_total{result="unusable"}') == 1
        (tmp_path / "tls.key").write_bytes(key)
        assert door.certificate.look()
        assert await shown(door, name="localhost") == serial
        assert not door.certificate.look()


def test_files_that_are_no_certificate_are_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "tls.crt").write_text("no certificate")
    (tmp_path / "tls.key").write_text("no key")
    with pytest.raises(UsageError, match="are no certificate with its key"):
        Certificate(tmp_path / "tls.crt", tmp_path / "tls.key")


# --- the process ------------------------------------------------------------------------------------------------------


@dataclass
class Process:
    pid: int
    port: int
    about: int
    authority: Authority
    log: Path

    def peak_bytes(self) -> int:
        """The most memory it has ever had."""
        return self._memory("VmHWM")

    def resident_bytes(self) -> int:
        """The memory it has."""
        return self._memory("VmRSS")

    def _memory(self, name: str) -> int:
        found = re.search(rf"^{name}:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    def lines(self) -> list[Mapping[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    with started(tmp_path) as found:
        yield found


@contextmanager
def started(tmp_path: Path, *more: str) -> Iterator[Process]:
    """``croupier admission run`` with ``more`` options. It has ended well, or the test fails."""
    authority = Authority()
    authority.write(tmp_path)
    log = tmp_path / "log"
    words = ["--mode", "enforce", "--cert", str(tmp_path / "tls.crt"), "--key", str(tmp_path / "tls.key"), "--verbose"]
    words += ["--host", "127.0.0.1", "--port", "0", "--about-port", "0", *more]
    with log.open("wb") as out:
        argv = [sys.executable, "-m", "croupier.cli", "admission", "run", *words]
        child = subprocess.Popen(argv, stderr=out, stdout=subprocess.DEVNULL)
    try:
        assert wait_for(lambda: '"serving"' in log.read_text() or child.poll() is not None, 60.0)
        (serving_,) = [json.loads(line) for line in log.read_text().splitlines() if '"serving"' in line]
        yield Process(child.pid, serving_["port"], serving_["aboutPort"], authority, log)
        child.send_signal(signal.SIGTERM)
        assert child.wait(30) == 0
    finally:
        child.kill()
        child.wait()


async def send(process: Process, body: bytes | BytesIO | AsyncIterator[bytes], **headers: str) -> int | None:
    """The status, or None where the other side hung up before one came."""
    connector = aiohttp.TCPConnector(ssl=process.authority.trusted())
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(60)) as http:
        try:
            url = f"https://127.0.0.1:{process.port}/validate"
            async with http.post(url, data=body, headers={**JSON, **headers}) as answer:
                return answer.status
        except (aiohttp.ClientError, ConnectionError, ssl.SSLError):
            return None


async def test_hostile_bodies_are_refused_with_memory_flat(process: Process) -> None:
    good = json.dumps(review(pod())).encode()
    assert await send(process, good) == 200
    before = process.peak_bytes()

    async def fifty_megabytes() -> AsyncIterator[bytes]:
        for _ in range(800):
            yield b"[" * 65_536

    assert await send(process, fifty_megabytes()) in (413, None)
    assert await send(process, BytesIO(b"x" * 50_000_000)) in (413, None)
    for raw in (b"[" * 1_000_000, b'{"a":' * 200_000, b'{"a": NaN}', b"\xff\xfe{}", b"null", b'{"kind": 1}'):
        assert await send(process, raw) == 400
    assert await send(process, good, **{"Content-Type": "text/plain"}) == 415
    many = pod()
    many["spec"]["containers"] = [{}] * 40_000
    assert await send(process, json.dumps(review(many)).encode()) == 200
    assert process.peak_bytes() - before < 32 * 1024 * 1024
    assert await send(process, good) == 200


async def test_a_thousand_hostile_bodies_are_answered_with_memory_flat(process: Process) -> None:
    """Each is judged or refused with a reason, over TLS; the thousand cost no memory that few before had not."""
    good = json.dumps(review(pod())).encode()
    connector = aiohttp.TCPConnector(ssl=process.authority.trusted())
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(60)) as http:

        async def answered(raw: bytes) -> tuple[int, dict[str, Any]]:
            path = "image-policy" if b"ImageReview" in raw else "validate"
            async with http.post(f"https://127.0.0.1:{process.port}/{path}", data=raw, headers=JSON) as answer:
                return answer.status, await answer.json()

        async def asked(seed: int, count: int) -> None:
            for kind, raw, statuses in hostile(seed, count):
                status, told = await answered(raw)
                assert status in statuses, (kind, raw[:2_000], told)
                if status == 200:
                    found = told.get("response", told.get("status"))
                    assert type(found["allowed"]) is bool, (kind, raw[:2_000], told)
                else:
                    assert told["error"]["code"], (kind, raw[:2_000], told)
                    assert told["error"]["message"], (kind, raw[:2_000], told)

        await asked(1, 200)
        before = process.resident_bytes()
        await asked(2, 1_000)
        for _ in range(3):
            assert await send(process, BytesIO(b"x" * 50_000_000)) in (413, None)
        assert (await answered(good))[1]["response"]["allowed"] is True
    assert process.resident_bytes() - before < 16 * 1024 * 1024
    assert not [line for line in process.lines() if line["event"] == "review.failed"]


async def test_logs_are_json_and_hold_nothing_that_was_brought(process: Process) -> None:
    secret = "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc"
    body = sent("config-map-with-secret")
    assert await send(process, json.dumps(body).encode()) == 200
    value = pod(env=[{"name": "PSP_API_KEY", "value": secret}], image=f"registry.example/bets:{secret}")
    assert await send(process, json.dumps(review(value)).encode()) == 200
    assert await send(process, f'{{"a": "{secret}"'.encode()) == 400
    events = [line["event"] for line in process.lines()]
    assert events.count("review.refused") == 2
    assert events.count("body.unfit") == 1
    assert secret not in process.log.read_text()


async def test_rules_of_ones_own_are_asked_at_the_door(tmp_path: Path) -> None:
    """The example of a rule in CEL that people write themselves, as `policy check --rules` asks it."""
    rules = Path(__file__).parents[2] / "examples" / "rules"
    with started(tmp_path, "--rules", str(rules), "--enable", "team", "--fail-on", "warning") as process:
        connector = aiohttp.TCPConnector(ssl=process.authority.trusted())
        async with aiohttp.ClientSession(connector=connector) as http:
            url = f"https://127.0.0.1:{process.port}/validate"
            async with http.post(url, data=json.dumps(review(pod())).encode(), headers=JSON) as answer:
                told = await answer.json()
    assert "team: " in told["response"]["status"]["message"]
