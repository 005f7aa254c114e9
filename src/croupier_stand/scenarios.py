"""One release on a stand, from the front door to its end, with everything that is worth telling about it.

Shared by ``croupier demo`` and ``croupier stand soak``. A scenario goes the way a person would: it asks the desk for a
plan, starts it, watches it; and then it asks those who were there: the tally what the canary did, the players which
requests failed. It never looks into the desk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

import httpx

from croupier.adapters.metrics.exposition import ArmKey, read_page
from croupier.cli.choice import complete_release
from croupier.cli.client import DeskClient
from croupier.cli.follow import follow
from croupier.errors import EnvironmentFault, Refused
from croupier.model.base import Value
from croupier.model.digest import short
from croupier.model.release import Release
from croupier.model.view import JournalEntryView, PlanPreview, RunView
from croupier.report.run import change_lines
from croupier_stand import faults
from croupier_stand.faults import StandFault
from croupier_stand.home import Home
from croupier_stand.parts import url
from croupier_stand.process import wait_for
from croupier_stand.stats import NO_ANSWER, Failure, PlayersStats, read_stats

NO_RUN = "–"
Ending = Literal["promoted", "rolled-back", "refused"]
"""``refused``: the desk does not start it at all."""
Say = Callable[[str], None]

_SPLIT_ACTIONS = frozenset({"set-split", "settle", "retire"})
SPLIT_SECONDS = (0.2, 10.0)
"""A request that fails from so long before to so long after a change of the split may have failed because of it: a
player waits up to eight seconds for an answer, and retired pods drain for five."""
_HISTORY_SECONDS = 35.0
"""A desk refuses a plan before it has watched for half a minute; and it learns how much failures cluster."""
CALM_SECONDS = 20.0
"""Only who has seen what is usual can tell what is not: the gates want three calm scrapes first."""
_REFUSED_PAUSE_SECONDS = 15.0
_SOON_SECONDS = 5.0
"""A bad version is soon gone: what else is to happen must not wait for calm."""
_RECOVERY_SECONDS = 15.0
"""After the end of a fault, until killed processes serve and the edge knows it."""
MOST_GROWTH_BYTES = 64 * 1024 * 1024
"""By which the desk may grow while metrics are 50 MB large; it reads 16 of them."""
_LATE_SECONDS = 10.0
"""After a run's end the last attempts of its canary are decided: a deposit expires after eight seconds."""


class Illness(NamedTuple):
    """A fault of a partner or a part that begins when the canary has had players for a while; no version is to blame.

    ``held_by``: the code by which the run must be held meanwhile; "": it need not be. ``blind_after``: from so many
    seconds after its begin to its end no step may pass; None: one may.
    """

    part: str
    kind: str
    seconds: int
    held_by: str = ""
    blind_after: float | None = None

    @property
    def breaks_requests(self) -> bool:
        """Whether requests reach no pod meanwhile, whatever the split does."""
        return self.part in ("envoy", faults.STABLE)


Begin = Callable[[Home, Illness], StandFault]
"""Lets a part be ill, and says from when to when."""


def begin_fault(home: Home, illness: Illness) -> StandFault:
    """As ``stand fault`` does."""
    return faults.begin(home, illness.part, illness.kind, illness.seconds)


class Scenario(NamedTuple):
    """One release and how it must end."""

    label: str
    expected: Ending
    signal: str = ""
    """Which gate must tell; "" when pods tell (they crash, or never become ready) before any player is on them."""
    service: str = "payments-api"
    settings: Mapping[str, object] = {}
    """Fields of the release that differ from the defaults."""
    refusal: str = ""
    """Words in the desk's answer when it is to refuse."""
    version: str = ""
    """Label of the version that is released; "": the scenario's own."""
    named: str = ""
    """Words that the reason of the way back must have: the provider that it is about."""
    illness: Illness | None = None
    hangs: bool = False
    """Whether the version leaves requests without an answer: those that were sent while it had players are its own."""

    @property
    def released(self) -> str:
        """Label of the version that is released."""
        return self.version or self.label


