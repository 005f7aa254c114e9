"""One release as an example: what the reference pages, the picture in the README and tests of screens show.

A version of ``payments-api`` that answers 200 but loses 3 % of deposits, at three moments. The numbers are of the size
seen on the stand; they are not a measurement.
"""

from __future__ import annotations

from datetime import date

from croupier.model.checklist import LINES, Checklist, LineView, LineWaiver, Proof
from croupier.model.plan import Hold, Plan, Step
from croupier.model.release import GatePolicy, GateSpec, Margin, Release
from croupier.model.verdict import ArmNumbers, GateReading, Outcome, Verdict
from croupier.model.view import (
    FaultForecast,
    ForecastView,
    GroupView,
    JournalEntryView,
    MemberView,
    Moment,
    PlanPreview,
    RunView,
    ServiceView,
    StepForecast,
    VersionView,
    WeightBand,
)

STARTED_AT = 1_772_334_120.0
"""2026-03-01 03:02:00 UTC."""
STABLE = "sha256:3f2a9c1b44de" + "70a1" * 13
CANARY = "sha256:9b07e6d2c815" + "c44e" * 13

POLICY = GatePolicy(
    gates=(
        GateSpec(signal="deposits", role="required", importance=3.0, margin=Margin(points=2.0), objective_ratio=0.995),
        GateSpec(signal="errors", role="required", importance=2.0, margin=Margin(points=1.0), objective_ratio=0.999),
        GateSpec(signal="withdrawals", margin=Margin(points=5.0)),
        GateSpec(signal="latency", margin=Margin(ratio=2.0)),
    ),
    latency_edges=(0.1, 0.25, 0.4, 1.0),
)
RELEASE = Release(service="payments-api", digest=CANARY, policy=POLICY)

STABLE_VERSION = VersionView(
    service="payments-api", digest=STABLE, label="2026.2.3", description="what serves today", serving=True
)
CANARY_VERSION = VersionView(
    service="payments-api", digest=CANARY, label="2026.2.4", description="new PSP client", serving=False
)

FORECAST = ForecastView(
    decidable=True,
    seconds=292.0,
    steps=(
        StepForecast(name="5 %", weight=5, seconds=95.0, waits_for="deposits"),
        StepForecast(name="10 %", weight=10, seconds=70.0, waits_for="deposits"),
        StepForecast(name="25 %", weight=25, seconds=40.0, waits_for="deposits"),
        StepForecast(name="50 %", weight=50, seconds=25.0, waits_for="errors"),
        StepForecast(name="100 %", weight=100, seconds=20.0, waits_for="bake"),
    ),
    faults=(
        FaultForecast(signal="deposits", fault="3 % of deposits fail", seconds=118.0, bad_events=14.0),
        FaultForecast(signal="errors", fault="2 % of requests answer 5xx", seconds=31.0, bad_events=11.0),
        FaultForecast(signal="latency", fault="p95 at twice its objective", seconds=25.0, bad_events=180.0),
    ),
)


def preview() -> PlanPreview:
    """The plan before it is started."""
    steps = tuple(
        Step(
            name=f"{weight} %",
            weight=weight,
            actions=(),
            settled=(),
            settle_seconds=30.0,
            hold=Hold(gates=True, dwell_seconds=15.0, deadline_seconds=900.0, at_deadline="back"),
            way_back=(),
        )
        for weight in RELEASE.steps
    )
    plan = Plan(
        run="r-0007",
        service="payments-api",
        stable=STABLE,
        canary=CANARY,
        release=RELEASE,
        tier="money",
        steps=steps,
        dispersion={"deposits": 1.1, "errors": 1.4},
    )
    return PlanPreview(plan=plan, stable=STABLE_VERSION, canary=CANARY_VERSION, forecast=FORECAST)


def _reading(
    gate: str,
    outcome: Outcome,
    code: str,
    message: str,
    *,
    canary: tuple[int, int],
    stable: tuple[int, int],
    bar: float = 2.0,
    against: float = 0.0,
    favour: float = 0.0,
    dispersion: float = 1.0,
    needs_seconds: float | None = None,
) -> GateReading:
    required = gate in ("deposits", "errors")
    return GateReading(
        gate=gate,
        role="required" if required else "veto",
        outcome=outcome,
        code=code,
        message=message,
        unit="players",
        canary=ArmNumbers(bad=canary[0], total=canary[1]),
        stable=ArmNumbers(bad=stable[0], total=stable[1]),
        against=against,
        against_bar=bar,
        favour=favour,
        favour_bar=1.9,
        dispersion=dispersion,
        needs_seconds=needs_seconds,
    )


