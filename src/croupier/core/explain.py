"""Why a verdict fell: a run's evidence judged again after every scrape, and what would have changed it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal, cast

from croupier.core import gates
from croupier.core.phases import Phase
from croupier.core.replay import evidence_of
from croupier.core.run import RunState, fold
from croupier.errors import UsageError
from croupier.model.evidence import Count, Sample, SeriesCounts
from croupier.model.explanation import EvidencePoint, Explanation, GateStory, MergedPoint, StepSpan, StratumStory
from croupier.model.journal import Entry
from croupier.model.plan import Plan
from croupier.model.verdict import GateReading, Outcome, Verdict
from croupier.model.view import VersionView

HALVINGS = 7
"""Looks for the failures that would have been tolerated: to a hundredth of those there were."""


def explain(entries: Sequence[Entry], samples: Sequence[Sample]) -> Explanation:
    """Explain one run.

    Args:
        entries: of the run, oldest first.
        samples: its evidence, oldest first.

    Raises:
        UsageError: when there are no entries.
        IntegrityError: when they are not those of a run.
    """
    state = fold(entries)
    if state is None:
        raise UsageError("a run without entries cannot be explained")
    plan = state.plan
    told = [sample for sample in samples if state.back_at is None or sample.at <= state.back_at]
    looks = list(judged(plan, told))
    seen = [(sample, verdict) for sample, verdict in looks if sample.weight > 0]
    by_gates = state.verdict is not None and state.code in (state.verdict.code, "promoted")
    return Explanation(
        run=plan.run,
        service=plan.service,
        stable=VersionView(service=plan.service, digest=plan.stable, label=state.stable_label),
        canary=VersionView(service=plan.service, digest=plan.canary, label=state.canary_label),
        outcome=_outcome(state),
        code=state.code,
        reason=state.reason,
        by_gates=by_gates,
        started_at=state.started_at,
        first_players_at=seen[0][0].at if seen else None,
        verdict=state.verdict,
        verdict_at=state.verdict_at,
        ended_at=state.ended_at,
        steps=tuple(_spans(entries)),
        together=tuple(
            MergedPoint(at=sample.at, weight=sample.weight, against=verdict.against) for sample, verdict in seen
        ),
        gates=_stories(plan, told, seen, state.verdict),
        alpha=plan.release.policy.alpha,
        beta=plan.release.policy.beta,
    )


def judged(plan: Plan, samples: Iterable[Sample]) -> Iterable[tuple[Sample, Verdict]]:
    """Each sample with the verdict after it."""
    evidence = evidence_of(plan)
    for sample in samples:
        gates.fold(evidence, sample)
        yield sample, gates.assess(evidence, weight=sample.weight, now=sample.at)


def _outcome(state: RunState) -> Literal["promoted", "rolled-back", "running"]:
    if state.phase is Phase.PROMOTED:
        return "promoted"
    return "rolled-back" if state.phase in (Phase.ROLLED_BACK, Phase.ROLLING_BACK) else "running"


def _spans(entries: Iterable[Entry]) -> list[StepSpan]:
    spans: list[StepSpan] = []
    for entry in entries:
        if entry.kind == "step.entered":
            name, weight = str(entry.body["name"]), cast(int, entry.body["weight"])
            spans.append(StepSpan(name=name, weight=weight, entered_at=entry.at, settled_at=None, passed_at=None))
        elif entry.kind in ("step.settled", "step.passed") and spans:
            field = entry.kind.replace("step.", "") + "_at"
            spans[-1] = spans[-1].model_copy(update={field: entry.at})
        elif entry.kind == "unwatched" and spans and (settled_at := spans[-1].settled_at) is not None:
            seconds = cast(float, entry.body["seconds"])
            spans[-1] = spans[-1].model_copy(update={"settled_at": settled_at + seconds})
    return spans


def _stories(
    plan: Plan, samples: Sequence[Sample], seen: Sequence[tuple[Sample, Verdict]], last: Verdict | None
) -> tuple[GateStory, ...]:
    stories = []
    fell = last is not None and last.outcome is Outcome.FAIL
    for index, spec in enumerate(plan.release.policy.gates):
        readings = [(sample, verdict.gates[index]) for sample, verdict in seen]
        final = last.gates[index] if last is not None and index < len(last.gates) else None
        if final is None and not readings:
            continue
        shown = final if final is not None and (fell or not readings) else readings[-1][1]
        stories.append(
            GateStory(
                gate=spec.signal,
                role=spec.role,
                margin=spec.margin,
                last=shown,
                points=tuple(_point(sample, reading) for sample, reading in readings),
                failed_at=next((sample.at for sample, each in readings if each.outcome is Outcome.FAIL), None),
                passed_at=next((sample.at for sample, each in readings if 0 < each.favour_bar <= each.favour), None),
                tolerated=tolerated(plan, samples, shown) if shown.outcome is Outcome.FAIL else None,
                strata=tuple(
                    StratumStory(
                        last=last_reading,
                        against=tuple(each.strata[number].against for _, each in readings),
                        favour=tuple(each.strata[number].favour for _, each in readings),
                    )
                    for number, last_reading in enumerate(shown.strata)
                ),
            )
        )
    return tuple(stories)


def _point(sample: Sample, reading: GateReading) -> EvidencePoint:
    return EvidencePoint(
        at=sample.at,
        weight=sample.weight,
        against=reading.against,
        favour=reading.favour,
        canary=reading.canary,
        stable=reading.stable,
    )


def tolerated(plan: Plan, samples: Sequence[Sample], failed: GateReading) -> int | None:
    """Most failures of the canary that would not have been a fail of this gate, had there been evenly fewer.

    None when the gate did not fail for its failures, or none at all would still have been a fail.
    """
    if failed.code == "vanished" or _fails(plan, samples, failed.gate, 0.0):
        return None
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        if _fails(plan, samples, failed.gate, middle):
            high = middle
        else:
            low = middle
    return int(low * failed.canary.bad)


def _fails(plan: Plan, samples: Iterable[Sample], gate: str, factor: float) -> bool:
    scaled = (_scaled(sample, gate, factor) for sample in samples)
    return any(verdict.outcome is Outcome.FAIL for _, verdict in judged(plan, scaled))


def _scaled(sample: Sample, gate: str, factor: float) -> Sample:
    """The sample with ``factor`` times the canary's failures of one gate. Counters stay cumulative."""
    if sample.canary is None:
        return sample
    series = {
        name: _fewer(counts, factor) if name.partition(":")[0] == gate else counts
        for name, counts in sample.canary.series.items()
    }
    return replace(sample, canary=replace(sample.canary, series=series))


def _fewer(counts: SeriesCounts, factor: float) -> SeriesCounts:
    players = counts.players
    return replace(
        counts,
        events={pod: Count(each.total, each.bad * factor) for pod, each in counts.events.items()},
        players=None
        if players is None
        else {pod: Count(each.total, each.bad * factor) for pod, each in players.items()},
    )
