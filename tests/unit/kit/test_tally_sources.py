"""What the tally makes of one line of the edge's access log."""

from __future__ import annotations

import json
from typing import Any

import pytest

from croupier_kit.outbox import Cursor, Event
from croupier_kit.tally_fold import Fold, SeriesKey
from croupier_kit.tally_sources import RULES, take_event, take_log_line

INTERNAL = frozenset({"wallet"})
T = 1_800_000_000.0


def line(**more: Any) -> bytes:
    told = {"t": f"{T:.6f}", "hop": "payments-api/r-0001/aaaaaaaaaaaa/4", "player": "p1", "ms": 120, "code": 200}
    told |= {"flags": "-", "up": "127.0.0.1:9000", "route": "payments-api", "listener": "public"}
    return json.dumps(told | more).encode()


def counted(*lines: bytes) -> dict[str, tuple[int, int]]:
    """Signal -> (attempts, failures)."""
    fold = Fold(RULES)
    for each in lines:
        take_log_line(fold, each, INTERNAL)
    fold.advance(T + 100)
    return {
        key.signal: (sum(counters.attempts.values()), sum(counters.failures.values()))
        for key, counters in fold.series.items()
        if not key.signal.startswith("latency")
    }


@pytest.mark.parametrize(("code", "failures"), [(200, 0), (404, 0), (401, 0), (500, 1), (503, 1), (0, 1)])
def test_server_errors_and_silence_are_failures(code: int, failures: int) -> None:
    assert counted(line(code=code)) == {"errors": (1, failures)}


def test_webhooks_foreign_routes_and_mesh_hops_of_public_services_are_not_players_requests() -> None:
    assert counted(line(route="payments-api:webhook"), line(route="health"), line(listener="mesh")) == {}


def test_of_a_socket_the_handshake_counts_and_its_end_does_not() -> None:
    """What is told hours later would be taken for a slow answer of a version that has long gone."""
    route = {"route": "payments-api:socket"}
    opened = line(**route, code=101, type="DownstreamTunnelSuccessfullyEstablished")
    ended = line(**route, code=101, ms=3_600_000, flags="UC", type="DownstreamEnd")
    refused = line(**route, code=503, type="DownstreamEnd")
    assert counted(opened, ended) == {"errors": (1, 0)}
    assert counted(refused) == {"errors": (1, 1)}


def test_an_internal_service_is_counted_on_the_mesh() -> None:
    hop = {"hop": "wallet/-/aaaaaaaaaaaa/0", "route": "wallet"}
    assert counted(line(**hop), line(**hop, listener="mesh")) == {"errors": (1, 0)}


@pytest.mark.parametrize(("code", "failures"), [(200, 0), (400, 1), (422, 1), (500, 1), (0, 1)])
def test_what_fails_at_a_service_behind_is_counted_for_the_arm_that_asked(code: int, failures: int) -> None:
    """The wallet is sound; it is the new payments-api that asks it wrongly, and its own answers are all 200."""
    asked = line(
        arm="payments-api/r-0001/aaaaaaaaaaaa/4",
        hop="wallet/-/bbbbbbbbbbbb/0",
        route="wallet",
        listener="mesh",
        code=code,
    )
    fold = Fold(RULES)
    take_log_line(fold, asked, INTERNAL)
    fold.advance(T + 100)
    calls = fold.series[SeriesKey("payments-api", "r-0001", "aaaaaaaaaaaa", "calls")]
    assert (sum(calls.attempts.values()), sum(calls.failures.values())) == (1, failures)
    assert SeriesKey("payments-api", "r-0001", "aaaaaaaaaaaa", "errors") not in fold.series
    assert sum(calls.affected.values()) == failures, "the player whose deposit it was"


def test_a_request_to_nobody_is_a_failed_call_and_one_of_a_service_to_itself_is_none() -> None:
    caller = {"arm": "payments-api/r-0001/aaaaaaaaaaaa/4", "listener": "mesh"}
    assert counted(line(**caller, hop=None, code=404, route=None)) == {"calls": (1, 1)}
    assert counted(line(**caller, hop="payments-api/-/aaaaaaaaaaaa/0")) == {}
    assert counted(line(arm="payments-api/r-0001/aaaaaaaaaaaa/4")) == {"errors": (1, 0)}


def test_a_server_error_of_the_login_service_is_a_failed_login() -> None:
    hop = {"hop": "identity/-/aaaaaaaaaaaa/0", "route": "identity"}
    assert counted(line(**hop, code=503), line(**hop, code=401)) == {"errors": (2, 1), "logins": (1, 1)}


def test_a_request_that_reached_no_pod_is_counted_for_the_edge() -> None:
    fold = Fold(RULES)
    take_log_line(fold, line(up=None, code=503), INTERNAL)
    fold.advance(T + 100)
    key = SeriesKey("payments-api", "r-0001", "aaaaaaaaaaaa", "errors")
    assert fold.series[key].failures == {"edge": 1}


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'{"hop": 3}', b"\xff", line(ms="x"), line(t=None)])
def test_a_line_that_is_none_is_passed_over(text: bytes) -> None:
    assert take_log_line(Fold(RULES), text, INTERNAL) is None


def test_a_request_without_an_arm_tells_the_time_only() -> None:
    fold = Fold(RULES)
    assert take_log_line(fold, line(hop=None), INTERNAL) == pytest.approx(T + 0.12)
    fold.advance(T + 100)
    assert not fold.series


@pytest.mark.parametrize(
    ("data", "strata"),
    [
        ({"amount": 100}, ()),
        ({"amount": 100, "provider": "psp-b"}, (("provider", "psp-b"),)),
        ({"amount": 100, "market": "MT", "provider": "psp-b"}, (("provider", "psp-b"), ("market", "MT"))),
        ({"amount": 100, "provider": None, "market": ""}, ()),
        ({"amount": 100, "provider": 7}, (("provider", "7"),)),
    ],
)
def test_an_event_that_names_its_provider_or_market_is_counted_for_each(
    data: dict[str, Any], strata: tuple[tuple[str, str], ...]
) -> None:
    payload = {"arm": "payments-api/r-0001/aaaaaaaaaaaa/4", "player": "p1", "pod": "pod-0", "data": data}
    fold = Fold(RULES)
    take_event(fold, Event(Cursor(), "e", "deposit.created", "d", T, payload))
    fold.advance(T + 100)
    expected = {"deposits", *(f"deposits:{kind}={name}" for kind, name in strata)}
    assert {key.signal for key in fold.series} == expected
