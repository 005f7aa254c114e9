"""An Event says what happened, once; its reason rests on how a line begins, never on a person's words in it."""

from __future__ import annotations

import pytest

from croupier.core.render.version import Owner
from croupier.core.run import story_line
from croupier.model.journal import Draft
from croupier.model.release_policy import ReleasePolicySpec
from croupier.operator.events import event, reason_of

SPEC = ReleasePolicySpec.model_validate({"deployment": "payments-api", "service": {"name": "payments-api"}})
OWNER = Owner("casino", "payments-api", "uid-1", SPEC)


def line(kind: str, **body: object) -> str:
    return story_line(Draft(kind, "r-0001", 1.0, body))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "reason", "is_warning"),
    [
        ("planned", "Planned", False),
        (line("run.started", who="git"), "Started", False),
        (line("step.entered", name="5 %"), "StepEntered", False),
        (line("step.settled"), "WeightConfirmed", False),
        (line("step.passed", reason="no gate failed"), "StepPassed", False),
        (line("step.held", reason="5 % did not pass within 900 s"), "Held", True),
        (line("run.paused", who="ann", reason="promoted too early, a step failed"), "Paused", False),
        (line("run.resumed", who="ann"), "Resumed", False),
        (line("run.promoting"), "Promoting", False),
        (line("run.rolling-back", who="git", reason="Git went back"), "RollingBack", True),
        (line("run.ended", outcome="promoted", reason="serves everybody"), "Promoted", False),
        (line("run.ended", outcome="rolled-back", reason="failed deposits"), "RolledBack", True),
        (line("command", command="abort", who="ann", reason="rolling back"), "Progress", False),
        (line("verdict", verdict={"outcome": "fail", "reason": "deposits"}), "Gate", True),
        (line("verdict", verdict={"outcome": "pass", "reason": "none failed"}), "Gate", False),
        (line("fault", port="traffic", message="gone"), "Fault", True),
        (line("fault", port="traffic", message=""), "Progress", False),
        (line("traffic.returned"), "Progress", False),
    ],
)
def test_each_line_of_a_story_has_its_reason(text: str, reason: str, is_warning: bool) -> None:
    assert reason_of(text) == (reason, is_warning)


def test_the_same_thing_told_twice_is_one_event_and_another_is_another() -> None:
    first, again, other = (
        event(OWNER, reason="Held", note="held", at=at, key=key, is_warning=True)
        for at, key in ((1.0, "r-0001/1"), (1.0, "r-0001/1"), (1.0, "r-0001/2"))
    )
    assert first == again
    assert first["metadata"]["name"] != other["metadata"]["name"]


@pytest.mark.parametrize("letter", ["x", "ж", "€", "🎲"])
def test_an_event_keeps_to_what_an_api_server_takes(letter: str) -> None:
    """It counts bytes: a reason of 500 letters that are not Latin must not hide all that comes after it."""
    owner = Owner("casino", "p" * 39 + "-" + "p" * 23, "uid-1", SPEC)
    made = event(owner, reason="Held", note=letter * 5000, at=1_800_000_000.25, key="k", is_warning=True)
    assert 1020 < len(made["note"].encode()) <= 1024
    assert set(made["note"]) == {letter}
    assert len(made["metadata"]["name"]) <= 253
    assert "-." not in made["metadata"]["name"]
    assert made["eventTime"] == "2027-01-15T08:00:00.250000Z"
    assert (made["type"], made["reason"], made["action"]) == ("Warning", "Held", "Held")
    assert made["regarding"]["kind"] == "ReleasePolicy"