def _verdict(outcome: Outcome, code: str, deposits: GateReading, against: float) -> Verdict:
    wait = Outcome.INCONCLUSIVE
    return Verdict(
        outcome=outcome,
        code=code,
        reason=deposits.message if outcome is not Outcome.PASS else "deposits, errors: no worse than the margin allows",
        gates=(
            deposits,
            _reading(
                "errors", Outcome.PASS, "not-worse",
                "errors: canary 1 of 3,914 players (0.03 %), stable 2 of 11,860 (0.02 %); "
                "no worse than the margin allows",
                canary=(1, 3914), stable=(2, 11860), bar=2.5, against=0.1, favour=2.6, dispersion=1.4,
            ),
            _reading(
                "withdrawals", wait, "needs-time",
                "failed withdrawals: canary 0 of 96 players (0.00 %), stable 1 of 301 (0.33 %); about 340 s more",
                canary=(0, 96), stable=(1, 301), bar=2.8, against=0.0, favour=0.5, needs_seconds=340.0,
            ),
            _reading(
                "latency", wait, "needs-time",
                "latency:0.25: canary 71 of 3,914 players (1.81 %), stable 228 of 11,860 (1.92 %); about 20 s more",
                canary=(71, 3914), stable=(228, 11860), bar=2.8, against=0.2, favour=1.3, needs_seconds=20.0,
            ),
        ),
        against=against,
        against_bar=2.0,
        needs_seconds=deposits.needs_seconds,
    )  # fmt: skip


_LEANS = "failed deposits: canary 9 of 1,214 players (0.74 %), stable 4 of 3,702 (0.11 %); about 35 s more"

WATCHED = RunView(
    run="r-0007",
    service="payments-api",
    tier="money",
    stable=STABLE_VERSION,
    canary=CANARY_VERSION.model_copy(update={"serving": True}),
    phase="holding",
    step=3,
    steps=6,
    step_name="25 %",
    weight=25,
    peak_weight=25,
    observed_share=0.247,
    band=WeightBand(low=0.214, high=0.287, players=1512),
    started_at=STARTED_AT,
    step_at=STARTED_AT + 178.0,
    updated_at=STARTED_AT + 203.0,
    ended_at=None,
    outcome=None,
    code="needs-time",
    reason="",
    verdict=_verdict(
        Outcome.INCONCLUSIVE,
        "needs-time",
        _reading(
            "deposits", Outcome.INCONCLUSIVE, "needs-time", _LEANS,
            canary=(9, 1214), stable=(4, 3702), bar=2.3, against=1.4, favour=0.7, dispersion=1.1, needs_seconds=35.0,
        ),
        1.3,
    ),
    verdict_at=STARTED_AT + 178.0,
    zero_at=None,
    forecast=FORECAST,
    waiting_for=_LEANS,
    next="croupier goes to 50 % by itself, or back when a gate fails; pause and abort are always safe",
    commands=("pause", "promote", "abort"),
    timeline=(
        Moment(at=STARTED_AT, text="planned"),
        Moment(at=STARTED_AT, text="started by marta"),
        Moment(at=STARTED_AT + 6.0, text="settled"),
        Moment(at=STARTED_AT + 6.0, text="step 5 %"),
        Moment(at=STARTED_AT + 12.0, text="settled, 4.8% of 1,020 players on the canary"),
        Moment(at=STARTED_AT + 103.0, text="passed: deposits, errors: no worse than the margin allows"),
        Moment(at=STARTED_AT + 104.0, text="step 10 %"),
        Moment(at=STARTED_AT + 109.0, text="settled, 10.3% of 1,466 players on the canary"),
        Moment(at=STARTED_AT + 177.0, text="passed: deposits, errors: no worse than the margin allows"),
        Moment(at=STARTED_AT + 178.0, text="step 25 %"),
        Moment(at=STARTED_AT + 183.0, text="settled, 24.7% of 1,512 players on the canary"),
    ),
)  # fmt: skip
"""In the middle: the deposits gate leans against the canary and has not decided yet."""

_FAIL = (
    "failed deposits: canary 16 of 1,310 players (1.22 %), stable 5 of 3,960 (0.13 %); worse than stable beyond chance"
)

TAKEN_BACK = WATCHED.model_copy(
    update={
        "canary": CANARY_VERSION,
        "phase": "rolling-back",
        "weight": 0,
        "observed_share": None,
        "band": None,
        "updated_at": STARTED_AT + 215.0,
        "code": "worse",
        "reason": _FAIL,
        "verdict": _verdict(
            Outcome.FAIL,
            "worse",
            _reading(
                "deposits", Outcome.FAIL, "worse", _FAIL,
                canary=(16, 1310), stable=(5, 3960), bar=2.3, against=2.6, favour=0.2, dispersion=1.1,
            ),
            2.3,
        ),
        "verdict_at": STARTED_AT + 213.0,
        "zero_at": STARTED_AT + 213.4,
        "waiting_for": "the canary's pods to drain and end",
        "next": "croupier ends the canary by itself; there is nothing to do",
        "commands": (),
        "timeline": (
            *WATCHED.timeline,
            Moment(at=STARTED_AT + 213.0, text=f"rolling back: {_FAIL}"),
            Moment(at=STARTED_AT + 213.4, text="no player is sent to the canary any more"),
        ),
    }
)  # fmt: skip
"""The deposits gate has failed, and the canary has no more players; HTTP saw nothing."""

