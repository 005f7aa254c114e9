"""A run explained: the words tell who decided, how sure and what was needed; the picture is whole and harmless."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from tests.support.recorded import played
from tests.support.world import BROKEN, HEALTHY, LOSSY

from croupier.core.explain import explain
from croupier.model.explanation import Explanation
from croupier.report.explain import explanation_text, one_of, sparkline
from croupier.report.picture import draw

SVG = "{http://www.w3.org/2000/svg}"


def explained(digest: str) -> Explanation:
    world = played(digest)
    return explain(list(world.journal.read(subject="r-0001")), world.evidence.read("r-0001"))


@pytest.fixture(scope="module")
def lossy() -> Explanation:
    return explained(LOSSY)


@pytest.fixture(scope="module")
def healthy() -> Explanation:
    return explained(HEALTHY)


def test_a_rollback_names_the_gate_the_chance_and_what_would_have_been_tolerated(lossy: Explanation) -> None:
    text = explanation_text(lossy)
    assert "rolled back after" in text.splitlines()[0]
    assert "worse than stable beyond chance" in text
    assert "The bar for going back is 1 of 100." in text
    deposits = lossy.gates[0]
    assert deposits.failed_at is not None
    assert deposits.tolerated is not None
    assert f"with at most {deposits.tolerated} failed deposits" in text


def test_what_is_tolerated_is_less_than_what_there_was_and_at_least_two(lossy: Explanation) -> None:
    deposits = lossy.gates[0]
    assert deposits.tolerated is not None
    assert 2 <= deposits.tolerated < deposits.last.canary.bad


def test_a_promotion_says_how_good_it_looked_and_when_each_step_passed(healthy: Explanation) -> None:
    text = explanation_text(healthy)
    assert "promoted after" in text.splitlines()[0]
    assert "deposits: a canary that fails 2 percentage points more would look as good in 1 of" in text
    assert [span.weight for span in healthy.steps] == [5, 10, 25, 50, 100]
    assert all(span.passed_at is not None for span in healthy.steps)
    assert all(gate.passed_at is not None and gate.tolerated is None for gate in healthy.gates)


def test_what_nobody_watched_is_not_told_as_watched() -> None:
    world = played(HEALTHY)
    entries = list(world.journal.read(subject="r-0001"))
    entered = next(index for index, entry in enumerate(entries) if entry.kind == "step.entered")
    settled = next(index for index, entry in enumerate(entries) if entry.kind == "step.settled" and index > entered)
    away = replace(entries[settled], kind="unwatched", body={"seconds": 30.0})
    samples = world.evidence.read("r-0001")
    before = explain(entries, samples).steps
    after = explain([*entries[: settled + 1], away, *entries[settled + 1 :]], samples).steps
    assert before[0].settled_at is not None
    assert after == (before[0].model_copy(update={"settled_at": before[0].settled_at + 30.0}), *before[1:])


def test_evidence_is_told_for_every_scrape_with_players(healthy: Explanation) -> None:
    times = [point.at for point in healthy.together]
    assert times == sorted(set(times))
    assert all([point.at for point in gate.points] == times for gate in healthy.gates)
    assert min(point.weight for point in healthy.together) == 5


def test_an_end_that_the_gates_did_not_bring_about_says_so() -> None:
    told = explained(BROKEN)
    text = explanation_text(told)
    assert not told.by_gates
    assert "The gates did not bring this about (never-ready)." in text
    assert "there is no evidence to draw" in draw(told)


def test_chance_is_told_without_jargon() -> None:
    assert one_of(0.0) == ""
    assert one_of(2.0) == "1 of 100"
    assert one_of(0.5) == "1 of 3.2"
    assert one_of(40.0) == "fewer than 1 of a million"
    assert one_of(500.0) == "fewer than 1 of a million"


def test_a_sparkline_reaches_its_top_with_the_bar_and_not_before() -> None:
    assert sparkline([0.0, 1.99, 2.0, 9.0], 2.0) == "▁▇██"
    assert sparkline([-5.0], 2.0) == "▁"
    assert sparkline([], 2.0) == "–"
    assert len(sparkline([0.0] * 1000, 2.0)) == 24


@pytest.mark.parametrize("digest", [LOSSY, HEALTHY, BROKEN])
def test_the_picture_is_one_whole_svg_that_needs_nothing_from_elsewhere(digest: str) -> None:
    drawn = draw(explained(digest))
    root = ElementTree.fromstring(drawn)
    assert root.tag == f"{SVG}svg"
    assert not root.findall(f".//{SVG}script")
    assert "href" not in drawn
    assert drawn.count("http") == 1, "the namespace only"


def test_nothing_is_drawn_outside_the_picture(lossy: Explanation) -> None:
    root = ElementTree.fromstring(draw(lossy))
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    for line in root.iter(f"{SVG}polyline"):
        for x, y in (map(float, point.split(",")) for point in line.attrib["points"].split()):
            assert 0 <= x <= width
            assert 0 <= y <= height


def test_what_somebody_typed_cannot_break_the_picture(lossy: Explanation) -> None:
    odd = lossy.model_copy(update={"reason": "<script>&\x1b[2J", "run": 'r"<'})
    ElementTree.fromstring(draw(odd))
    assert "<script>" not in draw(odd)
