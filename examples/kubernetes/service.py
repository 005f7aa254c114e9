"""A small casino service in two roles, for tests and for newcomers. The standard library only.

Role ``payments-api`` takes deposits: it begins each one at ``books``, answers, and captures it a moment later. It is
what gets released, and DEFECT makes a version of it bad. Role ``books`` is never under release: it sees whether what
was begun was also captured, and shows that as a tally's page, per version and pod.

Environment of ``payments-api``: DEFECT, DEFECT_SHARE (0-1, of requests or deposits), BOOKS_URL, and by the downward API
POD_NAME, CROUPIER_SERVICE (``<policy>.<namespace>``) and CROUPIER_VERSION (the label that the operator
puts on pods). Environment of both: PORT, and DRAIN_SECONDS, which must pass without a request before a pod ends.
Its page ``/live`` is a WebSocket that says which version it is with.
"""

from __future__ import annotations

import base64
import collections
import contextlib
import hashlib
import heapq
import http.client
import http.server
import json
import os
import random
import re
import secrets
import signal
import socket
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message

ARM_HEADER = "x-croupier-arm"
PLAYER_HEADER = "x-player"
POD_HEADER = "x-pod"

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.4, 1.0)
"""Upper edges in seconds."""
SHARES = {"": 0.0, "errors": 0.02, "deposit-loss": 0.03, "slow": 0.1, "never-ready": 1.0, "crash-loop": 1.0}
"""Defect -> the share of requests or deposits that it harms."""
SLOW_SECONDS = 0.3
CAPTURE_SECONDS = 0.2
EXPIRE_SECONDS = 5.0
TICK_SECONDS = 5.0
HISTORY_SECONDS = 600.0
CALL_SECONDS = 4.0
IN_FLIGHT_SECONDS = 8.0
MOST_DRAIN_SECONDS = 20.0
IDLE_SECONDS = 300.0
"""Longer than gateways keep idle connections, so that it is they who close them: never in the middle of a request."""
MOST_BYTES = 65_536
SOCKET_SECONDS = 1.0
SOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""Of every WebSocket's handshake (RFC 6455, 1.3)."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. ``counted``: it belongs to the service's own metrics."""

    status: int
    body: str
    kind: str = "application/json"
    counted: bool = True


class Service:
    """What both roles share: health, readiness and draining."""

    def __init__(self) -> None:
        self.draining = threading.Event()
        self.asked_at = 0.0
        """When the last request came, but for health and metrics; seconds of the monotonic clock."""

    def answer(self, method: str, path: str, headers: Message) -> Answer:
        """Answer one request."""
        if path == "/healthz":
            return Answer(200, "alive\n", "text/plain", counted=False)
        if path == "/ready":
            is_ready = self.is_ready() and not self.draining.is_set()
            return Answer(200 if is_ready else 503, f"{'' if is_ready else 'not '}ready\n", "text/plain", counted=False)
        if path == "/metrics":
            return Answer(200, "\n".join(self.metrics()) + "\n", "text/plain; version=0.0.4", counted=False)
        self.asked_at = time.monotonic()
        return self.handle(method, path, headers)

    def is_ready(self) -> bool:
        return True

    def count(self, status: int, seconds: float) -> None:
        """One answered request, but for health and metrics."""

    def finish(self) -> None:
        """End what was begun, after the last request."""

    def metrics(self) -> Iterator[str]:
        raise NotImplementedError

    def handle(self, method: str, path: str, headers: Message) -> Answer:
        raise NotImplementedError


class Payments(Service):
    """Takes deposits, in the way its DEFECT allows."""

    def __init__(self, environment: dict[str, str]) -> None:
        super().__init__()
        self.defect = environment.get("DEFECT", "")
        self.share = float(environment.get("DEFECT_SHARE") or SHARES[self.defect])
        self.pod = environment.get("POD_NAME", socket.gethostname())
        self.version = environment.get("CROUPIER_VERSION", "")
        service = environment.get("CROUPIER_SERVICE", "")
        self.arm = f"{service}/-/{self.version}/0" if service and self.version else ""
        self.books = Caller(environment.get("BOOKS_URL", "http://books"))
        self.codes: collections.Counter[int] = collections.Counter()
        self.buckets = [0] * len(BUCKETS)
        self.seconds = 0.0
        self.sockets = 0
        self.lock = threading.Lock()
        self.captures = Later(self._capture)

    def is_ready(self) -> bool:
        return self.defect != "never-ready"

    def handle(self, method: str, path: str, headers: Message) -> Answer:
        if self._strikes("slow"):
            time.sleep(SLOW_SECONDS)
        if self._strikes("errors"):
            return Answer(500, '{"error": "it happens"}\n')
        if (method, path) == ("GET", "/"):
            return Answer(200, json.dumps({"version": self.version, "pod": self.pod}) + "\n")
        if (method, path) == ("POST", "/deposits"):
            return self._deposit(headers.get(PLAYER_HEADER, ""))
        return Answer(404, '{"error": "no such page"}\n')

    def _deposit(self, player: str) -> Answer:
        if not player:
            return Answer(400, f'{{"error": "header {PLAYER_HEADER} is missing"}}\n')
        deposit = secrets.token_hex(8)
        told = {ARM_HEADER: self.arm, PLAYER_HEADER: player, POD_HEADER: self.pod}
        if not self.books.post(f"/deposits/{deposit}", {name: value for name, value in told.items() if value}):
            return Answer(502, '{"error": "books cannot be reached"}\n')
        if not self._strikes("deposit-loss"):
            self.captures.add(CAPTURE_SECONDS, deposit)
        return Answer(200, json.dumps({"id": deposit, "version": self.version, "pod": self.pod}) + "\n")

    def _capture(self, deposit: str) -> None:
        self.books.post(f"/deposits/{deposit}/capture", {})

    def _strikes(self, defect: str) -> bool:
        return self.defect == defect and random.random() < self.share

    def finish(self) -> None:
        self.captures.finish()

    def count(self, status: int, seconds: float) -> None:
        with self.lock:
            self.codes[status] += 1
            self.seconds += seconds
            for place, edge in enumerate(BUCKETS):
                self.buckets[place] += seconds <= edge

    def metrics(self) -> Iterator[str]:
        with self.lock:
            codes, buckets, seconds, sockets = dict(self.codes), list(self.buckets), self.seconds, self.sockets
        codes.setdefault(200, 0)
        yield from head("http_requests_total", "Requests answered.", "counter")
        for code, count in sorted(codes.items()):
            yield f'http_requests_total{{code="{code}"}} {count}'
        yield from head("http_request_duration_seconds", "How long requests took.", "histogram")
        total = sum(codes.values())
        for edge, count in zip((*map(str, BUCKETS), "+Inf"), (*buckets, total), strict=True):
            yield f'http_request_duration_seconds_bucket{{le="{edge}"}} {count}'
        yield f"http_request_duration_seconds_sum {seconds:.6f}"
        yield f"http_request_duration_seconds_count {total}"
        yield from head("croupier_open_sockets", "WebSockets that are open.", "gauge")
        yield f"croupier_open_sockets {sockets}"

    @contextlib.contextmanager
    def socket(self) -> Iterator[None]:
        """One more WebSocket, until the end of the block."""
        with self.lock:
            self.sockets += 1
        try:
            yield
        finally:
            with self.lock:
                self.sockets -= 1


@dataclass
class Deposit:
    """A deposit that is not decided yet. ``arm``: (service, run, version); None when unknown."""

    arm: tuple[str, str, str] | None
    pod: str
    player: str
    expires_at: float


@dataclass
class Counts:
    """Cumulative counts of one version and pod."""

    attempts: int = 0
    failures: int = 0
    exposed: int = 0
    affected: int = 0


@dataclass
class Tally:
    """Counts attempts when they are decided, and players as croupier's gates want them.

    A player is *exposed* once a tick of five seconds while not affected, and *affected* by the first failure; who was
    affected is forgotten every ten minutes.
    """

    counts: dict[tuple[str, str, str, str], Counts] = field(default_factory=lambda: collections.defaultdict(Counts))
    """(service, run, version, pod) -> counts."""
    outcomes: collections.Counter[tuple[str, str, str, str]] = field(default_factory=collections.Counter)
    """(service, run, version, outcome) -> how often."""
    affected: set[tuple[str, str]] = field(default_factory=set)
    """(service, player)."""
    exposed: dict[tuple[str, str, str], tuple[int, str]] = field(default_factory=dict)
    """(service, version, player) -> tick and pod of the last exposure."""
    stretch: int = 0

    def decide(self, deposit: Deposit, *, is_good: bool, now: float) -> None:
        """Count one attempt with its outcome."""
        if deposit.arm is None:
            return
        service, _, version = deposit.arm
        counts = self.counts[(*deposit.arm, deposit.pod)]
        counts.attempts += 1
        counts.failures += not is_good
        self.outcomes[(*deposit.arm, "captured" if is_good else "expired")] += 1
        self._forget(int(now // HISTORY_SECONDS))
        if not deposit.player or (service, deposit.player) in self.affected:
            return
        tick = int(now // TICK_SECONDS)
        key = (service, version, deposit.player)
        last = self.exposed.get(key)
        if last is None or last[0] < tick:
            last = self.exposed[key] = (tick, deposit.pod)
            counts.exposed += 1
        if not is_good:
            self.affected.add((service, deposit.player))
            self.counts[(*deposit.arm, last[1])].affected += 1

    def _forget(self, stretch: int) -> None:
        if stretch != self.stretch:
            self.stretch = stretch
            self.affected.clear()
            self.exposed.clear()

    def page(self, updated_at: float) -> Iterator[str]:
        yield from head("croupier_tally_updated_seconds", "Up to when all sources were read, epoch.", "gauge")
        yield f"croupier_tally_updated_seconds {updated_at:.3f}"
        for name, about, attribute in (
            ("croupier_signal_attempts_total", "Attempts, counted when decided.", "attempts"),
            ("croupier_signal_failures_total", "Failures among them.", "failures"),
            ("croupier_signal_players_exposed_total", "Players not yet affected, with a decided attempt.", "exposed"),
            ("croupier_signal_players_affected_total", "First failures of players.", "affected"),
        ):
            yield from head(name, about, "counter")
            for (service, run, version, pod), counts in sorted(self.counts.items()):
                labels = f'service="{service}",run="{run}",version="{version}",pod="{pod}",signal="deposits"'
                yield f"{name}{{{labels}}} {getattr(counts, attribute)}"
        yield from head("croupier_outcomes_total", "How attempts ended.", "counter")
        for (service, run, version, outcome), count in sorted(self.outcomes.items()):
            labels = f'service="{service}",run="{run}",version="{version}",signal="deposits",outcome="{outcome}"'
            yield f"croupier_outcomes_total{{{labels}}} {count}"


class Books(Service):
    """Keeps deposits until they are captured or expire."""

    _ARM = re.compile(r"^([a-z][a-z0-9.-]{0,126})/([A-Za-z0-9-]{1,32})/([0-9a-f]{12})/[0-9]{1,9}$")
    _PATH = re.compile(r"^/deposits/([0-9a-f]{16})(/capture)?$")
    _POD = re.compile(r"^[a-z0-9.-]{1,253}$")

    def __init__(self) -> None:
        super().__init__()
        self.tally = Tally()
        self.waiting: dict[str, Deposit] = {}
        """Id -> deposit, in the order in which they expire."""
        self.lock = threading.Lock()

    def handle(self, method: str, path: str, headers: Message) -> Answer:
        match = self._PATH.match(path)
        if method != "POST" or match is None:
            return Answer(404, '{"error": "no such page"}\n')
        with self.lock:
            now = time.time()
            self._expire(now)
            return self._capture(match[1], now) if match[2] else self._begin(match[1], headers, now)

    def _begin(self, name: str, headers: Message, now: float) -> Answer:
        match, pod = self._ARM.match(headers.get(ARM_HEADER, "")), headers.get(POD_HEADER, "")
        arm = (match[1], match[2], match[3]) if match and self._POD.match(pod) else None
        # A repeated call begins nothing new.
        self.waiting.setdefault(name, Deposit(arm, pod, headers.get(PLAYER_HEADER, ""), now + EXPIRE_SECONDS))
        return Answer(200, '{"state": "begun"}\n')

    def _capture(self, name: str, now: float) -> Answer:
        deposit = self.waiting.pop(name, None)
        if deposit is None:
            return Answer(404, '{"error": "no such deposit waits"}\n')
        self.tally.decide(deposit, is_good=True, now=now)
        return Answer(200, '{"state": "captured"}\n')

    def _expire(self, now: float) -> None:
        while self.waiting:
            first = next(iter(self.waiting))
            if self.waiting[first].expires_at > now:
                return
            deposit = self.waiting.pop(first)
            self.tally.decide(deposit, is_good=False, now=deposit.expires_at)

    def metrics(self) -> Iterator[str]:
        with self.lock:
            now = time.time()
            self._expire(now)
            yield from list(self.tally.page(now))


class Caller:
    """Calls another service over kept connections, one a thread; a connection that has gone stale is made anew once."""

    def __init__(self, url: str) -> None:
        self.address = urllib.parse.urlsplit(url).netloc
        self.local = threading.local()

    def post(self, path: str, headers: dict[str, str]) -> bool:
        """Whether the answer is good."""
        for _ in range(2):
            connection = getattr(self.local, "connection", None) or self._connect()
            try:
                connection.request("POST", path, headers=headers)
                answer = connection.getresponse()
                answer.read()
                return answer.status == 200
            except (OSError, http.client.HTTPException):
                connection.close()
        return False

    def _connect(self) -> http.client.HTTPConnection:
        connection = self.local.connection = http.client.HTTPConnection(self.address, timeout=CALL_SECONDS)
        return connection


class Later:
    """Does things a little later, in a few threads, so that one slow answer does not make all others late."""

    THREADS = 8

    def __init__(self, act: Callable[[str], None]) -> None:
        self.act = act
        self.due: list[tuple[float, str]] = []
        self.changed = threading.Condition()
        self.closing = False
        self.threads = [threading.Thread(target=self._run, name="later") for _ in range(self.THREADS)]
        for thread in self.threads:
            thread.start()

    def add(self, seconds: float, what: str) -> None:
        with self.changed:
            heapq.heappush(self.due, (time.monotonic() + seconds, what))
            self.changed.notify()

    def finish(self) -> None:
        """Do all that waits now, and end."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        for thread in self.threads:
            thread.join()

    def _run(self) -> None:
        while (what := self._next()) is not None:
            self.act(what)

    def _next(self) -> str | None:
        with self.changed:
            while True:
                now = time.monotonic()
                if self.due and (self.closing or self.due[0][0] <= now):
                    return heapq.heappop(self.due)[1]
                if self.closing:
                    return None
                self.changed.wait(self.due[0][0] - now if self.due else None)


