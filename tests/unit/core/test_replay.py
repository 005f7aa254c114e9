"""Verdicts judged again from recorded evidence (S9.7): equal when nothing was touched, named when something was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace as changed
from typing import Any

import pytest
from tests.support.recorded import played
from tests.support.world import HEALTHY, LOSSY, World

from croupier.core.replay import replay
from croupier.errors import IntegrityError
from croupier.model.journal import Entry

RUN = "r-0001"


@pytest.fixture(scope="module")
def lossy() -> World:
    return played(LOSSY)


def entries_of(world: World) -> list[Entry]:
    return list(world.journal.read(subject=RUN))


def with_body(entries: list[Entry], kind: str, body: Mapping[str, Any], *, nth: int = 0) -> tuple[list[Entry], int]:
    """The entries with fields of one of them changed, and that one's number."""
    found = [index for index, entry in enumerate(entries) if entry.kind == kind][nth]
    forged = changed(entries[found], body={**entries[found].body, **body})
    return [*entries[:found], forged, *entries[found + 1 :]], forged.seq


def test_every_verdict_of_a_run_comes_out_again() -> None:
    for digest in (HEALTHY, LOSSY):
        world = played(digest)
        done = replay(entries_of(world), world.evidence.read(RUN), world.evidence.digests(RUN))
        kinds = ("verdict", "step.passed", "run.rolling-back")
        assert 0 < done.verdicts <= sum(len(world.entries(kind)) for kind in kinds)
        assert (done.run, done.unstored, done.differences) == (RUN, 0, ())


def test_a_verdict_that_was_written_otherwise_is_named_with_what_differs(lossy: World) -> None:
    written = dict(lossy.entries("verdict")[0].body["verdict"])
    forged, seq = with_body(entries_of(lossy), "verdict", {"verdict": {**written, "against": 1.2345}})
    done = replay(forged, lossy.evidence.read(RUN), lossy.evidence.digests(RUN))
    assert [each.entry for each in done.differences] == [seq]


def test_a_gate_that_reads_otherwise_is_told_field_by_field(lossy: World) -> None:
    written = dict(lossy.entries("verdict")[0].body["verdict"])
    gate = {**written["gates"][0], "favour": 7.5}
    forged, seq = with_body(
        entries_of(lossy), "verdict", {"verdict": {**written, "gates": [gate, *written["gates"][1:]]}}
    )
    (difference,) = replay(forged, lossy.evidence.read(RUN), lossy.evidence.digests(RUN)).differences
    assert difference.entry == seq
    assert difference.problem.startswith("gate deposits: judged again favour 7.5 is")


def test_a_pass_that_no_evidence_carries_is_named() -> None:
    world = played(HEALTHY)
    mark = {"samples": 1, "sha256": world.evidence.digests(RUN)[1]}
    first = next(index for index, entry in enumerate(world.entries("step.passed")) if entry.body["code"] == "gates")
    forged, seq = with_body(entries_of(world), "step.passed", {"evidence": mark}, nth=first)
    done = replay(forged, world.evidence.read(RUN), world.evidence.digests(RUN))
    assert seq in [each.entry for each in done.differences]


def test_a_way_back_whose_verdict_does_not_fail_is_named(lossy: World) -> None:
    forged, seq = with_body(entries_of(lossy), "run.rolling-back", {"reason": "something else"})
    (difference,) = replay(forged, lossy.evidence.read(RUN), lossy.evidence.digests(RUN)).differences
    assert difference.entry == seq
    assert "says 'something else'; judged again" in difference.problem


def test_evidence_that_is_gone_or_was_changed_is_named_not_judged(lossy: World) -> None:
    samples, digests = lossy.evidence.read(RUN), lossy.evidence.digests(RUN)
    assert "0 are there" in replay(entries_of(lossy), [], digests[:1]).differences[0].problem
    other = ["0" * 64] * len(digests)
    assert "changed since" in replay(entries_of(lossy), samples, other).differences[0].problem


def test_evidence_that_could_not_be_stored_is_counted_and_no_difference(lossy: World) -> None:
    forged, _ = with_body(entries_of(lossy), "run.rolling-back", {"evidence": None})
    done = replay(forged, lossy.evidence.read(RUN), lossy.evidence.digests(RUN))
    assert (done.unstored, done.differences) == (1, ())


def test_a_mark_that_is_none_is_an_entry_that_is_wrong(lossy: World) -> None:
    forged, seq = with_body(entries_of(lossy), "verdict", {"evidence": {"samples": "many"}})
    with pytest.raises(IntegrityError) as caught:
        replay(forged, lossy.evidence.read(RUN), lossy.evidence.digests(RUN))
    assert caught.value.entry == seq
