"""Past releases under other gates: what they would have said, when, and what it would have cost players. Pure.

The traffic is as it was: a release that was at 5 % for two minutes gave evidence of two minutes at 5 %, whatever other
gates would have made of it. So the answer is exact for a way back, which needs no other traffic than that before it;
for a promotion it says whether each step as it was taken is long enough for these gates, and where they would stop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from croupier.core import gates
from croupier.core.phases import Phase
from croupier.core.run import RunState
from croupier.model.backtest import Backtest, BacktestRun, HarmCount, StepTime, Told, Was
from croupier.model.evidence import Sample
from croupier.model.release import GatePolicy
from croupier.model.verdict import Outcome, Verdict

LEAST_SCRAPES = 2
"""A step passes on data of its own, as on the desk."""


@dataclass(frozen=True, slots=True)
class Past:
    """One release as it was."""

    run: str
    service: str
    scrape_seconds: float
    dispersion: Mapping[str, float]
    """Series -> dispersion of stable before it; a series that is missing gets the prior."""
    deadline_seconds: float
    """Longest time at one step without a pass."""
    back_at_deadline: bool
    """Whether it goes back then (money tier), or holds."""
    was: Was = "unknown"
    was_code: str = ""
    bakes_at: int = 100
    """Percent of players from which on no gate has to pass: 100 less the hold-back."""
    few_pods: tuple[str, ...] = ()
    """As in a plan."""


@dataclass(slots=True)
class _Course:
    """How a release goes under the gates, scrape by scrape."""

    steps: list[StepTime] = field(default_factory=list)
    began_at: float = 0.0
    step_at: float = 0.0
    at: float = 0.0
    weight: int = 0
    verdict: Verdict | None = None
    told: Told | None = None
    code: str = ""

    @property
    def waits(self) -> bool:
        """Whether the present step has not passed yet."""
        return bool(self.steps) and self.steps[-1].seconds is None

    def end(self, told: Told, code: str) -> None:
        self.told, self.code = told, code


def past_of(state: RunState) -> Past:
    """A run of the desk as it was."""
    plan = state.plan
    ends: dict[Phase, Was] = {Phase.PROMOTED: "promoted", Phase.ROLLED_BACK: "rolled-back"}
    return Past(
        run=plan.run,
        service=plan.service,
        scrape_seconds=plan.release.scrape_seconds,
        dispersion=plan.dispersion,
        few_pods=plan.few_pods,
        deadline_seconds=plan.release.deadline_seconds,
        back_at_deadline=any(step.hold.gates and step.hold.at_deadline == "back" for step in plan.steps),
        was=ends.get(state.phase, "running"),
        was_code=state.code,
        bakes_at=plan.steps[-2].weight,
    )


def backtest(past: Past, samples: Sequence[Sample], policy: GatePolicy) -> BacktestRun | None:
    """Judge one release again under ``policy``; None when nothing was ever counted on its canary.

    ``samples``: its evidence, oldest first.
    """
    evidence = gates.new_evidence(policy, past.scrape_seconds, past.dispersion, few_pods=past.few_pods)
    course = _Course()
    for sample in samples:
        gates.fold(evidence, sample)
        if course.verdict is None and (sample.weight == 0 or sample.canary is None):
            continue
        if sample.weight == 0:
            break  # the way back as it was: what is counted after it is no step
        if _enter(past, course, sample):
            break
        course.verdict = gates.assess(evidence, weight=sample.weight, now=sample.at)
        _judge(past, course, course.verdict)
        if course.told is not None:
            break
    if course.verdict is None:
        return None
    if course.told is None:
        _close(past, course)
    return _told(past, course, course.verdict)


def _enter(past: Past, course: _Course, sample: Sample) -> bool:
    """Take the next scrape. True: the release went on there, and these gates would not have let it."""
    if course.verdict is None:
        course.began_at = sample.at
    if sample.weight != course.weight:
        if course.waits:
            course.end("held", "not-passed")
            return True
        if sample.weight < past.bakes_at:
            course.steps.append(StepTime(weight=sample.weight, seconds=None))
        # The change came right after the scrape before.
        course.step_at = sample.at - past.scrape_seconds if course.verdict is None else course.at
    course.weight, course.at = sample.weight, sample.at
    return False


def _judge(past: Past, course: _Course, verdict: Verdict) -> None:
    since = course.at - course.step_at
    if verdict.outcome is Outcome.FAIL:
        course.end("rolled-back", verdict.code)
    elif not course.waits:
        return
    elif verdict.outcome is Outcome.PASS and since >= LEAST_SCRAPES * past.scrape_seconds:
        course.steps[-1] = StepTime(weight=course.weight, seconds=since)
    elif since >= past.deadline_seconds:
        course.end("rolled-back" if past.back_at_deadline else "held", "deadline")


def _close(past: Past, course: _Course) -> None:
    """The record ends before the gates have ended it."""
    if course.waits:
        course.end("held", "not-passed")
    elif course.weight >= past.bakes_at or past.was == "unknown":
        course.end("promoted", "promoted")
    else:
        course.end("held", "record-ends")


def _told(past: Past, course: _Course, verdict: Verdict) -> BacktestRun:
    told = course.told or "held"
    return BacktestRun(
        run=past.run,
        service=past.service,
        was=past.was,
        was_code=past.was_code,
        told=told,
        code=course.code,
        reason=f"passes at {course.weight} %, and the record ends" if course.code == "record-ends" else verdict.reason,
        began_at=course.began_at,
        at=course.at,
        seconds=course.at - course.began_at,
        weight=course.weight,
        steps=tuple(course.steps),
        harm=tuple(HarmCount(gate=gate.gate, bad=gate.canary.bad, excess=gate.excess) for gate in verdict.gates),
    )


def in_all(policy: str, runs: Sequence[BacktestRun]) -> Backtest:
    """What came of all of them. ``policy``: what the gates are called."""
    told = [run.told for run in runs]
    return Backtest(
        policy=policy,
        promoted=told.count("promoted"),
        rolled_back=told.count("rolled-back"),
        held=told.count("held"),
        otherwise=sum(run.is_otherwise for run in runs),
        runs=tuple(runs),
    )
