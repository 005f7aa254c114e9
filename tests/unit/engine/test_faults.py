"""The world misbehaves in the middle of a release."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest
from tests.support.world import HEALTHY, IDENTITY, LOSSY, PAYMENTS, POLICY, STABLE, World, release

from croupier.adapters.journal.memory import MemoryEvidence
from croupier.engine import errands, gather
from croupier.engine.desk import Desk
from croupier.errors import Conflict, IntegrityError, Missing, Unreachable
from croupier.model.digest import short
from croupier.model.evidence import ArmSample, Count, Sample, SeriesCounts
from croupier.model.journal import Draft, Entry
from croupier.model.service import Platform
from croupier.model.view import RunView
from croupier.ports.metrics import Target


async def begun(
    digest: str = HEALTHY, *, at_weight: int = 5, service: str = PAYMENTS.name, **changes: object
) -> tuple[World, Desk, str]:
    """A release that holds at ``at_weight`` percent."""
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    run = await desk.start(release(digest, service, **changes), who="ann")

    def holds(view: RunView) -> bool:
        return view.weight == at_weight and view.phase == "holding"

    await world.play(desk, run, until=holds)
    return world, desk, run


async def test_without_metrics_the_step_holds_and_goes_on_when_they_are_back() -> None:
    world, desk, run = await begun()
    world.metrics.unreachable = True
    await world.rounds(desk, 20)
    view = await desk.run_view(run)
    assert (view.phase, view.weight) == ("holding", 5)
    assert not desk.health().ok
    world.metrics.unreachable = False
    assert (await world.play(desk, run)).outcome == "promoted"
    faults = [entry.body["message"] for entry in world.entries("fault") if entry.body["port"] == "metrics"]
    assert [bool(message) for message in faults] == [True, False], "one entry when it began, one when it ended"


async def test_without_metrics_until_the_deadline_the_money_tier_goes_back() -> None:
    world, desk, run = await begun()
    world.metrics.unreachable = True
    view = await world.play(desk, run)
    assert (view.outcome, view.code) == ("rolled-back", "deadline")
    assert "no counters of canary and stable" in view.reason


@pytest.mark.parametrize("is_restarted", [True, False])
async def test_a_desk_that_was_away_or_a_clock_that_jumped_meets_no_deadline(is_restarted: bool) -> None:
    """A good release was taken back for it. ``is_restarted``: the desk was stopped; else its clock jumped."""
    world, desk, run = await begun()
    world.clock.time += 3600.0
    desk = world.desk() if is_restarted else desk
    view = await world.play(desk, run)
    assert view.outcome == "promoted"
    assert [entry.body["seconds"] for entry in world.entries("unwatched")] == [pytest.approx(3600.0, abs=10.0)]


async def test_a_clock_that_was_set_back_takes_the_time_again_that_it_was_given() -> None:
    world, desk, run = await begun()
    world.clock.time += 3600.0
    await world.rounds(desk, 2)
    world.clock.time -= 3600.0
    await world.rounds(desk, 2)
    assert sum(entry.body["seconds"] for entry in world.entries("unwatched")) == pytest.approx(0.0, abs=10.0)
    view = await world.play(desk, run, seconds=300.0)
    assert view.outcome == "rolled-back", "no evidence is taken until the clock has caught up"
    assert view.code == "deadline"


@pytest.mark.parametrize(("service", "phase"), [(PAYMENTS.name, "rolled-back"), (IDENTITY.name, "held")])
async def test_a_clock_that_was_wrong_when_a_step_began_puts_its_deadline_no_further_off(
    service: str, phase: str
) -> None:
    """No evidence is taken until the clock has caught up: a canary that harms was not noticed for an hour."""
    world, desk, run = await begun(service=service)
    world.clock.time -= 3600.0
    world.failures[HEALTHY, "deposits"] = 0.5
    await world.rounds(desk, 60)
    view = await desk.run_view(run)
    assert (view.phase, view.code) == (phase, "deadline")


async def test_a_desk_that_comes_and_goes_meets_the_deadline_of_the_money_tier() -> None:
    world, desk, run = await begun()
    world.metrics.unreachable = True
    for _ in range(4):
        world.clock.time += 90.0
        desk = world.desk()
        await world.rounds(desk, 2)
    view = await world.play(desk, run, seconds=30.0)
    assert (view.outcome, view.code) == ("rolled-back", "deadline")
    assert len(world.entries("unwatched")) == 1


@pytest.mark.parametrize("nonsense", [-1.0, 1e200])
async def test_counters_that_are_no_counts_are_no_data_and_the_deadline_is_met(nonsense: float) -> None:
    """A negative counter was an error of the round: the run neither went on nor back, whatever happened."""
    world, desk, run = await begun()
    read = world.metrics.read

    async def turned(targets: Sequence[Target]) -> Mapping[Target, ArmSample]:
        found = await read(targets)
        return {target: ArmSample(_times(sample.series, nonsense)) for target, sample in found.items()}

    world.metrics.read = turned  # type: ignore[method-assign]
    view = await world.play(desk, run)
    assert (view.outcome, view.code) == ("rolled-back", "deadline")
    assert desk.health().problems == ()


def _times(series: Mapping[str, SeriesCounts], by: float) -> dict[str, SeriesCounts]:
    turned = {}
    for name, counts in series.items():
        pods = {pod: Count(total * by, bad * by) for pod, (total, bad) in counts.events.items()}
        turned[name] = SeriesCounts(pods, pods)
    return turned


async def test_without_metrics_until_the_deadline_other_tiers_hold_and_call_a_person() -> None:
    world, desk, run = await begun(service=IDENTITY.name)
    world.metrics.unreachable = True
    await world.rounds(desk, 120)
    view = await desk.run_view(run)
    assert (view.phase, view.code, view.weight) == ("held", "deadline", 5)
    assert view.commands == ("resume", "promote", "abort")


async def test_without_canary_counters_at_100_percent_the_bake_never_ends_in_a_promotion() -> None:
    world, desk, run = await begun(at_weight=100)
    world.metrics.unreachable = True
    view = await world.play(desk, run)
    assert (view.outcome, view.code) == ("rolled-back", "deadline")


async def test_one_killed_canary_pod_is_tolerated() -> None:
    world, desk, run = await begun()
    world.workloads.crash(f"{PAYMENTS.name}-{short(HEALTHY)}-0")
    assert (await world.play(desk, run)).outcome == "promoted"


async def test_three_more_restarts_than_stable_take_the_canary_back() -> None:
    world, desk, run = await begun()
    for pod in (0, 1, 1):
        world.workloads.crash(f"{PAYMENTS.name}-{short(HEALTHY)}-{pod}")
    view = await world.play(desk, run)
    assert (view.outcome, view.code) == ("rolled-back", "restarts")
    assert "3 times" in view.reason


async def test_restarts_that_stable_shares_are_not_held_against_the_canary() -> None:
    world, desk, run = await begun()
    for pod in (0, 1, 1):
        world.workloads.crash(f"{PAYMENTS.name}-{short(HEALTHY)}-{pod}")
        world.workloads.crash(f"{PAYMENTS.name}-{short(STABLE)}-{pod}")
    assert (await world.play(desk, run)).outcome == "promoted"


async def test_a_canary_without_any_ready_pod_is_taken_back() -> None:
    world, desk, run = await begun()
    world.workloads.unready[HEALTHY] = "exit code 137"
    view = await world.play(desk, run)
    assert (view.outcome, view.code) == ("rolled-back", "canary-down")


async def test_with_all_stable_pods_down_nobody_is_sent_back_to_them() -> None:
    world, desk, run = await begun(LOSSY)
    world.workloads.unready[STABLE] = "database gone"
    await world.rounds(desk, 8)
    view = await desk.run_view(run)
    assert (view.phase, view.code, view.weight) == ("held", "stable-down", 5)
    assert view.verdict is not None
    assert view.verdict.outcome == "fail"
    assert "promote" not in view.commands
    del world.workloads.unready[STABLE]
    assert (await world.play(desk, run)).outcome == "rolled-back"


@pytest.mark.parametrize("at_weight", [0, 5])
async def test_faults_of_a_port_that_answers_now_and_then_do_not_fill_the_journal(
    at_weight: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    if at_weight == 0:
        world.workloads.unready[HEALTHY] = "starting"
    run = await desk.start(release(HEALTHY), who="ann")
    await world.rounds(desk, 2)
    await world.play(desk, run, until=lambda view: view.weight == at_weight)
    await world.rounds(desk, 1)
    looks = 0
    observe, split = world.workloads.observe, world.traffic.observe

    def failing(ask: Callable[[str], Awaitable[Any]]) -> Callable[[str], Awaitable[Any]]:
        async def now_and_then(service: str) -> Any:
            if looks % 2 and service == PAYMENTS.name:
                raise Unreachable("too many requests")
            return await ask(service)

        return now_and_then

    monkeypatch.setattr(world.workloads, "observe", failing(observe))
    monkeypatch.setattr(world.traffic, "observe", failing(split))
    for looks in range(20):  # noqa: B007  # asked for above
        await world.rounds(desk, 1, seconds=0.5)
    assert 4 <= len(world.entries("fault")) <= 8, "of two ports, in ten seconds"


async def test_an_edge_that_restarts_in_mid_step_only_delays() -> None:
    world, desk, run = await begun()
    world.traffic.unreachable = True
    await world.rounds(desk, 6)
    assert (await desk.run_view(run)).phase == "holding"
    world.traffic.unreachable = False
    assert (await world.play(desk, run)).outcome == "promoted"


async def test_an_edge_that_is_gone_when_the_verdict_falls_is_set_as_soon_as_it_is_back() -> None:
    world, desk, run = await begun(LOSSY)
    world.traffic.unreachable = True
    await world.rounds(desk, 8)
    assert (await desk.run_view(run)).phase == "rolling-back"
    world.traffic.unreachable = False
    await desk.round()
    assert world.serves() == {STABLE: 100}
    assert (await world.play(desk, run)).outcome == "rolled-back"


async def test_a_split_that_never_lands_takes_the_run_back() -> None:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    run = await desk.start(release(), who="ann")
    world.traffic.refusal = "no such cluster"
    view = await world.play(desk, run, until=lambda view: view.phase == "rolling-back")
    assert view.code == "not-settled"
    assert "no such cluster" in view.waiting_for
    world.traffic.refusal = ""
    assert (await world.play(desk, run)).outcome == "rolled-back"
    assert world.serves() == {STABLE: 100}


async def test_a_foreign_hand_on_the_split_is_put_right_and_written_down() -> None:
    world, desk, _ = await begun()
    intents = len(world.entries("intent"))
    split = world.splits_set[-1]
    await world.traffic.set_split(split.model_copy(update={"revision": 99}))
    await world.rounds(desk, 2)
    assert (await world.traffic.observe(PAYMENTS.name)).revision == 1
    assert len(world.entries("intent")) == intents + 1


async def test_when_nobody_answers_for_the_pods_a_failing_canary_still_loses_its_players() -> None:
    world, desk, run = await begun(LOSSY)
    world.workloads.unreachable = True
    await world.play(desk, run, until=lambda view: view.zero_at is not None)
    assert world.serves() == {STABLE: 100}
    world.workloads.unreachable = False
    assert (await world.play(desk, run)).outcome == "rolled-back"


async def test_a_way_back_whose_answer_was_lost_is_not_written_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second entry could not follow the first: no desk could read that journal any more."""
    world, desk, run = await begun(LOSSY)
    append = world.journal.append

    def write_and_complain(drafts: Sequence[Draft], *, way_back: bool = False) -> Sequence[Entry]:
        entries = append(drafts, way_back=way_back)
        if any(draft.kind == "run.rolling-back" for draft in drafts):
            raise Unreachable("the answer was lost")
        return entries

    monkeypatch.setattr(world.journal, "append", write_and_complain)
    assert (await world.play(desk, run)).outcome == "rolled-back"
    assert len(world.entries("run.rolling-back")) == 1
    assert world.serves() == {STABLE: 100}


