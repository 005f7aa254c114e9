"""One release on a stand, from the front door to its end, with everything that is worth telling about it.

Shared by ``croupier demo`` and ``croupier stand soak``. A scenario goes the way a person would: it asks the desk for a
plan, starts it, watches it; and then it asks those who were there: the tally what the canary did, the players which
requests failed. It never looks into the desk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import httpx

from croupier.adapters.metrics.exposition import ArmKey, read_page
from croupier.cli.choice import complete_release
from croupier.cli.client import DeskClient
from croupier.cli.follow import follow
from croupier.errors import EnvironmentFault
from croupier.model.base import Value, short
from croupier.model.view import JournalEntryView, PlanPreview, RunView
from croupier.report.run import change_lines
from croupier_stand.home import Home
from croupier_stand.parts import url
from croupier_stand.process import wait_for
from croupier_stand.stats import Failure, read_stats

Ending = Literal["promoted", "rolled-back"]
Say = Callable[[str], None]

_SPLIT_ACTIONS = frozenset({"set-split", "settle"})
_SPLIT_SECONDS = (0.2, 2.0)
"""A request that fails from so long before to so long after a change of the split may have failed because of it."""
_HISTORY_SECONDS = 35.0
"""A desk refuses a plan before it has watched for half a minute; and it learns how much failures cluster."""
_LATE_SECONDS = 10.0
"""After a run's end the last attempts of its canary are decided: a deposit expires after eight seconds."""


class Scenario(NamedTuple):
    """``signal``: which gate is expected to tell; "" when pods tell (they crash, or never become ready)."""

    label: str
    expected: Ending
    signal: str = ""
    service: str = "payments-api"
    settings: Mapping[str, object] = {}
    """Fields of the release that differ from the defaults."""


HEALTHY = Scenario("healthy", "promoted")
STABLE = Scenario("stable", "promoted")
DEFECTS = (
    Scenario("deposit-loss", "rolled-back", "deposits"),
    Scenario("errors", "rolled-back", "errors"),
    Scenario("slow", "rolled-back", "latency"),
    Scenario("crash-loop", "rolled-back"),
    Scenario("never-ready", "rolled-back"),
)
DEPOSIT_LOSS = DEFECTS[0]


class Served(Value):
    """What the canary's players went through, as the tally counted it."""

    deposits: int = 0
    bad_deposits: int = 0
    requests: int = 0
    bad_requests: int = 0


class Told(Value):
    """Everything about one scenario. Seconds are None where there is nothing to measure.

    ``forecast_seconds`` and ``actual_seconds``: from the start to the promotion, or from the first traffic to the fail
    verdict. ``zero_seconds``: from that verdict until no player is sent to the canary. ``failed_requests``: cause ->
    count, all requests of all players that failed meanwhile; ``failed_by_splits``: those of them that no pod answered,
    around a change of the split. ``problems``: what did not come out as it must; empty when all is right.
    """

    label: str
    run: str
    expected: Ending
    outcome: Ending | None
    reason: str
    peak_weight: int
    seconds: float
    forecast_seconds: float | None
    actual_seconds: float | None
    zero_seconds: float | None
    served: Served
    failed_requests: dict[str, int]
    failed_by_splits: int
    split_changes: int
    problems: tuple[str, ...]

    @property
    def is_right(self) -> bool:
        return not self.problems


def watch_stable(home: Home, say: Say) -> None:
    """Wait until the desk has seen enough of the stable version to make a forecast of a release."""
    say(f"Watching the stable version for {_HISTORY_SECONDS:.0f} s")

    def has_seen_enough() -> bool:
        stats = read_stats(home.players_stats)
        return stats is not None and stats.seconds > _HISTORY_SECONDS

    wait_for(has_seen_enough, 3 * _HISTORY_SECONDS, pause_seconds=0.5)


def play(home: Home, scenario: Scenario, say: Say) -> Told:
    """Release it and watch to the end.

    Raises ``CroupierError`` when the desk does not answer or refuses the release; a wrong ending is told, not raised.
    """
    with DeskClient.of(home.name) as desk:
        digest = digest_of(desk, scenario)
        service = next(each for each in desk.services() if each.name == scenario.service)
        preview = desk.plan(complete_release(service, digest, scenario.settings))
        run = desk.start(preview.plan.release).run
    watched = _watch(home, run, say)
    with DeskClient.of(home.name) as desk:
        splits = split_times(desk.journal(run))
    last = watched.last
    served = _served(home, last)
    # The last change of the split ends the run: what it breaks, breaks after the end.
    until = (last.ended_at or last.updated_at) + _SPLIT_SECONDS[1]
    failures = _failures(home, since=last.started_at, until=until)
    near = [each for each in failures if each.by_edge and _is_near(each.at, splits)]
    forecast, actual = _times(scenario, preview, watched)
    told = Told(
        label=scenario.label,
        run=run,
        expected=scenario.expected,
        outcome=last.outcome,
        reason=last.reason,
        peak_weight=last.peak_weight,
        seconds=(last.ended_at or last.updated_at) - last.started_at,
        forecast_seconds=forecast,
        actual_seconds=actual,
        zero_seconds=last.zero_at - last.verdict_at if last.zero_at and last.verdict_at and last.peak_weight else None,
        served=served,
        failed_requests=dict(Counter(each.cause for each in failures)),
        failed_by_splits=len(near),
        split_changes=len(splits),
        problems=(),
    )
    return told.model_copy(update={"problems": tuple(problems(told, preview.plan.release.scrape_seconds))})


