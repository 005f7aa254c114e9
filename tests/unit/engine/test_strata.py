"""A version that fails one provider only, seen by everybody who looks: plan, status, journal, explanation, cluster."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.world import LOSSY, POLICY, World, release

from croupier.core.explain import explain
from croupier.core.replay import replay
from croupier.errors import Refused
from croupier.model.release import GatePolicy
from croupier.model.service import Strata
from croupier.model.verdict import Verdict
from croupier.model.view import PlanPreview, RunView
from croupier.operator.status import release_status
from croupier.report.explain import explanation_text
from croupier.report.final import report_of, report_text
from croupier.report.plan import plan_text
from croupier.report.run import change_lines, status_text

PROVIDERS = Strata(by="provider", of=("psp-a", "psp-b", "psp-c"))
A, B = "deposits:provider=psp-a", "deposits:provider=psp-b"


def policy(**changes: object) -> GatePolicy:
    deposits, errors = POLICY.gates
    return POLICY.model_copy(
        update={"gates": (deposits.model_copy(update={"strata": (PROVIDERS.model_copy(update=changes),)}), errors)}
    )


async def begun() -> World:
    """psp-b has a tenth of the deposits, of which the lossy version loses a quarter; nobody uses psp-c."""
    world = await World.begin()
    world.per_second |= {A: 180.0, B: 20.0}
    world.failures = {(LOSSY, "deposits"): 0.0259, (LOSSY, B): 0.25}
    return world


@pytest.fixture(scope="module")
def played() -> tuple[World, PlanPreview, RunView, list[str]]:
    async def play() -> tuple[World, PlanPreview, RunView, list[str]]:
        world = await begun()
        desk = world.desk()
        await world.warm(desk)
        asked = release(LOSSY, policy=policy())
        preview = await desk.plan(asked)
        run = await desk.start(asked, who="ann")
        lines: list[str] = []
        before: list[RunView] = []

        def note(view: RunView) -> bool:
            lines.extend(change_lines(before[-1] if before else None, view))
            before.append(view)
            return False

        return world, preview, await world.play(desk, run, until=note), lines

    return asyncio.run(play())


def test_the_plan_says_what_can_be_seen_of_each_provider(played) -> None:
    _, preview, _, _ = played
    a, b, c = preview.forecast.strata
    assert (a.attempts_per_second, b.attempts_per_second, c.attempts_per_second) == pytest.approx((180, 20, 0), abs=0.1)
    assert a.fault_seconds is not None
    assert b.fault_seconds is not None
    assert a.fault_seconds <= b.fault_seconds
    assert (c.fault_seconds, c.pass_seconds) == (None, None)
    text = plan_text(preview)
    for part in ("Each by itself", "deposits through psp-b", "10 % more of them are lost", "none seen", "not in time"):
        assert part in text


def test_it_is_taken_back_and_every_view_names_the_provider(played) -> None:
    world, _, view, _ = played
    assert view.outcome == "rolled-back"
    assert "failed deposits through psp-b: canary" in view.reason
    text = status_text(view)
    for part in ("  through psp-a", "  through psp-b", "  through psp-c", "no data"):
        assert part in text
    assert view.model_dump(mode="json", by_alias=True)["verdict"]["gates"][0]["strata"][1]["name"] == "psp-b"
    written = [Verdict.model_validate(entry.body["verdict"]) for entry in world.entries("verdict")]
    assert [each.name for each in written[-1].gates[0].strata if each.outcome == "fail"] == ["psp-b"]
    status = release_status(view, generation=1, now=0.0, command=None, before={})
    assert {each.name: each.outcome for each in status.gates}["deposits through psp-b"] == "fail"
    assert "  through psp-b" in report_text(report_of(view, []))


def test_the_explanation_shows_each_provider_and_a_replay_agrees(played) -> None:
    world, _, view, _ = played
    entries, samples = list(world.journal.read(subject=view.run)), world.evidence.read(view.run)
    told = explain(entries, samples)
    deposits = told.gates[0]
    assert [each.last.name for each in deposits.strata] == ["psp-a", "psp-b", "psp-c"]
    assert max(deposits.strata[1].against) > max(deposits.strata[0].against)
    assert len(deposits.strata[1].against) == len(deposits.points)
    text = explanation_text(told)
    assert "failed deposits through psp-b" in text
    assert text.count("  through psp-b ") == 2
    digests = [world.evidence.digest(view.run, count=number) for number in range(len(samples) + 1)]
    again = replay(entries, samples, digests)
    assert (again.differences, again.verdicts > 0) == ((), True)


def test_a_healthy_version_passes_and_says_of_whom_nothing_is_known() -> None:
    async def play() -> tuple[RunView, list[str]]:
        world = await begun()
        world.failures = {}
        desk = world.desk()
        await world.warm(desk)
        run = await desk.start(release(policy=policy()), who="ann")
        view = await world.play(desk, run)
        passed = [entry.body for entry in world.entries("step.passed")]
        return view, [str(body["reason"]) for body in passed if body["code"] == "gates" and body["step"] == 4]

    view, reasons = asyncio.run(play())
    assert view.outcome == "promoted"
    (reason,) = reasons
    assert reason.startswith("deposits, errors: no worse than the margin allows; not known of deposits through psp-b")
    assert reason.endswith("deposits through psp-c")


def test_a_required_provider_that_nobody_uses_is_refused_before_the_start() -> None:
    async def plan() -> None:
        world = await begun()
        desk = world.desk()
        await world.warm(desk)
        await desk.plan(release(policy=policy(required=("psp-b", "psp-c"))))

    unseen = "deposits:provider=psp-c is required, and nothing of it was seen"
    with pytest.raises(Refused, match=unseen) as refused:
        asyncio.run(plan())
    assert "do not require deposits:provider=psp-b, deposits:provider=psp-c" in refused.value.hint
