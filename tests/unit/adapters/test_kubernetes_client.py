"""What goes over the line to an API server, and what comes of any answer. The server here says what a test tells it."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.edge import free_port

from croupier.adapters import kubernetes_client
from croupier.adapters.kubernetes_api import CONFIG_MAPS, DEPLOYMENTS, RELEASE_POLICIES, Change, selects
from croupier.adapters.kubernetes_client import KubernetesClient
from croupier.errors import Conflict, CroupierError, Expired, Missing, Refused, UnknownName, Unreachable, UsageError
from croupier.model.objects import JsonObject

TOKEN = "the-secret-of-the-operator"
DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "api", "namespace": "casino"}}
LEASE = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l", "namespace": "casino"}}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ApiServer:
    """``answer`` is what it says; ``asked`` what has reached it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.asked: list[tuple[str, str, dict[str, str], str, JsonObject | None]] = []
        """Method, path, query, content type, body."""
        self.answer: Handler = self._say({})
        self._runner: web.AppRunner | None = None

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        async def handle(request: web.Request) -> web.StreamResponse:
            text = await request.text()
            body = json.loads(text) if text else None
            kind = request.headers.get("content-type", "")
            self.asked.append((request.method, request.path, dict(request.query), kind, body))
            return await self.answer(request)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=tls).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @staticmethod
    def _say(body: Any, code: int = 200, **headers: str) -> Handler:
        async def answer(_: web.Request) -> web.Response:
            text = body if isinstance(body, str) else json.dumps(body)
            return web.Response(text=text, status=code, headers=headers)

        return answer

    def say(self, body: Any, code: int = 200, **headers: str) -> None:
        self.answer = self._say(body, code, **{name.replace("_", "-"): value for name, value in headers.items()})

    def stream(self, *chunks: bytes, cut: bool = False) -> None:
        """Answer a watch with these bytes; then end, or break the connection."""

        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            for chunk in chunks:
                await response.write(chunk)
                await asyncio.sleep(0)
            if cut and request.transport is not None:
                request.transport.abort()
            return response

        self.answer = answer


def write_kubeconfig(path: Path, *ports: int) -> Path:
    """Contexts ``c0``, ``c1``, … of these ports; the last one is current."""
    names = [f"c{number}" for number in range(len(ports))]
    config = {
        "clusters": [
            {"name": name, "cluster": {"server": f"http://127.0.0.1:{port}"}}
            for name, port in zip(names, ports, strict=True)
        ],
        "users": [{"name": name, "user": {"token": TOKEN}} for name in names],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "n"}} for name in names],
        "current-context": names[-1],
    }
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    server = ApiServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def client(server: ApiServer, tmp_path: Path) -> AsyncIterator[KubernetesClient]:
    client = KubernetesClient.connect("c0", write_kubeconfig(tmp_path / "config", server.port))
    yield client
    await client.aclose()


def event(kind: str, name: str = "api", version: str = "7", **more: Any) -> bytes:
    metadata = {"name": name, "namespace": "casino", "resourceVersion": version}
    return json.dumps({"type": kind, "object": {"metadata": metadata, **more}}, ensure_ascii=False).encode() + b"\n"


async def watched(client: KubernetesClient) -> list[Change]:
    stream = client.watch(DEPLOYMENTS, namespace="casino", resource_version="5")
    async with aclosing(stream):
        return [change async for change in stream]


# --- which cluster ---------------------------------------------------------------------------------------------------


async def test_the_current_context_is_never_used(server: ApiServer, tmp_path: Path) -> None:
    """It changes under our feet: a test that ran against production began like this."""
    production = ApiServer()
    await production.start()
    client = KubernetesClient.connect("c0", write_kubeconfig(tmp_path / "config", server.port, production.port))
    await client.get(DEPLOYMENTS, "api", namespace="casino")
    await client.aclose()
    await production.stop()
    assert len(server.asked) == 1
    assert production.asked == []