HEALTHY = Scenario("healthy", "promoted")
DEFECTS = (
    Scenario("deposit-loss", "rolled-back", "deposits"),
    Scenario("errors", "rolled-back", "errors"),
    Scenario("slow", "rolled-back", "latency"),
    Scenario("crash-loop", "rolled-back"),
    Scenario("never-ready", "rolled-back"),
    Scenario("double-credit", "rolled-back", "ledger"),
    Scenario("late", "rolled-back", "errors"),
    Scenario("silent", "rolled-back", "errors", hangs=True),
    Scenario("leak", "rolled-back", "latency"),
    Scenario("config", "rolled-back", "deposits"),
    Scenario("provider", "rolled-back", "deposits", named="through psp-b"),
    Scenario("cross-service", "rolled-back", "calls"),
    Scenario("fewer-bets", "rolled-back", "bets", service="bets"),
    Scenario("schema", "refused", refusal="cannot read"),
)
DEPOSIT_LOSS = DEFECTS[0]
_ILL_PARTNERS = (
    Illness("psp-a", "down", 60, held_by="shared-incident"),
    Illness("psp-a", "slow", 60),
    Illness("psp-a", "duplicate-webhooks", 60),
)
_STALE_SECONDS = 20.0
"""Counters are too old after three scrapes, and a desk looks every five seconds."""
_ILL_PARTS = (
    Illness("envoy", "killed", 0),
    Illness("postgres", "killed", 0),
    Illness(faults.STABLE, "killed", 20, blind_after=5.0),
    Illness("desk", "killed", 0),
    Illness("desk", "stopped", 300, blind_after=1.0),
    Illness("tally", "stopped", 60, blind_after=_STALE_SECONDS),
    *(Illness("tally", kind, 45, blind_after=_STALE_SECONDS) for kind in ("nan", "text", "500", "huge", "slow")),
)
SHORT = {"steps": (25, 100), "dwell_seconds": 45.0}
"""Steps of a run that is about one fault: it holds long enough for the fault to begin, and could pass during it."""
_SHORTER = {**SHORT, "dwell_seconds": 25.0}
"""As long as all stable pods are dead players get no answer, so that fault is over sooner."""
FAULTS = (
    *(Scenario(f"{ill.part} {ill.kind}", "promoted", version="healthy", illness=ill) for ill in _ILL_PARTNERS),
    *(
        Scenario(
            f"{ill.part} {ill.kind}",
            "promoted",
            version="healthy",
            settings=_SHORTER if ill.part == faults.STABLE else SHORT,
            illness=ill,
        )
        for ill in _ILL_PARTS
    ),
    *(
        Scenario(f"deposit-loss desk {kind}", "rolled-back", "deposits", version="deposit-loss", illness=illness)
        for kind, illness in (("killed", Illness("desk", "killed", 0)), ("stopped", Illness("desk", "stopped", 60)))
    ),
)
"""A healthy version while somebody else is ill: held perhaps, and promoted in the end. And a bad one, taken back."""


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
    around a change of the split, unless Envoy or all stable pods were killed just then; ``failures_forgotten``: so many
    failed that the players did not remember when each did. ``passed_blind``: steps that passed while nobody could
    know. ``desk_growth_bytes``: by how much the desk's largest size rose during a fault of metrics. ``caught_by``: the
    gate whose verdict took it back, or the reason code when no gate did; "" when it was promoted. ``waited_for``: the
    codes of all verdicts by which it was kept at a step. ``problems``: what did not come out as it must; empty when all
    is right.
    """

    label: str
    run: str
    expected: Ending
    outcome: Ending | None
    reason: str
    caught_by: str = ""
    waited_for: tuple[str, ...] = ()
    peak_weight: int
    seconds: float
    forecast_seconds: float | None
    actual_seconds: float | None
    zero_seconds: float | None
    served: Served
    failed_requests: dict[str, int]
    failed_by_splits: int
    failures_forgotten: bool
    split_changes: int
    passed_blind: int = 0
    desk_growth_bytes: int | None = None
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


def play(
    home: Home, scenario: Scenario, say: Say, *, patience_seconds: float = 0.0, begin: Begin = begin_fault
) -> Told:
    """Release it and watch to the end.

    ``patience_seconds``: how long a plan that the desk refuses is offered again, because stable itself may have had a
    bad time that the desk still remembers. ``begin``: how the scenario's illness begins. Raises ``CroupierError`` when
    the desk does not answer or refuses the release; a wrong ending is told, not raised.
    """
    with DeskClient.of(home.name) as desk:
        digest = digest_of(desk, scenario)
        service = next(each for each in desk.services() if each.name == scenario.service)
        release = complete_release(service, digest, scenario.settings)
        if scenario.expected == "refused":
            return _refused(desk, scenario, release)
        preview = _plan(desk, release, say, patience_seconds)
        run = desk.start(preview.plan.release).run
    watched = _watch(home, scenario, run, say, begin)
    with DeskClient.of(home.name) as desk:
        entries = desk.journal(run)
    splits = split_times(entries)
    last = watched.last
    served = _served(home, last)
    # The last change of the split ends the run: what it breaks, breaks after the end.
    until = (last.ended_at or last.updated_at) + SPLIT_SECONDS[1]
    stats = _stats_after(home, until)
    failures = [each for each in stats.failures if last.started_at <= each.at <= until]
    fault, growth = watched.fault, None
    if fault is not None and fault.part == "tally" and watched.desk_bytes is not None:
        after = _largest_size_of_desk(home)
        growth = None if after is None else after - watched.desk_bytes
    forecast, actual = _times(scenario, preview, watched)
    foreign = without(failures, scenario.illness, fault)
    if scenario.hangs and splits and last.zero_at is not None:
        foreign = without_unanswered(foreign, splits[0], last.zero_at)
    told = Told(
        label=scenario.label,
        run=run,
        expected=scenario.expected,
        outcome=last.outcome,
        reason=last.reason,
        caught_by=caught_by(last),
        waited_for=watched.waited_for,
        peak_weight=last.peak_weight,
        seconds=(last.ended_at or last.updated_at) - last.started_at,
        forecast_seconds=forecast,
        actual_seconds=actual,
        zero_seconds=last.zero_at - last.verdict_at if last.zero_at and last.verdict_at and last.peak_weight else None,
        served=served,
        failed_requests=dict(Counter(each.cause for each in failures)),
        failed_by_splits=len(near_changes(foreign, splits)),
        failures_forgotten=stats.forgotten_until > last.started_at,
        split_changes=len(splits),
        passed_blind=len(passed_blind(entries, scenario.illness, fault)),
        desk_growth_bytes=growth,
        problems=(),
    )
    return told.model_copy(update={"problems": tuple(problems(told, scenario, preview.plan.release.scrape_seconds))})


def _refused(desk: DeskClient, scenario: Scenario, release: Release) -> Told:
    """Ask for a plan that must be refused. A plan that comes is not started."""
    try:
        desk.plan(release)
    except Refused as error:
        if scenario.refusal in error.message:
            return unplayed(scenario, error.message, "refused")
        return unplayed(scenario, error.message, "refused", problem=f"refused for another reason: {error.message}")
    return unplayed(scenario, "the desk would have started it", None, problem=f"{scenario.label} was not refused")


def unplayed(scenario: Scenario, reason: str, outcome: Ending | None, *, problem: str = "") -> Told:
    """A scenario of which no run came about."""
    return Told(
        label=scenario.label,
        run=NO_RUN,
        expected=scenario.expected,
        outcome=outcome,
        reason=reason,
        peak_weight=0,
        seconds=0.0,
        forecast_seconds=None,
        actual_seconds=None,
        zero_seconds=None,
        served=Served(),
        failed_requests={},
        failed_by_splits=0,
        failures_forgotten=False,
        split_changes=0,
        problems=(problem,) if problem else (),
    )


def not_serving(home: Home, scenario: Scenario) -> Scenario:
    """With the stable version in place of a healthy one that serves: releasing that would be no release."""
    with DeskClient.of(home.name) as desk:
        serving = next(each.stable for each in desk.services() if each.name == scenario.service)
    if serving is not None and serving.label == scenario.released:
        return scenario._replace(version="stable")
    return scenario


def wait_until_ended(home: Home, run: str) -> None:
    """Follow a run that is on its way to an end. Raises ``Unreachable`` when the desk is gone for good."""
    for view in follow(home.name, run):
        if view is not None and view.ended_at is not None:
            return


def problems(told: Told, scenario: Scenario, scrape_seconds: float) -> list[str]:
    """What is not as it must be (the bars of the first acceptance lines). Pure."""
    found = []
    if told.outcome != told.expected:
        found.append(f"{told.label} is {told.outcome or 'not decided'}, not {told.expected}: {told.reason}")
    if told.outcome == "rolled-back" and scenario.named not in told.reason:
        found.append(f"{told.label} was taken back, and the reason does not say {scenario.named!r}: {told.reason}")
    if told.outcome == "rolled-back" and scenario.signal and told.caught_by != scenario.signal:
        found.append(f"{told.label} was taken back by {told.caught_by}, not by {scenario.signal}: {told.reason}")
    if told.outcome == "rolled-back" and not scenario.signal and told.peak_weight:
        found.append(f"{told.label} had players: {told.peak_weight} %")
    illness = scenario.illness
    if illness is not None and illness.held_by and illness.held_by not in told.waited_for:
        found.append(f"{illness.part} was {illness.kind}, and the run was not held by {illness.held_by}")
    if told.passed_blind:
        found.append(f"{told.passed_blind} steps passed although nobody could know")
    if told.desk_growth_bytes is not None and told.desk_growth_bytes > MOST_GROWTH_BYTES:
        found.append(f"the desk grew by {told.desk_growth_bytes / 2**20:.0f} MiB")
    if told.zero_seconds is not None and told.zero_seconds > scrape_seconds + 1.0:
        found.append(f"the canary had players {told.zero_seconds:.1f} s after the verdict")
    if told.failed_by_splits:
        found.append(f"{told.failed_by_splits} requests failed around a change of the split")
    if told.failures_forgotten:
        found.append("too many requests failed to know which of them failed around a change of the split")
    return found


def digest_of(desk: DeskClient, scenario: Scenario) -> str:
    """Digest of the version that the scenario releases. Raises EnvironmentFault when there is none."""
    for version in desk.versions(scenario.service):
        if version.label == scenario.released:
            return version.digest
    raise EnvironmentFault(f"{scenario.service} has no version {scenario.released!r}")


def caught_by(view: RunView) -> str:
    """The gate that took it back, or the reason code when no gate did; "" while it was not taken back. Pure."""
    if view.outcome != "rolled-back":
        return ""
    failed = [reading.gate for reading in view.verdict.gates if reading.outcome == "fail"] if view.verdict else []
    return failed[0] if failed else view.code


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


def near_changes(failures: Iterable[Failure], changes: Sequence[float]) -> list[Failure]:
    """Those that no pod answered, around one of the changes of the split. Pure."""
    before, after = SPLIT_SECONDS
    return [each for each in failures if each.by_edge and any(at - before <= each.at <= at + after for at in changes)]


def without(failures: Sequence[Failure], illness: Illness | None, fault: StandFault | None) -> Sequence[Failure]:
    """Those that are not the fault's own: while Envoy or all stable pods are dead, no request reaches a pod. Pure."""
    if illness is None or fault is None or not illness.breaks_requests:
        return failures
    return [each for each in failures if not fault.began_at <= each.at <= fault.until + _RECOVERY_SECONDS]


