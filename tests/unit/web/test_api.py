"""The JSON API against a desk in memory: who may come in, what is taken, what is answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from croupier.model.view import RunView
from croupier.report import example
from croupier.web.app import Api, create_app
from croupier.web.guard import BODY_LIMIT_BYTES, Guard
from croupier.web.memory import MemoryDesk

TOKEN = "t" * 43
AUTH = {"Authorization": f"Bearer {TOKEN}"}
RELEASE = example.RELEASE.model_dump(mode="json", by_alias=True)


@pytest.fixture
def desk() -> MemoryDesk:
    return MemoryDesk(example.ROLLED_BACK)


@pytest.fixture
async def http(desk: MemoryDesk) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(desk, TOKEN, who="marta")
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=AUTH) as client:
        yield client


EVERY_ROUTE = [
    (method, route.path.replace("{run}", "r-0007").replace("{group}", "g-0001"))
    for route in Api(MemoryDesk(), "marta", asyncio.Event()).routes()
    for method in sorted((route.methods or set()) - {"HEAD"})
]
NOT_ROUTES = [("GET", "/"), ("GET", "/v1/nothing"), ("DELETE", "/v1/runs"), ("GET", "/openapi.json")]


@pytest.mark.parametrize(("method", "path"), EVERY_ROUTE + NOT_ROUTES)
@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", f"bearer {TOKEN}", f"Bearer {TOKEN}x", "Bearer é"]
)
async def test_without_the_token_the_answer_is_401_and_nothing_else(
    http: httpx.AsyncClient, method: str, path: str, header: str | None
) -> None:
    del http.headers["Authorization"]
    headers = {} if header is None else {"Authorization": header.encode()}
    answer = await http.request(method, path, headers=headers, content=b"{}")  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert answer.json() == {"error": {}}
    assert answer.headers["www-authenticate"] == "Bearer"


def test_an_api_without_a_token_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="token"):
        Guard(create_app(MemoryDesk(), TOKEN), token="")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[bad", "10.0.0.1:80"])
async def test_a_foreign_host_name_is_refused_even_with_the_token(http: httpx.AsyncClient, host: str) -> None:
    answer = await http.get("/v1/runs", headers={"Host": host})
    assert answer.status_code == 421
    assert answer.json()["error"]["code"] == "WRONG_HOST"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:4711", "localhost:4711", "[::1]:4711"])
async def test_loopback_names_are_answered(http: httpx.AsyncClient, host: str) -> None:
    assert (await http.get("/v1/runs", headers={"Host": host})).status_code == 200


async def test_a_body_over_the_limit_is_refused_by_its_declared_length(http: httpx.AsyncClient) -> None:
    answer = await http.post(
        "/v1/runs", content=b" " * (BODY_LIMIT_BYTES + 1), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "BODY_TOO_LARGE"


async def test_a_body_over_the_limit_is_refused_while_it_streams(http: httpx.AsyncClient, desk: MemoryDesk) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield b" " * 65536

    answer = await http.post("/v1/runs", content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert taken < 10
    assert not desk.started


async def test_a_body_at_the_limit_is_read(http: httpx.AsyncClient) -> None:
    body = json.dumps(RELEASE).encode()
    answer = await http.post(
        "/v1/plans", content=body + b" " * (BODY_LIMIT_BYTES - len(body)), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 200


async def test_unknown_fields_are_errors_with_their_place(http: httpx.AsyncClient, desk: MemoryDesk) -> None:
    body = RELEASE | {"speed": "fast", "policy": RELEASE["policy"] | {"colour": "red"}}
    answer = await http.post("/v1/runs", json=body)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == "SPEC"
    assert [(each["place"], each["code"]) for each in error["problems"]] == [
        ("/policy/colour", "extra-forbidden"),
        ("/speed", "extra-forbidden"),
    ]
    assert not desk.started


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"steps": [5, 101]}, "/steps/1"),
        ({"steps": [10, 5, 100]}, "/steps/1"),
        ({"steps": [5, 50]}, "/steps/1"),
        ({"steps": [True, 100]}, "/steps/0"),
        ({"steps": ["5", 100]}, "/steps/0"),
        ({"dwellSeconds": "20"}, "/dwellSeconds"),
        ({"digest": "payments-api:healthy"}, "/digest"),
        ({"service": "Payments API"}, "/service"),
        ({"policy": {"gates": []}}, "/policy/gates"),
    ],
)
async def test_a_bad_release_is_refused_and_nothing_started(
    http: httpx.AsyncClient, desk: MemoryDesk, change: dict[str, object], place: str
) -> None:
    for path in ("/v1/plans", "/v1/runs"):
        answer = await http.post(path, json=RELEASE | change)
        assert answer.status_code == 422
        assert [each["place"] for each in answer.json()["error"]["problems"]] == [place]
    assert not desk.started


@pytest.mark.parametrize(
    ("content", "places"),
    [
        (b'{"command": "pause", "command": "abort"}', ["/command"]),
        (b'{"command": "abort", "reason": "a", "reason": "a"}', ["/reason"]),
        (b'{"command": "hurry", "reason": "a", "reason": "b"}', ["/command", "/reason"]),
        (b'{"command": "abort", "more": [{"x/y": {"z": 1, "z": 2}}]}', ["/more", "/more/0/x~1y/z"]),
    ],
)
async def test_a_key_given_twice_is_an_error_with_its_place(
    http: httpx.AsyncClient, desk: MemoryDesk, content: bytes, places: list[str]
) -> None:
    """Parsers differ in which of the two counts."""
    desk.show(example.WATCHED)
    answer = await http.post("/v1/runs/r-0007/commands", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert [each["place"] for each in answer.json()["error"]["problems"]] == places
    assert not desk.commands


async def test_runs_come_in_pages_newest_first(http: httpx.AsyncClient, desk: MemoryDesk) -> None:
    for number in range(8, 312):
        started_at = example.WATCHED.started_at + number
        desk.show(example.ROLLED_BACK.model_copy(update={"run": f"r-{number:04d}", "started_at": started_at}))

    async def runs(query: str = "") -> list[str]:
        return [run["run"] for run in (await http.get(f"/v1/runs{query}")).json()["runs"]]

    newest = await runs()
    assert (newest[0], newest[-1], len(newest)) == ("r-0311", "r-0112", 200)
    older = await runs("?before=r-0112")
    assert (older[0], older[-1], len(older)) == ("r-0111", "r-0007", 105)
    assert await runs("?before=r-0007") == []
    assert await runs("?before=r-0100&limit=2") == ["r-0099", "r-0098"]
    assert (await http.get("/v1/runs?before=r-9999")).status_code == 404
    assert (await http.get("/v1/runs?limit=201")).status_code == 422


async def test_a_name_of_any_length_is_not_echoed_in_full(http: httpx.AsyncClient) -> None:
    answer = await http.get(f"/v1/versions?service={'x' * 5000}")
    assert answer.status_code == 404
    assert len(answer.text) < 500


@pytest.mark.parametrize("edge", ["NaN", "Infinity", "-Infinity", "-0.1", "0.0"])
async def test_an_edge_that_is_no_time_is_refused_before_it_comes_near_the_journal(
    http: httpx.AsyncClient, desk: MemoryDesk, edge: str
) -> None:
    body = json.dumps(RELEASE | {"policy": RELEASE["policy"] | {"latencyEdges": [0.25, "edge"]}})
    headers = {"Content-Type": "application/json"}
    answer = await http.post("/v1/runs", content=body.replace('"edge"', edge), headers=headers)
    assert answer.status_code == 422
    assert [each["place"] for each in answer.json()["error"]["problems"]] == ["/policy/latencyEdges/1"]
    assert not desk.started


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 10_000])
async def test_a_body_that_is_no_release_is_a_problem_not_a_crash(http: httpx.AsyncClient, content: bytes) -> None:
    answer = await http.post("/v1/runs", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["error"]["problems"]


async def test_only_json_is_taken(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/runs", content=b"{}", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


@pytest.mark.parametrize(
    "query",
    ["color=red", "after=-1", "after=x", "after=9223372036854775808", "limit=0", "limit=100000", "after=1&after=2"],
)
async def test_unknown_or_bad_query_parameters_are_errors(http: httpx.AsyncClient, query: str) -> None:
    assert (await http.get(f"/v1/journal?{query}")).status_code == 422


async def test_starting_answers_201_with_the_run(http: httpx.AsyncClient, desk: MemoryDesk) -> None:
    answer = await http.post("/v1/runs", json=RELEASE)
    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/runs/r-0007"
    assert RunView.model_validate(answer.json()) == example.WATCHED
    assert desk.started == [example.RELEASE]


async def test_a_second_live_run_is_refused_with_a_hint(http: httpx.AsyncClient, desk: MemoryDesk) -> None:
    desk.show(example.WATCHED)
    answer = await http.post("/v1/runs", json=RELEASE)
    assert answer.status_code == 409
    assert answer.json() == {
        "error": {
            "code": "REFUSED",
            "message": "a release of payments-api is live",
            "hint": "watch it or abort it first",
            "problems": [],
        }
    }


async def test_names_that_do_not_exist_are_404_and_list_those_that_do(http: httpx.AsyncClient) -> None:
    for path in ("/v1/runs/r-9999", "/v1/runs/r-9999/events", "/v1/versions?service=payment-api"):
        answer = await http.get(path)
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "UNKNOWN_NAME"
        assert "r-0007" in answer.text or "payments-api" in answer.text


async def test_the_way_back_of_a_service_is_a_release_that_can_be_started(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/way-back?service=payments-api")
    assert (answer.status_code, answer.json()["digest"]) == (200, example.STABLE)
    assert (await http.post("/v1/runs", json=answer.json())).status_code == 201
    assert (await http.get("/v1/way-back?service=payment-api")).status_code == 404


async def test_a_command_carries_who_and_why_to_the_desk(http: httpx.AsyncClient, desk: MemoryDesk) -> None:
    desk.show(example.WATCHED)
    answer = await http.post("/v1/runs/r-0007/commands", json={"command": "abort", "reason": "PSP B is down"})
    assert answer.status_code == 200
    assert desk.commands == [("r-0007", "abort", "marta", "PSP B is down")]


async def test_an_unknown_command_is_an_error(http: httpx.AsyncClient, desk: MemoryDesk) -> None:
    answer = await http.post("/v1/runs/r-0007/commands", json={"command": "hurry"})
    assert answer.status_code == 422
    assert not desk.commands


async def test_unknown_paths_and_methods_answer_json(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v1/nothing")).json()["error"]["code"] == "NOT_FOUND"
    answer = await http.delete("/v1/runs")
    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == "METHOD_NOT_ALLOWED"


async def test_a_bug_answers_500_without_its_insides(http: httpx.AsyncClient, desk: MemoryDesk) -> None:
    def broken(**_: object) -> None:
        raise ZeroDivisionError("secret insides")

    desk.runs = broken  # type: ignore[assignment,method-assign]
    answer = await http.get("/v1/runs")
    assert answer.status_code == 500
    assert "secret" not in answer.text


async def test_listings_name_what_they_list(http: httpx.AsyncClient) -> None:
    assert [run["run"] for run in (await http.get("/v1/runs")).json()["runs"]] == ["r-0007"]
    assert [each["name"] for each in (await http.get("/v1/services")).json()["services"]] == ["payments-api"]
    versions = (await http.get("/v1/versions?service=payments-api")).json()["versions"]
    assert [each["label"] for each in versions] == ["2026.2.3", "2026.2.4"]
    assert [each["seq"] for each in (await http.get("/v1/journal?run=r-0007")).json()["entries"]] == [40, 41]
    assert (await http.get("/v1/health")).json()["ok"] is True


async def test_an_event_stream_gives_the_view_now_and_ends_with_the_run(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/runs/r-0007/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    first, rest = answer.text.split("\n\n", 1)
    assert first.startswith("event: run\ndata: ")
    assert RunView.model_validate_json(first.removeprefix("event: run\ndata: ")) == example.ROLLED_BACK
    assert rest == ""


async def test_an_event_stream_gives_every_change_and_shows_that_it_lives(
    desk: MemoryDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("croupier.web.app.LOOK_SECONDS", 0.0)
    desk.show(example.WATCHED)
    views = Api(desk, "marta", asyncio.Event())._views(example.WATCHED)
    assert b'"phase":"holding"' in await anext(views)
    assert await anext(views) == b": still here\n\n"
    desk.show(example.ROLLED_BACK)
    assert b'"phase":"rolled-back"' in await anext(views)
    with pytest.raises(StopAsyncIteration):
        await anext(views)


async def test_an_event_stream_ends_when_the_desk_stops(desk: MemoryDesk) -> None:
    stopping = asyncio.Event()
    desk.show(example.WATCHED)
    views = Api(desk, "marta", stopping)._views(example.WATCHED)
    await anext(views)
    stopping.set()
    with pytest.raises(StopAsyncIteration):
        await anext(views)


async def test_a_group_is_started_shown_and_aborted(http: httpx.AsyncClient, desk: MemoryDesk) -> None:
    made = await http.post("/v1/groups", json={"releases": [RELEASE], "supersede": True})
    assert (made.status_code, made.headers["location"]) == (201, "/v1/groups/g-0001")
    assert desk.groups_asked[0].supersede
    assert [each["group"] for each in (await http.get("/v1/groups")).json()["groups"]] == ["g-0001"]
    ended = await http.post("/v1/groups/g-0001/abort", json={"reason": "wrong evening"})
    assert ended.json()["outcome"] == "aborted"
    assert (await http.get("/v1/groups/g-0001")).json()["reason"] == "wrong evening"
    assert (await http.get("/v1/groups/g-0002")).status_code == 404


async def test_fix_forward_without_a_reason_is_not_taken(http: httpx.AsyncClient) -> None:
    refused = await http.post("/v1/groups", json={"releases": [RELEASE], "fixForward": True})
    assert refused.status_code == 422
    assert "needs a reason" in refused.json()["error"]["problems"][0]["message"]


async def test_a_run_that_was_taken_back_is_started_again(http: httpx.AsyncClient) -> None:
    again = await http.post(f"/v1/runs/{example.ROLLED_BACK.run}/retry", json={})
    assert again.status_code == 201
    assert again.json()["phase"] == "holding"