@pytest.mark.parametrize("error", [KeyError("pods"), Missing("no such thing"), Conflict("another one leads"), None])
async def test_players_leave_a_failing_canary_however_whoever_runs_the_pods_fails(
    error: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the pods are is known from before. ``error``: None: it never answers."""
    monkeypatch.setattr(gather, "PATIENCE_SECONDS", 0.005)
    monkeypatch.setattr(errands, "CAPACITY_SECONDS", 0.005)
    world, desk, run = await begun()
    is_back = asyncio.Event()

    async def fail(*_: object) -> None:
        if error is None:
            await is_back.wait()
        raise error or Unreachable("too late")

    with monkeypatch.context() as patch:
        patch.setattr(world.workloads, "observe", fail)
        patch.setattr(world.workloads, "ensure", fail)
        world.failures[HEALTHY, "deposits"] = 0.5
        await world.play(desk, run, until=lambda view: view.zero_at is not None)
        assert world.serves() == {STABLE: 100}
    is_back.set()
    assert (await world.play(desk, run)).outcome == "rolled-back"


async def test_a_full_disk_stops_steps_and_never_the_way_back() -> None:
    world, desk, run = await begun()
    world.journal.full = True
    await world.rounds(desk, 20)
    verdict = (await desk.run_view(run)).verdict
    assert verdict is not None
    assert verdict.outcome == "pass", "it would go on"
    assert [split.canary and split.canary.weight for split in world.splits_set] == [5]
    world.failures[HEALTHY, "deposits"] = 0.5
    view = await world.play(desk, run)
    assert (view.outcome, view.code) == ("rolled-back", "worse")
    assert world.serves() == {STABLE: 100}


async def test_a_desk_that_starts_on_a_full_disk_still_takes_its_runs_back() -> None:
    world, _, run = await begun()
    world.journal.full = True
    world.failures[HEALTHY, "deposits"] = 0.5
    view = await world.play(world.desk(), run)
    assert (view.outcome, view.code) == ("rolled-back", "worse")


async def test_a_bug_in_a_back_end_is_one_more_way_of_not_answering(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world, desk, run = await begun()

    async def stumble(*_: object) -> None:
        raise KeyError("weights")

    with monkeypatch.context() as patch:
        patch.setattr(world.traffic, "observe", stumble)
        patch.setattr(world.metrics, "read", stumble)
        await world.rounds(desk, 8)
        assert (await desk.run_view(run)).phase == "holding"
        assert any("KeyError" in problem for problem in desk.health().problems)
    assert len([record for record in caplog.records if record.exc_info]) == 3, "once a service and port, not a round"
    assert (await world.play(desk, run)).outcome == "promoted"


async def test_without_any_journal_a_failing_canary_still_loses_its_players(monkeypatch: pytest.MonkeyPatch) -> None:
    world, desk, run = await begun()

    def refuse(*_: object, **__: object) -> None:
        raise Unreachable("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(world.journal, "append", refuse)
        world.failures[HEALTHY, "deposits"] = 0.5
        await world.rounds(desk, 8)
        assert world.serves() == {STABLE: 100}
        assert "no space left" in desk.health().problems[0]
    view = await world.play(desk, run)
    assert view.outcome == "rolled-back"


async def test_a_live_run_of_a_service_that_is_no_longer_declared_is_still_taken_back() -> None:
    world, _, run = await begun(LOSSY)
    desk = world.desk(Platform(services=(IDENTITY,)))
    assert (await world.play(desk, run)).code == "worse"


async def test_an_entry_this_desk_cannot_read_stops_it_with_its_number() -> None:
    world, _, run = await begun()
    world.journal.append([Draft("step.danced", run, world.clock.now(), {})])
    with pytest.raises(IntegrityError, match=r"step\.danced"):
        await world.desk().open()
    world, _, run = await begun()
    world.journal.append([Draft("verdict", run, world.clock.now(), {"verdict": {"outcome": "perhaps"}})])
    with pytest.raises(IntegrityError, match=r"entry \d+ \(verdict of r-0001\)"):
        await world.desk().open()


async def test_a_desk_does_not_act_on_a_journal_in_which_an_entry_was_changed() -> None:
    """S9.6: it cannot know what else is not as it was."""
    world, _, _ = await begun()
    rows = world.journal._rows
    rows[1] = rows[1]._replace(at=rows[1].at + 1.0)
    before = len(rows)
    with pytest.raises(IntegrityError, match="entry 2: its content does not give its hash"):
        await world.desk().round()
    assert len(rows) == before


async def test_a_commit_that_was_reported_as_failed_is_not_written_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    world, desk, run = await begun()
    append, read = world.journal.append, world.journal.read

    def write_and_complain(*arguments: object, **options: object) -> None:
        append(*arguments, **options)
        raise Unreachable("the answer was lost")

    def complain(*_: object, **__: object) -> None:
        raise Unreachable("cannot be read now")

    with monkeypatch.context() as patch:
        patch.setattr(world.journal, "append", write_and_complain)
        while "step.passed" not in [entry.kind for entry in read(subject=run)]:
            await world.rounds(desk, 1)
        patch.setattr(world.journal, "append", append)
        patch.setattr(world.journal, "read", complain)
        await world.rounds(desk, 5)
    assert (await world.play(desk, run)).outcome == "promoted"
    assert [entry.body["step"] for entry in world.entries("step.passed")] == [1, 2, 3, 4, 5]


async def test_an_unusual_draw_of_players_holds_the_step_for_a_person() -> None:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    run = await desk.start(release(service=IDENTITY.name), who="ann")
    world.odd_players = 3.0
    view = await world.play(desk, run, until=lambda view: view.phase == "held")
    assert view.code == "share"
    assert "15.0% of" in view.reason
    await desk.command(run, "promote", "ann", "seen, accepted")
    await world.rounds(desk, 1)
    assert (await desk.run_view(run)).step_name == "10 %"
    passed = world.entries("step.passed")[-1]
    assert (passed.body["who"], passed.body["reason"]) == ("ann", "seen, accepted")


async def test_an_unusual_draw_holds_also_a_desk_that_was_started_again() -> None:
    """A new desk went on before it had counted the players anew."""
    world, desk, run = await begun(service=IDENTITY.name)
    world.odd_players = 3.0
    await world.rounds(desk, 30)
    await desk.round()
    view = await desk.run_view(run)
    assert (view.phase, view.weight, view.code) == ("holding", 5, "share")
    await world.desk().round()
    assert not world.entries("step.passed")


async def test_an_objective_missed_at_100_percent_holds_and_calls_a_person() -> None:
    gates = tuple(gate.model_copy(update={"objective_ratio": 0.99}) for gate in POLICY.gates)
    policy = POLICY.model_copy(update={"gates": gates})
    world, desk, run = await begun(at_weight=100, policy=policy, bake_seconds=300.0)
    world.failures[HEALTHY, "deposits"] = 0.2
    view = await world.play(desk, run, until=lambda view: view.phase == "held")
    assert (view.code, view.weight) == ("slo-breach", 100)
    await desk.command(run, "abort", "ann", "take it back")
    assert (await world.play(desk, run)).code == "aborted"
    assert world.serves() == {STABLE: 100}


async def test_after_promotion_the_old_version_is_kept_warm_and_a_missed_objective_takes_the_release_back() -> None:
    """With a hold-back there is a control left in the bake, so nobody has to be called."""
    gates = tuple(gate.model_copy(update={"objective_ratio": 0.99}) for gate in POLICY.gates)
    policy = POLICY.model_copy(update={"gates": gates})
    world, desk, run = await begun(at_weight=99, policy=policy, bake_seconds=300.0, hold_back_percent=1)
    world.failures[HEALTHY, "deposits"] = 0.2
    view = await world.play(desk, run)
    assert (view.outcome, view.code) == ("rolled-back", "slo-breach")
    assert world.serves() == {STABLE: 100}


class FullStore:
    """The evidence of a world, on a disk that can be full."""

    def __init__(self, store: MemoryEvidence) -> None:
        self._store = store
        self.is_full = False

    def append(self, run: str, sample: Sample) -> str:
        if self.is_full:
            raise Unreachable("no space left on device")
        return self._store.append(run, sample)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.mark.parametrize("rounds", range(10))
async def test_nothing_passes_on_evidence_that_could_not_be_stored(rounds: int) -> None:
    """S9.7: a verdict that nobody can compute again is no reason to go on, whenever the disk fills."""
    world, desk, run = await begun()
    store = FullStore(world.evidence)
    world.evidence = store  # type: ignore[assignment]
    await world.rounds(desk, rounds)
    store.is_full = True
    passed = len(world.entries("step.passed"))
    await world.rounds(desk, 20)
    assert len(world.entries("step.passed")) == passed
    faults = [entry.body["message"] for entry in world.entries("fault") if entry.body["port"] == "evidence"]
    assert [bool(message) for message in faults] == [True], "written once, not at every scrape"
    store.is_full = False
    assert (await world.play(desk, run)).outcome == "promoted"
    named = [entry.body["evidence"] for entry in world.entries("step.passed") if entry.body["code"] == "gates"]
    assert len(named) == 4
    assert None not in named