class Handler(http.server.BaseHTTPRequestHandler):
    """HTTP/1.1 with kept connections. Without TCP_NODELAY and a write buffer each answer would wait 40 ms."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65_536
    timeout = IDLE_SECONDS
    server: Server

    def do_GET(self) -> None:
        is_socket = self.path == "/live" and self.headers.get("upgrade", "").lower() == "websocket"
        if is_socket and isinstance(self.server.service, Payments):
            self._keep_socket(self.server.service)
        else:
            self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        began_at = time.monotonic()
        service = self.server.service
        with self.server.in_flight():
            self.rfile.read(min(int(self.headers.get("content-length") or 0), MOST_BYTES))
            answer = service.answer(self.command, self.path.partition("?")[0], self.headers)
            body = answer.body.encode()
            self.send_response(answer.status)
            self.send_header("content-type", answer.kind)
            self.send_header("content-length", str(len(body)))
            if service.draining.is_set():
                self.send_header("connection", "close")
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()
        if answer.counted:
            service.count(answer.status, time.monotonic() - began_at)

    def _keep_socket(self, service: Payments) -> None:
        """A WebSocket (RFC 6455) that says every second which version it is with, until the other end closes or the pod
        ends; what the other end says is not read."""
        key = self.headers.get("sec-websocket-key", "")
        accepted = base64.b64encode(hashlib.sha1((key + SOCKET_GUID).encode()).digest()).decode()
        self.close_connection = True
        self.send_response(101)
        self.send_header("upgrade", "websocket")
        self.send_header("connection", "Upgrade")
        self.send_header("sec-websocket-accept", accepted)
        self.end_headers()
        said = json.dumps({"version": service.version}).encode()
        with service.socket(), contextlib.suppress(OSError):  # the other end has closed
            while True:
                self.wfile.write(bytes((0x81, len(said))) + said)  # one frame of text, shorter than 126 bytes
                self.wfile.flush()
                time.sleep(SOCKET_SECONDS)

    def log_message(self, format: str, *arguments: object) -> None:
        """Requests are counted, not logged."""


class Server(http.server.ThreadingHTTPServer):
    """Counts what is in flight, so that the last request is answered before the end."""

    request_queue_size = 256
    daemon_threads = True

    def __init__(self, port: int, service: Service) -> None:
        super().__init__(("", port), Handler)
        self.service = service
        self._open = 0
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def in_flight(self) -> Iterator[None]:
        self._add(1)
        try:
            yield
        finally:
            self._add(-1)

    def _add(self, number: int) -> None:
        with self._changed:
            self._open += number
            self._changed.notify_all()

    def wait_until_idle(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._open == 0, IN_FLIGHT_SECONDS)


def head(name: str, about: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"


def wait_until_quiet(service: Service, seconds: float) -> None:
    """Wait until no request has come for so long: they go on until the whole cluster knows that this pod is leaving."""
    began_at = time.monotonic()
    while True:
        until = min(max(began_at, service.asked_at) + seconds, began_at + MOST_DRAIN_SECONDS)
        if (left := until - time.monotonic()) <= 0:
            return
        time.sleep(left)


def main() -> None:
    """Serve until SIGTERM, then drain: not ready, connections closed after their answer, all in flight finished."""
    environment = dict(os.environ)
    if environment.get("DEFECT") == "crash-loop":
        sys.exit("this version crashes")
    service: Service = Books() if sys.argv[1:] == ["books"] else Payments(environment)
    server = Server(int(environment.get("PORT", "8080")), service)
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    threading.Thread(target=server.serve_forever, daemon=True, name="server").start()
    print("serving", flush=True)
    told.wait()
    service.draining.set()
    print("draining", flush=True)
    wait_until_quiet(service, float(environment.get("DRAIN_SECONDS", "5")))
    server.shutdown()
    server.wait_until_idle()
    service.finish()
    print("drained", flush=True)


if __name__ == "__main__":
    main()