def without_unanswered(failures: Iterable[Failure], began: float, zero: float) -> list[Failure]:
    """Those that are not of a version that leaves requests without an answer: what gave up waiting, sent from the
    first change of the split until no player was sent there any more. Pure."""
    return [each for each in failures if not (each.cause.startswith(NO_ANSWER) and began <= each.sent_at <= zero)]


def passed_blind(
    entries: Sequence[JournalEntryView], illness: Illness | None, fault: StandFault | None
) -> Sequence[JournalEntryView]:
    """Steps that the gates let pass while nobody could know, from the journal of a run. Pure."""
    if illness is None or fault is None or illness.blind_after is None:
        return ()
    begin = fault.began_at + illness.blind_after
    passes = [each for each in entries if each.kind == "step.passed" and each.body.get("code") == "gates"]
    return [each for each in passes if begin <= each.at <= fault.until]


class _Watched(NamedTuple):
    """``traffic_at``: when the canary got its first players; None if it never did.

    ``waited_for``: codes of the verdicts that kept it at a step. ``fault``: the illness as it came about; None: the
    scenario has none. ``desk_bytes``: the desk's largest size before it; None: not known.
    """

    last: RunView
    traffic_at: float | None
    waited_for: tuple[str, ...]
    fault: StandFault | None
    desk_bytes: int | None


