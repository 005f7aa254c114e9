"""Pods that are there before an event starts: who asks for them, when, and how many (S6.4)."""

from __future__ import annotations

import json
from datetime import UTC
from typing import Any

import pytest
from tests.support.platforms import LARGE, described, eventful, queued

from croupier.core.compare import compare
from croupier.core.render.calendar import calendar
from croupier.core.render.cell import objects
from croupier.core.render.scaling import scheduled
from croupier.core.render.version import WARM
from croupier.model.events import Event, Expected
from croupier.model.freeze import FreezeWindow
from croupier.model.platform import PlacedCell
from croupier.spec.events import Times, times_of
from croupier.spec.freezes import flaws
from croupier.spec.load import Flaw

CELLS = described(LARGE).cells


def _event(**changes: object) -> Event:
    held: dict[str, object] = {
        "title": "Final",
        "starts": "2030-07-14T18:00",
        "zone": "Europe/Stockholm",
        "warm_minutes": 30,
        "lasts_minutes": 120,
        "markets": ("se",),
        "services": {"lobby": Expected(pods=9)},
    }
    return Event.model_validate({**held, **changes})


def _scaler(cells: list[PlacedCell], cell: str, service: str) -> dict[str, Any]:
    found = objects([each for each in cells if each.cell.name == cell])[f"cells/{cell}/{service}.yaml"]
    (scaler,) = (each for each in found if each["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"))
    return scaler


@pytest.mark.parametrize(
    ("starts", "zone", "begin", "end"),
    [
        ("2030-07-14T18:00", "Europe/Stockholm", "2030-07-14T15:30", "2030-07-14T18:00"),
        ("2030-01-14T18:00", "Europe/Stockholm", "2030-01-14T16:30", "2030-01-14T19:00"),
        ("2030-07-14T18:00", "UTC", "2030-07-14T17:30", "2030-07-14T20:00"),
        pytest.param("2030-10-27T02:15", "Europe/Stockholm", "2030-10-26T23:45", "2030-10-27T02:15", id="hour-twice"),
    ],
)
def test_times_are_those_of_the_place(starts: str, zone: str, begin: str, end: str) -> None:
    times = times_of(_event(starts=starts, zone=zone))
    assert isinstance(times, Times)
    utc = [f"{each.timestamp():.0f}" for each in times]
    wanted = times_of(_event(starts=begin, zone="UTC", warm_minutes=1, lasts_minutes=1))
    until = times_of(_event(starts=end, zone="UTC", warm_minutes=1, lasts_minutes=1))
    assert isinstance(wanted, Times)
    assert isinstance(until, Times)
    assert utc == [f"{wanted.begin.timestamp() + 60:.0f}", f"{until.begin.timestamp() + 60:.0f}"]


@pytest.mark.parametrize(
    ("starts", "zone"),
    [
        ("2030-03-31T02:30", "Europe/Stockholm"),
        ("2030-07-14T18:00", "Mars/Base"),
        ("9999-12-31T23:59", "America/New_York"),
        ("0001-01-01T00:00", "Asia/Tokyo"),
    ],
)
def test_a_time_that_no_clock_shows_is_none(starts: str, zone: str) -> None:
    assert isinstance(times_of(_event(starts=starts, zone=zone)), Flaw)


def test_the_autoscaler_in_git_says_when_more_pods_must_be_there_and_its_minimum_stays() -> None:
    """Load in units of the service's own metric: 3000 bets a second, 100 a pod."""
    scaler = _scaler(list(CELLS), "tempo-se-eu-north", "bet-placement")
    assert scaler["spec"]["minReplicas"] == 8
    (window,) = json.loads(scaler["metadata"]["annotations"][WARM])
    assert window == {
        "event": "cup-final",
        "from": "2030-07-14T15:15:00+00:00",
        "until": "2030-07-14T19:00:00+00:00",
        "pods": 30,
    }


def test_only_cells_whose_players_watch_have_more_pods() -> None:
    with_pods = {each.cell.name for each in CELLS if any(held.event == "derby" for held in each.warm)}
    assert with_pods == {"tempo-ro-eu-east"}
    other = _scaler(list(CELLS), "nova-on-ca-central", "bet-placement")
    assert "annotations" not in other["metadata"]