ROLLED_BACK = TAKEN_BACK.model_copy(
    update={
        "phase": "rolled-back",
        "updated_at": STARTED_AT + 221.0,
        "ended_at": STARTED_AT + 221.0,
        "outcome": "rolled-back",
        "waiting_for": "",
        "next": "3f2a9c1b44de serves everybody; mend the version and release it anew",
        "timeline": (*TAKEN_BACK.timeline, Moment(at=STARTED_AT + 221.0, text=f"rolled-back: {_FAIL}")),
    }
)

PROMOTED = WATCHED.model_copy(
    update={
        "phase": "promoted",
        "step": 5,
        "step_name": "100 %",
        "weight": 100,
        "peak_weight": 100,
        "updated_at": STARTED_AT + 305.0,
        "ended_at": STARTED_AT + 305.0,
        "outcome": "promoted",
        "code": "promoted",
        "reason": f"{CANARY} serves everybody",
        "observed_share": None,
        "band": None,
        "verdict": _verdict(
            Outcome.PASS,
            "not-worse",
            _reading(
                "deposits", Outcome.PASS, "not-worse",
                "failed deposits: canary 3 of 2,980 players (0.10 %), stable 4 of 3,702 (0.11 %); "
                "no worse than the margin allows",
                canary=(3, 2980), stable=(4, 3702), bar=2.3, against=0.1, favour=2.4, dispersion=1.1,
            ),
            0.1,
        ),
        "waiting_for": "",
        "next": "9b07e6d2c815 is the stable version; the next release may start",
        "commands": (),
        "timeline": (*WATCHED.timeline[:6], Moment(at=STARTED_AT + 305.0, text="promoted")),
    }
)  # fmt: skip

GROUP = GroupView(
    group="g-0001",
    members=(
        MemberView(service="wallet", digest=CANARY, run="r-0006", state="promoted"),
        MemberView(service="payments-api", digest=CANARY, run="r-0007", state="live"),
        MemberView(service="bets", digest=CANARY, run=None, state="waiting"),
    ),
    supersede=False,
    fix_forward=False,
    who="marta",
    started_at=STARTED_AT,
    ended_at=None,
    outcome=None,
    reason="",
    waiting_for="r-0007 of payments-api",
)

SERVICE = ServiceView(
    name="payments-api",
    tier="money",
    internal=False,
    replicas=4,
    stable=STABLE_VERSION,
    ready=4,
    live_run="r-0007",
    objectives=(),
    default_policy=POLICY,
)

ENTRIES = (
    JournalEntryView(
        seq=40,
        kind="step.entered",
        subject="r-0007",
        at=STARTED_AT + 6.0,
        body={"step": 1, "name": "5 %", "weight": 5},
        previous="0" * 64,
        hash="1" * 64,
    ),
    JournalEntryView(
        seq=41,
        kind="command",
        subject="r-0007",
        at=STARTED_AT + 120.0,
        body={"command": "pause", "who": "tomek", "reason": "PSP B is in maintenance"},
        previous="1" * 64,
        hash="2" * 64,
    ),
)

_SEEN = Proof(what="policy checks", at=STARTED_AT, state="pass", result="66 rules asked, nothing found", link="")
_UNSEEN = Proof(what="a tested restore", at=STARTED_AT, state="no-evidence", result="nobody has shown it", link="")
CHECKLIST = Checklist(
    service="payments-api",
    at=STARTED_AT,
    ready=False,
    lines=tuple(
        LineView(
            id=id,
            title=f"Line {id}",
            state="waived" if id == "S15.8" else "red" if id == "S15.1" else "green",
            proofs=(_UNSEEN,) if id in ("S15.1", "S15.8") else (_SEEN,),
            waiver=LineWaiver(
                service="payments-api",
                line="S15.8",
                owner="marta",
                until=date(2026, 3, 31),
                reason="the drill is on the 30th",
                who="tomek",
                at=STARTED_AT,
                entry=39,
            )
            if id == "S15.8"
            else None,
        )
        for id in LINES
    ),
    sources=("lucky-se-eu-north", "the release"),
    not_checked=(),
    unread=(),
)