def wait_until_ended(home: Home, run: str) -> None:
    """Follow a run that is on its way to an end. Raises ``Unreachable`` when the desk is gone for good."""
    for view in follow(home.name, run):
        if view is not None and view.ended_at is not None:
            return


def problems(told: Told, scrape_seconds: float) -> list[str]:
    """What is not as it must be (the bars of the first acceptance lines). Pure."""
    found = []
    if told.outcome != told.expected:
        found.append(f"{told.label} is {told.outcome or 'not decided'}, not {told.expected}: {told.reason}")
    if told.zero_seconds is not None and told.zero_seconds > scrape_seconds + 1.0:
        found.append(f"the canary had players {told.zero_seconds:.1f} s after the verdict")
    if told.failed_by_splits:
        found.append(f"{told.failed_by_splits} requests failed around a change of the split")
    return found


def digest_of(desk: DeskClient, scenario: Scenario) -> str:
    """Digest of the version with the scenario's label. Raises EnvironmentFault when there is none."""
    for version in desk.versions(scenario.service):
        if version.label == scenario.label:
            return version.digest
    raise EnvironmentFault(f"{scenario.service} has no version {scenario.label!r}")


def split_times(entries: Sequence[JournalEntryView]) -> list[float]:
    """When the desk set out to change the split, from the journal of a run. Pure."""
    times = []
    for entry in entries:
        actions = entry.body.get("actions")
        if entry.kind == "intent" and isinstance(actions, list):
            kinds = {action.get("kind") for action in actions if isinstance(action, dict)}
            if kinds & _SPLIT_ACTIONS:
                times.append(entry.at)
    return times


class _Watched(NamedTuple):
    """``traffic_at``: when the canary got its first players; None if it never did."""

    last: RunView
    traffic_at: float | None


def _watch(home: Home, run: str, say: Say) -> _Watched:
    """Follow the run to its end, or until it waits for a person."""
    last: RunView | None = None
    traffic_at: float | None = None
    for view in follow(home.name, run):
        if view is None:
            continue
        for line in change_lines(last, view):
            say(line)
        if traffic_at is None and view.weight > 0:
            traffic_at = view.step_at
        last = view
        if view.phase == "held":
            break
    if last is None:
        raise EnvironmentFault(f"nothing was heard of {run}")
    return _Watched(last, traffic_at)


def _times(scenario: Scenario, preview: PlanPreview, watched: _Watched) -> tuple[float | None, float | None]:
    """Forecast and actual time to the verdict that the scenario is about."""
    last = watched.last
    if scenario.expected == "promoted":
        took = last.ended_at - last.started_at if last.ended_at and last.outcome == "promoted" else None
        return preview.forecast.seconds, took
    if watched.traffic_at is None or last.verdict_at is None:
        return None, None
    faults = (fault.seconds for fault in preview.forecast.faults if fault.signal == scenario.signal)
    return next((seconds for seconds in faults if seconds is not None), None), last.verdict_at - watched.traffic_at


def _served(home: Home, view: RunView) -> Served:
    """What the canary served, once its last attempts are decided."""
    if view.peak_weight == 0:
        return Served()
    key = ArmKey(view.service, view.run, short(view.canary.digest))
    page_url = f"{url(home.require().ports, 'tally')}/metrics"
    counts: dict[str, tuple[int, int]] = {}

    def is_final() -> bool:
        page = read_page(httpx.get(page_url, timeout=5.0, trust_env=False).text)
        for signal in ("deposits", "errors"):
            series = page.arms[key].series.get(signal) if key in page.arms else None
            events = series.events.values() if series is not None else ()
            counts[signal] = int(sum(each.total for each in events)), int(sum(each.bad for each in events))
        return page.updated_at > (view.ended_at or view.updated_at) + _LATE_SECONDS

    wait_for(is_final, 3 * _LATE_SECONDS, pause_seconds=1.0)
    (deposits, bad_deposits), (requests, bad_requests) = counts["deposits"], counts["errors"]
    return Served(deposits=deposits, bad_deposits=bad_deposits, requests=requests, bad_requests=bad_requests)


def _failures(home: Home, *, since: float, until: float) -> list[Failure]:
    """Requests that players saw fail in this time."""
    stats = read_stats(home.players_stats)
    return [each for each in stats.failures if since <= each.at <= until] if stats is not None else []


def _is_near(at: float, changes: Sequence[float]) -> bool:
    before, after = _SPLIT_SECONDS
    return any(change - before <= at <= change + after for change in changes)