def test_keda_has_a_schedule() -> None:
    """Beside the queue, and with as many pods at most as the service may have."""
    cells = eventful(queued())
    scaled = _scaler(cells, "lucky-se-eu-north", "lobby")
    *_, cron = scaled["spec"]["triggers"]
    assert cron == {
        "type": "cron",
        "metadata": {
            "timezone": "UTC",
            "start": "30 15 14 7 *",
            "end": "0 18 14 7 *",
            "desiredReplicas": "9",
        },
    }
    assert (
        len(scaled["spec"]["triggers"]) == len(_scaler(queued(), "lucky-se-eu-north", "lobby")["spec"]["triggers"]) + 1
    )


def test_no_schedule_ends_before_it_starts_where_an_hour_comes_twice() -> None:
    """Clocks show 02:49 and then 02:05. KEDA would take that for an end in a year, and keep the pods until then."""
    times = times_of(_event(starts="2030-10-27T02:50", warm_minutes=1, lasts_minutes=15))
    assert isinstance(times, Times)
    schedule = scheduled(times.begin.astimezone(UTC), times.end.astimezone(UTC), 9)["metadata"]
    assert (schedule["timezone"], schedule["start"], schedule["end"]) == ("UTC", "49 0 27 10 *", "5 1 27 10 *")


def test_an_event_is_a_change_of_scaling_and_releases_nothing() -> None:
    before = [each.model_copy(update={"events": {}, "warm": ()}) for each in CELLS]
    plan = compare(before, CELLS)
    assert {(each.subject, each.kind) for each in plan.changes} == {
        ("events.cup-final", "scaling"),
        ("events.derby", "scaling"),
    }
    assert plan.versions == ()
    ours = ("/00-namespace.yaml", "/bet-placement.yaml", "/payments-api", "/wallet", "/warm.yaml")
    assert all(any(part in each for part in ours) for each in plan.files)


def _calendars(*events: tuple[str, Event], released_by: str = "croupier") -> list[dict[str, Any]]:
    placed = next(each for each in CELLS if each.cell.name == "tempo-se-eu-north")
    region = placed.region.model_copy(update={"released_by": released_by})
    held = placed.model_copy(update={"events": dict(events), "region": region})
    return calendar(held)


def test_an_event_that_freezes_is_a_window_of_its_cells_from_the_first_pod_to_its_end() -> None:
    """S12.3."""
    (found,) = _calendars(("cup-final", _event(freeze=True)), ("derby", _event()))
    assert (found["kind"], found["metadata"]["namespace"]) == ("ReleaseCalendar", "tempo-se")
    window = {"title": "Final", "starts": "2030-07-14T17:30", "ends": "2030-07-14T20:00", "zone": "Europe/Stockholm"}
    assert found["spec"] == {"freezes": [{"name": "cup-final", **window}]}
    assert next(flaws({"cup-final": FreezeWindow(**window)}), None) is None


def test_a_window_in_an_hour_that_comes_twice_ends_after_it_starts() -> None:
    """Clocks show 02:49 and then 02:05: the API server would refuse that."""
    twice = _event(freeze=True, starts="2030-10-27T02:50", warm_minutes=1, lasts_minutes=15)
    ((window,),) = (each["spec"]["freezes"] for each in _calendars(("cup-final", twice)))
    assert (window["starts"], window["ends"], window["zone"]) == ("2030-10-27T00:49", "2030-10-27T01:05", "UTC")


def test_more_windows_than_a_calendar_holds_are_in_several() -> None:
    made = _calendars(*((f"event-{number:03}", _event(freeze=True)) for number in range(129)))
    assert [(each["metadata"]["name"], len(each["spec"]["freezes"])) for each in made] == [
        ("events", 128),
        ("events-2", 1),
    ]


def test_nothing_freezes_where_no_event_does_or_nobody_would_read_it() -> None:
    assert _calendars(("derby", _event())) == []
    assert _calendars(("cup-final", _event(freeze=True)), released_by="kubernetes") == []