def test_without_a_context_only_the_cluster_around_us_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path / "config", 1)))
    with pytest.raises(UsageError, match="no way to this cluster: this is no pod; name a context"):
        KubernetesClient.connect(None, None)
    with pytest.raises(UsageError):
        KubernetesClient.connect(None, tmp_path / "config")


async def test_a_named_context_may_stand_in_the_usual_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path / "config", 1)))
    client = KubernetesClient.connect("c0", None)
    assert client.namespace == "n"
    await client.aclose()


def test_an_unknown_context_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownName) as caught:
        KubernetesClient.connect("c7", write_kubeconfig(tmp_path / "config", 1, 2))
    assert "c0, c1" in caught.value.hint


GOOD = {
    "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "u", "user": {"token": TOKEN}}],
    "contexts": [{"name": "c0", "context": {"cluster": "c", "user": "u"}}],
}


@pytest.mark.parametrize(
    "config",
    [
        None,
        [],
        {},
        GOOD | {"clusters": []},
        GOOD | {"clusters": None},
        GOOD | {"users": []},
        GOOD | {"contexts": [{"name": "c0", "context": {"cluster": "c"}}]},
        GOOD | {"contexts": [{"name": "c0", "context": {"cluster": 7, "user": "u"}}]},
        GOOD | {"clusters": [{"name": "c", "cluster": {"server": "https://h", "certificate-authority": "/none"}}]},
        GOOD | {"users": [{"name": "u", "user": {"client-certificate": "/none", "client-key": "/none"}}]},
        "clusters: [",
    ],
)
def test_a_file_that_cannot_be_used_is_a_usage_error(config: Any, tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    with pytest.raises(UsageError) as caught:
        KubernetesClient.connect("c0", path)
    assert TOKEN not in str(caught.value)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not found"):
        KubernetesClient.connect("c0", tmp_path / "none")


async def test_in_a_pod_the_token_is_read_again_when_it_has_expired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ApiServer()
    await server.start(certified(tmp_path))
    monkeypatch.setattr(kubernetes_client, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(server.port))
    (tmp_path / "namespace").write_text("casino")
    valid = "first"

    async def answer(request: web.Request) -> web.Response:
        known = request.headers["authorization"] == f"Bearer {valid}"
        return web.json_response(
            {"kind": "Status"} if known else {"message": "Unauthorized"}, status=200 if known else 401
        )

    server.answer = answer
    (tmp_path / "token").write_text("first")
    client = KubernetesClient.connect(None, None)
    assert client.namespace == "casino"
    assert await client.get(DEPLOYMENTS, "api", namespace="casino")
    valid = "second"
    with pytest.raises(Unreachable, match="cannot get Deployment casino/api: 401: Unauthorized"):
        await client.get(DEPLOYMENTS, "api", namespace="casino")
    (tmp_path / "token").write_text("second")
    assert await client.get(DEPLOYMENTS, "api", namespace="casino")
    await client.aclose()
    await server.stop()


def certified(folder: Path) -> ssl.SSLContext:
    """A server's TLS with its own authority, which lies in ``folder`` as ``ca.crt``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=36_500))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "ca.crt", folder / "key.pem")
    return context


# --- what is sent ----------------------------------------------------------------------------------------------------


async def test_apply_is_server_side_under_our_name(client: KubernetesClient, server: ApiServer) -> None:
    server.say(DEPLOYMENT)
    assert await client.apply(DEPLOYMENT) == DEPLOYMENT
    assert server.asked == [
        (
            "PATCH",
            "/apis/apps/v1/namespaces/casino/deployments/api",
            {"fieldManager": "croupier", "force": "true", "timeout": "5s"},
            "application/apply-patch+yaml",
            DEPLOYMENT,
        )
    ]
    await client.apply(DEPLOYMENT, force=False)
    assert server.asked[1][2]["force"] == "false"


async def test_a_status_goes_to_the_status(client: KubernetesClient, server: ApiServer) -> None:
    policy = {
        "apiVersion": "croupier.dev/v1alpha1",
        "kind": "ReleasePolicy",
        "metadata": {"name": "p", "namespace": "n"},
    }
    await client.patch_status(policy | {"status": {"phase": "Idle"}})
    assert server.asked[0][:2] == ("PATCH", "/apis/croupier.dev/v1alpha1/namespaces/n/releasepolicies/p/status")


async def test_a_deletion_is_of_this_very_object(client: KubernetesClient, server: ApiServer) -> None:
    await client.delete(CONFIG_MAPS, "c", namespace="casino", uid="u-1")
    method, path, _, kind, body = server.asked[0]
    assert (method, path, kind) == ("DELETE", "/api/v1/namespaces/casino/configmaps/c", "application/json")
    assert body is not None
    assert body["preconditions"] == {"uid": "u-1"}
    assert body["propagationPolicy"] == "Background"


async def test_a_deletion_of_what_is_gone_is_done(client: KubernetesClient, server: ApiServer) -> None:
    server.say({"message": "not found"}, 404)
    await client.delete(CONFIG_MAPS, "c", namespace="casino")
    server.say({"message": "Precondition failed: UID in precondition: u-1, UID in object meta: u-2"}, 409)
    await client.delete(CONFIG_MAPS, "c", namespace="casino", uid="u-1")
    with pytest.raises(Conflict):
        await client.delete(CONFIG_MAPS, "c", namespace="casino")


async def test_lists_ask_for_all_namespaces_or_one(client: KubernetesClient, server: ApiServer) -> None:
    server.say({"metadata": {"resourceVersion": "9"}, "items": [{"metadata": {"name": "a"}}]})
    listing = await client.list(DEPLOYMENTS, labels="a=b,c=d")
    assert listing.resource_version == "9"
    assert listing.items == ({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}},)
    await client.list(RELEASE_POLICIES, namespace="casino")
    assert [(path, query) for _, path, query, _, _ in server.asked] == [
        ("/apis/apps/v1/deployments", {"labelSelector": "a=b,c=d"}),
        ("/apis/croupier.dev/v1alpha1/namespaces/casino/releasepolicies", {}),
    ]


async def test_names_cannot_leave_their_place(client: KubernetesClient, server: ApiServer) -> None:
    await client.get(CONFIG_MAPS, "../secrets/s", namespace="casino")
    assert server.asked[0][1] in (
        "/api/v1/namespaces/casino/configmaps/../secrets/s",  # as the server decodes one segment
        "/api/v1/namespaces/casino/configmaps/..%2Fsecrets%2Fs",
    )


async def test_a_kind_that_nobody_works_with_is_no_request(client: KubernetesClient, server: ApiServer) -> None:
    with pytest.raises(UnknownName, match="v1 Secret"):
        await client.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"}})
    assert server.asked == []


async def test_past_a_closed_fence_nothing_reaches_the_server(client: KubernetesClient, server: ApiServer) -> None:
    def closed() -> None:
        raise Unreachable("the lease may be lost")

    client.fence = closed
    for write in (
        client.apply(DEPLOYMENT),
        client.patch_status(DEPLOYMENT),
        client.create(DEPLOYMENT),
        client.replace(DEPLOYMENT),
        client.delete(DEPLOYMENTS, "api", namespace="casino"),
    ):
        with pytest.raises(Unreachable, match="may be lost"):
            await write
    assert server.asked == []
    await client.replace(LEASE)
    await client.get(DEPLOYMENTS, "api", namespace="casino")
    assert [method for method, *_ in server.asked] == ["PUT", "GET"]


# --- what is answered ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, Refused),
        (401, Unreachable),
        (403, Refused),
        (404, Missing),
        (405, Refused),
        (408, Unreachable),
        (409, Conflict),
        (410, Expired),
        (422, Refused),
        (429, Unreachable),
        (500, Unreachable),
        (503, Unreachable),
        (504, Unreachable),
        (302, Unreachable),
    ],
)
async def test_every_refusal_says_verb_object_and_the_servers_words(
    client: KubernetesClient, server: ApiServer, code: int, kind: type[CroupierError]
) -> None:
    server.say({"kind": "Status", "message": "the server's own words"}, code)
    with pytest.raises(kind) as caught:
        await client.apply(DEPLOYMENT)
    assert type(caught.value) is kind
    assert caught.value.message == f"cannot apply Deployment casino/api: {code}: the server's own words"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("<html>bad gateway</html>", "<html>bad gateway</html>"),
        ("", "no reason given"),
        ("[7]", "[7]"),
        ("{}", "no reason"),
    ],
)
async def test_an_answer_of_a_proxy_is_passed_on(
    client: KubernetesClient, server: ApiServer, body: str, words: str
) -> None:
    server.say(body, 502)
    with pytest.raises(Unreachable, match="502: ") as caught:
        await client.list(DEPLOYMENTS)
    assert words in caught.value.message


async def test_a_long_answer_is_cut(client: KubernetesClient, server: ApiServer) -> None:
    server.say("x" * 100_000, 500)
    with pytest.raises(Unreachable) as caught:
        await client.list(DEPLOYMENTS)
    assert len(caught.value.message) < 1_000


@pytest.mark.parametrize(
    ("header", "details", "seconds"),
    [("7", {}, 7.0), ("", {"retryAfterSeconds": 3}, 3.0), ("", {}, 0.0), ("Wed, 21 Oct 2026 07:28:00 GMT", {}, 0.0)],
)
async def test_the_time_to_stay_away_is_passed_on(
    client: KubernetesClient, server: ApiServer, header: str, details: JsonObject, seconds: float
) -> None:
    server.say({"message": "too many requests", "details": details}, 429, **({"retry_after": header} if header else {}))
    with pytest.raises(Unreachable) as caught:
        await client.apply(DEPLOYMENT)
    assert caught.value.retry_after_seconds == seconds


@pytest.mark.parametrize("body", ["", "<html>", "[]", "7"])
async def test_nonsense_is_no_object(client: KubernetesClient, server: ApiServer, body: str) -> None:
    server.say(body)
    with pytest.raises(Unreachable, match="cannot apply Deployment casino/api: the answer is no"):
        await client.apply(DEPLOYMENT)
    with pytest.raises(Unreachable, match="cannot list deployments: the answer is no"):
        await client.list(DEPLOYMENTS)


async def test_an_object_is_no_list(client: KubernetesClient, server: ApiServer) -> None:
    server.say(DEPLOYMENT)
    with pytest.raises(Unreachable, match="no list"):
        await client.list(DEPLOYMENTS)


async def test_a_server_that_is_gone_is_unreachable(client: KubernetesClient, server: ApiServer) -> None:
    await server.stop()
    with pytest.raises(Unreachable, match=r"cannot apply Deployment casino/api: ConnectError") as caught:
        await client.apply(DEPLOYMENT)
    assert TOKEN not in str(caught.value)
    with pytest.raises(Unreachable, match="cannot watch deployments in casino: ConnectError"):
        await watched(client)


async def test_a_connection_cut_before_the_answer_is_unreachable(client: KubernetesClient, server: ApiServer) -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    server.answer = answer
    with pytest.raises(Unreachable, match="cannot apply Deployment casino/api"):
        await client.apply(DEPLOYMENT)


async def test_a_write_that_hangs_is_given_up(
    client: KubernetesClient, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fence counts on it."""
    release = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    server.answer = answer
    monkeypatch.setattr(kubernetes_client, "WRITE_SECONDS", 0.05)
    with pytest.raises(Unreachable, match=r"no answer within 0\.05 s"):
        await client.apply(DEPLOYMENT)
    release.set()


# --- watches ---------------------------------------------------------------------------------------------------------


async def test_a_watch_asks_for_bookmarks_and_tells_in_order(client: KubernetesClient, server: ApiServer) -> None:
    server.stream(event("ADDED"), event("MODIFIED", version="8") + event("DELETED", version="9"), event("BOOKMARK"))
    assert [change.kind for change in await watched(client)] == ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    assert server.asked[0][2] == {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": "5"}


async def test_an_event_may_come_in_pieces_and_hold_any_text(client: KubernetesClient, server: ApiServer) -> None:
    """Separators of lines in Unicode stand in annotations as they are."""
    text = "a\u0085b\u2028c\x1e"
    whole = event("ADDED", data=text)
    server.stream(*(whole[place : place + 1] for place in range(len(whole))))
    assert [change.object["data"] for change in await watched(client)] == [text]


async def test_410_in_mid_stream_is_expired(client: KubernetesClient, server: ApiServer) -> None:
    status = {"kind": "Status", "code": 410, "message": "too old resource version: 5 (9)"}
    server.stream(event("ADDED"), json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
    seen = []
    with pytest.raises(Expired, match=r"cannot watch deployments in casino: 410: too old resource version: 5 \(9\)"):
        async for change in client.watch(DEPLOYMENTS, namespace="casino", resource_version="5"):
            seen.append(change)
    assert len(seen) == 1


async def test_410_at_the_beginning_is_expired(client: KubernetesClient, server: ApiServer) -> None:
    server.say({"message": "gone"}, 410)
    with pytest.raises(Expired):
        await watched(client)


async def test_other_errors_in_mid_stream_keep_their_meaning(client: KubernetesClient, server: ApiServer) -> None:
    status = {"code": 429, "message": "busy", "details": {"retryAfterSeconds": 2}}
    server.stream(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
    with pytest.raises(Unreachable) as caught:
        await watched(client)
    assert caught.value.retry_after_seconds == 2.0


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"<html>\n", "it was cut"),
        (b"[]\n", "no event"),
        (b'{"type": "ADDED"}\n', "no event"),
        (b'{"type": "NEWS", "object": {}}\n', "type 'NEWS'"),
        (b'{"type": "ADDED", "object": {"metadata": {}}}\n', "without a version"),
        (event("ADDED")[:-1], "ended within an event"),
        (event("ADDED")[:40], "ended within an event"),
    ],
)
async def test_what_is_no_event_breaks_the_watch(
    client: KubernetesClient, server: ApiServer, line: bytes, reason: str
) -> None:
    server.stream(line)
    with pytest.raises(Unreachable, match=reason):
        await watched(client)


async def test_a_cut_watch_is_unreachable(client: KubernetesClient, server: ApiServer) -> None:
    server.stream(event("ADDED"), cut=True)
    with pytest.raises(Unreachable, match="it was cut"):
        await watched(client)


async def test_an_endless_event_is_refused(
    client: KubernetesClient, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes_client, "LARGEST_EVENT_BYTES", 1_000)
    server.stream(*[b"x" * 500] * 10)
    with pytest.raises(Unreachable, match="more than 1000 bytes"):
        await watched(client)


async def test_a_watch_that_is_left_gives_its_connection_back(client: KubernetesClient, server: ApiServer) -> None:
    left = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(event("ADDED"))
        try:
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.01)
        except OSError:
            left.set()
            raise

    server.answer = answer
    stream = client.watch(DEPLOYMENTS, namespace="casino", resource_version="5")
    async with aclosing(stream):
        assert (await anext(stream)).kind == "ADDED"
    async with asyncio.timeout(10):
        await left.wait()


def test_selectors_are_equalities() -> None:
    obj = {"metadata": {"labels": {"a": "b", "c": ""}}}
    assert selects("", obj)
    assert selects("a=b,c=", obj)
    assert not selects("a=b,c=d", obj)
    assert not selects("a=", obj)
    assert not selects("a=b", {"metadata": {}})
