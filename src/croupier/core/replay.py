"""Recorded evidence judged again: the verdicts of a run from nothing but its journal and its samples (S9.7).

One way to rebuild the evidence of a run, for the engine after a restart, for ``journal replay`` and for those who ask
afterwards. Pure: who calls reads journal and segment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from croupier.core import gates
from croupier.core.run import begin
from croupier.errors import IntegrityError
from croupier.model.evidence import Sample
from croupier.model.journal import Entry
from croupier.model.plan import Plan
from croupier.model.release import GatePolicy
from croupier.model.replay import Difference, RunReplay
from croupier.model.verdict import Outcome, Verdict


def evidence_of(plan: Plan, policy: GatePolicy | None = None) -> gates.Evidence:
    """The evidence of a run before its first sample; ``policy``: another one than the run's own."""
    release = plan.release
    return gates.new_evidence(policy or release.policy, release.scrape_seconds, plan.dispersion, few_pods=plan.few_pods)


def refold(plan: Plan, samples: Iterable[Sample]) -> gates.Evidence:
    """The evidence of a run after ``samples``, oldest first."""
    evidence = evidence_of(plan)
    for sample in samples:
        gates.fold(evidence, sample)
    return evidence


@dataclass(frozen=True, slots=True)
class Claim:
    """One entry that rests on evidence: what it says the gates said, and on what."""

    entry: Entry
    mark: tuple[int, str] | None
    """Number of samples and their hash; None: they could not be stored, and the entry said so."""
    weight: int
    verdict: Verdict | None
    """In full; None where the entry keeps outcome and reason only."""
    outcome: Outcome
    reason: str


def replay(entries: Sequence[Entry], samples: Sequence[Sample], digests: Sequence[str]) -> RunReplay:
    """Judge every verdict of one run again.

    Args:
        entries: of the run, oldest first.
        samples: its segment.
        digests: running hashes after 0, 1, 2, … samples.

    Raises:
        IntegrityError: when the run does not begin with its plan.
    """
    plan = begin(entries[0]).plan
    evidence, folded = evidence_of(plan), 0
    verdicts, unstored, differences = 0, 0, []
    for claim in _claims(plan, entries):
        if claim.mark is None:
            unstored += 1
            continue
        verdicts += 1
        count, sha256 = claim.mark
        if not folded <= count < len(digests):
            problem = f"rests on {count} samples; {len(digests) - 1} are there, {folded} were judged before"
        elif digests[count] != sha256:
            problem = f"saw other evidence: the first {count} samples were changed since"
        else:
            for sample in samples[folded:count]:
                gates.fold(evidence, sample)
            folded = count
            problem = _differs(claim, gates.assess(evidence, weight=claim.weight, now=claim.entry.at))
        if problem:
            differences.append(Difference(entry=claim.entry.seq, problem=problem))
    return RunReplay(run=plan.run, verdicts=verdicts, unstored=unstored, differences=tuple(differences))


def _claims(plan: Plan, entries: Iterable[Entry]) -> Iterator[Claim]:
    """Entries that rest on what the gates said, with what they said."""
    said: Verdict | None = None
    weight = 0
    for entry in entries:
        body = entry.body
        outcome = Outcome.INCONCLUSIVE
        verdict: Verdict | None = None
        match entry.kind:
            case "verdict":
                said = verdict = Verdict.model_validate(body["verdict"])
                weight, outcome = _whole(entry, "weight"), verdict.outcome
            case "step.passed" if body.get("code") == "gates":
                weight, outcome = plan.steps[_whole(entry, "step")].weight, Outcome.PASS
            case "run.rolling-back" if said and said.outcome is Outcome.FAIL and said.code == body.get("code"):
                outcome = Outcome.FAIL
            case _:
                continue
        reason = verdict.reason if verdict is not None else str(body.get("reason", ""))
        yield Claim(entry, _mark(entry), weight, verdict, outcome, reason)


def _mark(entry: Entry) -> tuple[int, str] | None:
    mark = entry.body.get("evidence")
    if mark is None:
        return None
    samples, sha256 = (mark.get("samples"), mark.get("sha256")) if isinstance(mark, dict) else (None, None)
    if not isinstance(samples, int) or not isinstance(sha256, str):
        raise IntegrityError(f"entry {entry.seq} names evidence without samples and sha256", entry=entry.seq)
    return samples, sha256


def _whole(entry: Entry, key: str) -> int:
    value = entry.body.get(key)
    if not isinstance(value, int):
        raise IntegrityError(f"entry {entry.seq} has no {key}", entry=entry.seq)
    return value


def _differs(claim: Claim, again: Verdict) -> str:
    """How the verdict comes out otherwise, in words; "" when it does not."""
    if again.outcome is not claim.outcome:
        return f"says {claim.outcome}; judged again it is {again.outcome}: {again.reason}"
    if claim.verdict is None:
        return "" if again.reason == claim.reason else f"says {claim.reason!r}; judged again: {again.reason!r}"
    if again == claim.verdict:
        return ""
    for written, judged in zip(claim.verdict.gates, again.gates, strict=False):
        if written != judged:
            names = [name for name in type(judged).model_fields if getattr(written, name) != getattr(judged, name)]
            pairs = ", ".join(f"{name} {getattr(written, name)} is {getattr(judged, name)}" for name in names)
            return f"gate {written.gate}: judged again {pairs}"
    return f"says {claim.verdict.reason!r}; judged again: {again.reason!r}"