def _watch(home: Home, scenario: Scenario, run: str, say: Say, begin: Begin) -> _Watched:
    """Follow the run to its end, or until it waits for a person; let the part be ill meanwhile.

    Raises EnvironmentFault when nothing was heard of it, or when it ended before the part fell ill.
    """
    illness = scenario.illness
    fault: StandFault | None = None
    desk_bytes: int | None = None
    calm = CALM_SECONDS if scenario.expected == "promoted" else _SOON_SECONDS
    last: RunView | None = None
    traffic_at: float | None = None
    waited_for: dict[str, None] = {}
    for view in follow(home.name, run):
        if view is None:
            continue
        for line in change_lines(last, view):
            say(line)
        if traffic_at is None and view.weight > 0:
            traffic_at = view.step_at
        if illness is not None and view.phase == "holding" and view.updated_at - view.step_at > calm:
            desk_bytes = _largest_size_of_desk(home)
            fault = begin(home, illness)
            say(f"{illness.part} is {illness.kind} for {illness.seconds} s")
            illness = None
        if view.phase == "holding" and view.verdict is not None and view.verdict.outcome == "inconclusive":
            waited_for[view.verdict.code] = None
        last = view
        if view.phase == "held":
            break
    if last is None:
        raise EnvironmentFault(f"nothing was heard of {run}")
    if illness is not None and last.ended_at is not None:
        raise EnvironmentFault(f"{run} had ended before {illness.part} could be {illness.kind}: it shows nothing")
    return _Watched(last, traffic_at, tuple(waited_for), fault, desk_bytes)


