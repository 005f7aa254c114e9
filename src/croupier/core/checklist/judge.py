"""Nine lines from what was gathered: green where every proof passes, in every place; else red, or waived."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime

from croupier.core.checklist.gathered import Bundle, Gathered, ReleasePlan
from croupier.core.checklist.proofs import ASKED, PLANNED, Seen, plan_of
from croupier.model.checklist import LINES, Checklist, LineId, LineView, LineWaiver, Proof

TITLES: Mapping[LineId, str] = {
    "S15.1": "Images are signed, SBOMs collected, vulnerabilities at an acceptable level",
    "S15.2": "Manifests pass the policy checks, with least privilege",
    "S15.3": "Readiness and startup probes are right; PDB and Pod priority are set",
    "S15.4": "Canary 5 → 10 → 25 → 50 → 100 % with SLO gates and automatic rollback",
    "S15.5": "HPA or KEDA and cluster autoscaler in place; warm nodes ready for the event",
    "S15.6": "Secrets from the secret manager; configuration versioned; flags ready for degradation",
    "S15.7": "End-to-end tracing is on; alerts exist on deposit, bet and withdrawal",
    "S15.8": "DR plan and cutover exercised on a test stand; backups and PITR tested",
    "S15.9": "It is written how to roll back, how to switch a provider, whom to call at night",
}
_WEIGHT = {"pass": 0, "no-evidence": 1, "fail": 2}


def checklist(gathered: Gathered, waivers: Iterable[LineWaiver]) -> Checklist:
    """The checklist of one service. Of ``waivers`` those of the service count, the last one of a line."""
    held = {
        each.line: each for each in sorted(waivers, key=lambda each: each.entry) if each.service == gathered.service
    }
    today = datetime.fromtimestamp(gathered.now, UTC).date()
    lines = tuple(_line(id, tuple(_proofs(gathered, id)), held.get(id), today) for id in LINES)
    return Checklist(
        service=gathered.service,
        at=gathered.now,
        ready=all(each.state != "red" for each in lines),
        lines=lines,
        sources=gathered.sources,
        not_checked=gathered.not_checked,
        unread=gathered.unread,
    )


def _line(id: LineId, proofs: tuple[Proof, ...], waiver: LineWaiver | None, today: date) -> LineView:
    green = all(each.state == "pass" for each in proofs)
    waived = waiver is not None and today <= waiver.until
    return LineView(
        id=id,
        title=TITLES[id],
        state="green" if green else "waived" if waived else "red",
        proofs=proofs,
        waiver=waiver,
    )


def _proofs(gathered: Gathered, id: LineId) -> Iterable[Proof]:
    if id == "S15.4":
        for what, judge in PLANNED:
            yield _proof(gathered, what, _planned(judge))
    for asked in ASKED:
        if asked.line == id:
            yield _proof(gathered, asked.what, asked.look)


def _planned(judge: Callable[[ReleasePlan | None], Seen]) -> Callable[[Bundle], Seen]:
    return lambda bundle: judge(plan_of(bundle))


def _proof(gathered: Gathered, what: str, look: Callable[[Bundle], Seen]) -> Proof:
    """The worst that is seen in any place. A file that could not be read may hold what nobody saw."""
    plan = gathered.plan
    if plan is not None and (judge := dict(PLANNED).get(what)) is not None:
        seen, where = judge(plan), ""
    elif not gathered.bundles:
        seen, where = Seen("no-evidence", "no manifests were given"), ""
    else:
        seen, where = _worst(gathered.bundles, look)
    if seen.state == "pass" and gathered.unread and plan is None:
        seen = Seen("no-evidence", f"{seen.result}, but not everything could be read")
    return Proof(what=what, at=gathered.now, state=seen.state, result=f"{where}{seen.result}", link=seen.link)


def _worst(bundles: tuple[Bundle, ...], look: Callable[[Bundle], Seen]) -> tuple[Seen, str]:
    """What is seen, and the words before it that say where, "" for one place."""
    if len(bundles) == 1:
        return look(bundles[0]), ""
    told = [(look(bundle), bundle.name) for bundle in bundles]
    worst, name = max(told, key=lambda each: _WEIGHT[each[0].state])
    if all(seen[:2] == worst[:2] for seen, _ in told):
        return worst, ""
    if worst.state == "pass":
        return worst, f"in all {len(bundles)} places, such as {name}: "
    alike = sum(seen.state == worst.state for seen, _ in told)
    return worst, f"in {alike} of {len(bundles)} places, such as {name}: "
