"""Any history of rounds, faults, verdicts and commands against what a run promises (DESIGN §2)."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.world import HEALTHY, IDENTITY, PAYMENTS, STABLE, release

from croupier.core.decide import Decision, decide
from croupier.core.phases import Phase
from croupier.core.plans.canary import canary_replicas
from croupier.core.plans.release import plan_release
from croupier.core.run import RunState, apply, begin, fold
from croupier.core.snapshot import Evidence, Snapshot
from croupier.engine.views import accepted, run_view
from croupier.model.freeze import Freeze
from croupier.model.journal import Draft
from croupier.model.plan import EnsureVersion, Retire, SetSplit, Settle
from croupier.model.service import Service
from croupier.model.traffic import Endpoint, ObservedSplit
from croupier.model.verdict import Outcome, Verdict
from croupier.model.view import CommandName
from croupier.model.workload import Pod, VersionPods

RUN = "r-0001"
FREEZE = Freeze(name="cup-final", title="Cup final", from_at=0.0, until_at=1e9, until="some day")
TABLES = PAYMENTS.model_copy(update={"traffic": "websocket"})
"""Players hold sockets to it."""


@dataclass(frozen=True)
class Round:
    """What happens between two looks at the world, and what the second one shows."""

    seconds: float
    verdict: Outcome | None
    fresh: bool
    traffic_answers: bool
    workloads_answer: bool
    actions_work: bool
    canary_ready: bool
    stable_ready: bool
    restarts: int
    odd_share: bool
    command: CommandName | None
    unwatched: float = 0.0
    frozen: bool = False
    sockets: int | None = 0


def mostly(value: bool) -> st.SearchStrategy[bool]:
    return st.integers(0, 11).map(lambda drawn: value if drawn else not value)


ROUNDS = st.builds(
    Round,
    seconds=st.sampled_from([0.5, 2.5, 5.0, 5.0, 15.0, 200.0]),
    verdict=st.sampled_from([*[Outcome.PASS] * 5, *[Outcome.INCONCLUSIVE] * 5, Outcome.FAIL, None]),
    fresh=mostly(True),
    traffic_answers=mostly(True),
    workloads_answer=mostly(True),
    actions_work=mostly(True),
    canary_ready=mostly(True),
    stable_ready=mostly(True),
    restarts=st.sampled_from([*[0] * 15, 1, 2]),
    odd_share=mostly(False),
    command=st.sampled_from([*[None] * 20, "pause", "resume", "promote", "abort", "override"]),
    unwatched=st.sampled_from([*[0.0] * 8, 100.0, 3600.0, -3600.0]),
    frozen=mostly(False),
    sockets=st.sampled_from([None, 0, 1, 40]),
)


@dataclass
class Stage:
    """A world that does what it is told, when it works."""

    state: RunState
    records: list[Draft]
    now: float = 1000.0
    split: ObservedSplit = field(
        default_factory=lambda: ObservedSplit(service=PAYMENTS.name, run="-", revision=0, weights={STABLE: 100})
    )
    desired: dict[str, int] = field(default_factory=lambda: {STABLE: 4})
    restarts: int = 0

    def look(self, happens: Round) -> Snapshot:
        self.restarts += happens.restarts
        pods = {
            digest: VersionPods(
                PAYMENTS.name,
                digest,
                count,
                tuple(
                    Pod(
                        f"{digest[7]}-{index}",
                        Endpoint(host="127.0.0.1", port=index),
                        happens.canary_ready if digest == HEALTHY else happens.stable_ready,
                        self.restarts if digest == HEALTHY and index == 0 else 0,
                    )
                    for index in range(count)
                ),
            )
            for digest, count in self.desired.items()
        }
        share = self.split.weights.get(HEALTHY, 0) / 100
        canary = round(2000 * (min(1.0, share * 3) if happens.odd_share else share))
        age = 1.0 if happens.fresh else float("inf")
        verdict = None if happens.verdict is None else Verdict(outcome=happens.verdict, code="x", reason="x", gates=())
        return Snapshot(
            now=self.now,
            split=self.split if happens.traffic_answers else None,
            pods=pods if happens.workloads_answer else None,
            verdict=verdict,
            evidence=Evidence(sha256="0", samples=1) if verdict else None,
            canary_age=age,
            stable_age=age,
            players=(canary, 2000 - canary),
            faults={} if happens.traffic_answers else {"traffic": "gone"},
            unwatched_seconds=happens.unwatched,
            freezes=(FREEZE,) if happens.frozen else (),
            open_sockets=happens.sockets,
        )

    def do(self, decision: Decision, happens: Round) -> None:
        if not happens.actions_work:
            return
        for action in decision.actions:
            match action:
                case EnsureVersion():
                    self.desired[action.digest] = max(action.replicas, self.desired.get(action.digest, 0))
                case SetSplit():
                    weights = {action.stable: 100 - action.weight, action.canary: action.weight}
                    weights = {digest: weight for digest, weight in weights.items() if weight}
                    self.split = ObservedSplit(action.service, RUN, action.revision, weights)
                case Settle():
                    self.split = ObservedSplit(action.service, "-", 0, {action.digest: 100})
                case Retire():
                    assert action.digest not in self.split.weights, "a version that serves is never retired"
                    self.desired.pop(action.digest, None)


def stage(service: Service) -> Stage:
    plan = plan_release(
        run=RUN,
        service=service,
        stable=STABLE,
        canary=HEALTHY,
        release=release(service=service.name, hold_back_percent=None),
        ordinal=3,
        dispersion={},
    )
    body = {"plan": plan.model_dump(mode="json", by_alias=True), "stable": "first", "canary": "new", "forecast": None}
    planned = Draft("run.planned", RUN, 1000.0, body)
    begun = Draft("run.started", RUN, 1000.0, {"restarts": {}, "who": "ann", "reason": ""})
    return Stage(apply(begin(planned), begun), [planned, begun])


CALM = Round(5.0, Outcome.PASS, True, True, True, True, True, True, 0, False, None)


@settings(max_examples=150, deadline=None)
@given(
    service=st.sampled_from([PAYMENTS, IDENTITY, TABLES]),
    calm=st.integers(0, 25),
    history=st.lists(ROUNDS, min_size=1, max_size=40),
)
def test_whatever_happens_a_run_keeps_its_promises(service: Service, calm: int, history: list[Round]) -> None:
    world = stage(service)
    went_back = False
    for happens in [*[CALM] * calm, *history]:
        world.now += happens.seconds + max(happens.unwatched, 0.0)
        is_frozen = happens.frozen and FREEZE.name not in world.state.overridden
        taken = accepted(world.state, world.state.verdict, FREEZE if is_frozen else None)
        if happens.command is not None and happens.command in taken:
            body = {"command": happens.command, "who": "bob", "reason": "because", "overridden": [FREEZE.name]}
            command = Draft("command", RUN, world.now, body)
            world.records.append(command)
            world.state = apply(world.state, command)
        before, snapshot = world.state, world.look(happens)
        decision = decide(before, snapshot)
        world.records += decision.drafts
        world.state = decision.state
        kinds = [draft.kind for draft in decision.drafts]
        after = decision.state
        if after.phase is Phase.HOLDING:
            assert after.settled_at is not None
            assert snapshot.now - after.settled_at < after.current.hold.deadline_seconds, "a deadline is met"
        assert 0.0 <= after.unwatched_seconds <= 3600.0, "once a step, and given back at most"

        again = decide(world.state, snapshot)
        assert (again.drafts, again.actions) == ((), decision.actions), "a repeated round changes nothing"
        run_view(world.state, snapshot)

        went_back = went_back or "run.rolling-back" in kinds
        rises = [
            action for action in decision.actions if isinstance(action, SetSplit) and action.weight > before.weight
        ]
        if before.phase is Phase.PROMOTING:
            rises = []  # no way back: those who were held back move at the end, whatever is seen
        if happens.frozen and FREEZE.name not in before.overridden:
            assert not rises, "nobody is moved forward in a freeze"
            assert not {"step.passed", "step.entered", "run.promoting"} & set(kinds)
        if went_back:
            assert not rises, "what goes back never rises again"
            assert world.state.weight == 0 or "run.rolling-back" in kinds or not happens.stable_ready
        if happens.verdict is Outcome.FAIL:
            assert not rises or before.phase in (Phase.PLANNED, Phase.PREPARING), "nothing rises over a failing gate"
            assert "step.passed" not in kinds
        for draft in decision.drafts:
            if draft.kind != "step.passed":
                continue
            by_person = draft.body.get("who") == "bob" and before.command is not None
            baked = not before.current.hold.gates and before.current.weight > 0 and draft.body["code"] == "baked"
            by_gates = happens.verdict is Outcome.PASS and happens.fresh and not happens.odd_share
            assert by_person or baked or by_gates, "nothing passes without evidence or a person who is named"
            assert happens.traffic_answers, "nothing passes while nobody confirms the split"
            assert happens.workloads_answer and happens.canary_ready
            assert by_person or happens.fresh
        for split in rises:
            if split != before.split:
                ready = world.desired.get(HEALTHY, 0) if happens.canary_ready else 0
                assert ready >= canary_replicas(service, split.weight), "capacity is never below the weight"
        if service is TABLES and any(isinstance(action, Settle) for action in decision.actions):
            assert after.peak_weight == 0 or after.drained_at is not None, "sockets are waited for"
        world.do(decision, happens)
    assert fold(world.records) == world.state, "the journal alone tells the state"
    passed = [record.body["step"] for record in world.records if record.kind == "step.passed"]
    assert passed == sorted(set(passed))
    assert sum(record.kind == "run.promoting" for record in world.records) <= 1


@settings(max_examples=80, deadline=None)
@given(service=st.sampled_from([PAYMENTS, IDENTITY, TABLES]), history=st.lists(ROUNDS, max_size=40))
def test_whatever_happened_a_run_comes_to_its_end_once_the_world_is_calm(
    service: Service, history: list[Round]
) -> None:
    world = stage(service)
    for happens in [*history, *[CALM] * 60]:
        world.now += happens.seconds + max(happens.unwatched, 0.0)
        decision = decide(world.state, world.look(happens))
        world.state = decision.state
        world.do(decision, happens)
    assert world.state.phase in (Phase.PROMOTED, Phase.ROLLED_BACK, Phase.HELD)
    assert (world.state.phase, world.state.code) != (Phase.HELD, "freeze"), "a freeze that is over holds nothing"
    if world.state.phase is Phase.PROMOTED:
        assert world.split.weights == {HEALTHY: 100}
        assert world.desired.keys() == {HEALTHY}
    if world.state.phase is Phase.ROLLED_BACK:
        assert world.split.weights == {STABLE: 100}
        assert world.desired.keys() == {STABLE}
