from __future__ import annotations

import contextvars
import json
import logging
import sys

import pytest

from croupier_kit import arm, idempotency, logs

TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_arm_player_and_trace_are_read_and_passed_on_with_a_new_span() -> None:
    incoming = {
        "x-croupier-arm": "a/r-1/0123456789ab/1",
        "x-player": "p1",
        "traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
    }
    origin = arm.read(incoming)
    assert origin == arm.Origin("a/r-1/0123456789ab/1", "p1", TRACE)
    passed = arm.headers(origin)
    assert (passed["x-croupier-arm"], passed["x-player"]) == (origin.arm, "p1")
    assert passed["traceparent"].startswith(f"00-{TRACE}-")
    assert passed["traceparent"] != incoming["traceparent"]


@pytest.mark.parametrize(
    "told", ["", "00-zz-1-01", f"01-{TRACE}-b7ad6b7169203331-01", f"00-{'0' * 32}-b7ad6b7169203331-01"]
)
def test_a_malformed_trace_begins_a_new_one(told: str) -> None:
    trace = arm.read({"traceparent": told}).trace_id
    assert len(trace) == 32
    assert trace not in told


def test_a_header_that_is_not_plain_counts_as_absent() -> None:
    assert arm.read({"x-player": "p 1"}).player == ""
    assert arm.read({"x-croupier-arm": "x" * 300}).arm == ""


def log_line(record: logging.LogRecord) -> dict[str, object]:
    """As written by a pod that works for a player; the context is a copy, so that it does not leak."""

    def write() -> str:
        arm.adopt(arm="a/r-1/0123456789ab/1", player="p1", trace_id=TRACE)
        return logs.JsonLines("pod-0").format(record)

    told: dict[str, object] = json.loads(contextvars.copy_context().run(write))
    return told


def test_a_log_line_is_json_and_carries_the_trace() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 0, "credited %s", ("d1",), None)
    vars(record).update(logs.fields(amount=5))
    line = log_line(record)
    assert (line["message"], line["trace_id"], line["amount"], line["pod"]) == ("credited d1", TRACE, 5, "pod-0")


def test_a_log_line_of_an_error_carries_its_traceback() -> None:
    try:
        raise ValueError("boom")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "failed", (), sys.exc_info())
    assert "boom" in str(log_line(record)["error"])


KEY = idempotency.Key("caller", "k", "f1")


@pytest.mark.parametrize(
    ("row", "decision"),
    [
        (("begun", "s", None, None), idempotency.Begun("s")),
        (("mismatch", "s", 201, "{}"), idempotency.Mismatch()),
        (("running", "s", None, None), idempotency.Running()),
        (("replay", "s", 201, "{}"), idempotency.Replay(201, "{}")),
    ],
)
def test_a_claim_tells_what_is_to_be_done(row: tuple[object, ...], decision: object) -> None:
    assert idempotency.decision_of(row) == decision


@pytest.mark.parametrize("row", [None, ("replay", "s", None, None), ("surprise", "s", 1, "")])
def test_what_claim_never_says_is_an_error(row: tuple[object, ...] | None) -> None:
    with pytest.raises(ValueError, match="not an answer"):
        idempotency.decision_of(row)


def test_each_decision_has_its_status() -> None:
    answers = (idempotency.Running(), idempotency.Mismatch(), idempotency.Replay(201, "{}"))
    assert [idempotency.as_response(each).status for each in answers] == [409, 422, 201]


def test_a_server_error_is_not_an_outcome_to_keep() -> None:
    with pytest.raises(ValueError, match="503"):
        idempotency.decided(KEY, 503, "{}")