def _largest_size_of_desk(home: Home) -> int | None:
    """The most memory the stand's desk has held since it was started, in bytes; None when it does not run."""
    desk = home.require().process("desk")
    with suppress(OSError):
        for line in Path(f"/proc/{desk.pid if desk else 0}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


def _times(scenario: Scenario, preview: PlanPreview, watched: _Watched) -> tuple[float | None, float | None]:
    """Forecast and actual time to the verdict that the scenario is about."""
    last = watched.last
    if scenario.illness is not None:  # no forecast foresees it
        return None, None
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


def _plan(desk: DeskClient, release: Release, say: Say, patience_seconds: float) -> PlanPreview:
    """The desk's plan. Raises ``Refused`` when it still refuses after ``patience_seconds``."""
    found: list[PlanPreview] = []
    refusals: list[Refused] = []

    def is_planned() -> bool:
        try:
            found.append(desk.plan(release))
        except Refused as error:
            refusals.append(error)
            if patience_seconds:
                say(f"refused for now: {error.message}")
        return bool(found)

    if not wait_for(is_planned, patience_seconds, pause_seconds=_REFUSED_PAUSE_SECONDS):
        raise refusals[-1]
    return found[0]


def _stats_after(home: Home, at: float) -> PlayersStats:
    """What the players counted until ``at`` and a little later. Raises EnvironmentFault when they count no more."""
    found: list[PlayersStats] = []

    def is_late_enough() -> bool:
        stats = read_stats(home.players_stats)
        if stats is not None and stats.at > at:
            found.append(stats)
        return bool(found)

    if not wait_for(is_late_enough, 3 * SPLIT_SECONDS[1], pause_seconds=0.5):
        raise EnvironmentFault("the players have stopped counting", hint="croupier stand status")
    return found[-1]
