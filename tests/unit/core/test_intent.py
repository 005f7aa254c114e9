"""What Git asks for, and what follows (progressive-delivery §2.1 rows 8, 9, 21)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from croupier.core.intent import (
    LastRun,
    LiveRun,
    Shortfall,
    Standing,
    keeps_its_pods,
    lacking,
    next_move,
    shortfall,
)
from croupier.model.checklist import ChecklistResult
from croupier.model.digest import short

OLD, NEW, NEWER, INTENT = ("sha256:" + letter * 64 for letter in "abcd")
SERVING = Standing(wanted=OLD, stable=OLD, intent=INTENT)
RELEASING = replace(SERVING, wanted=NEW, live=LiveRun("r-0002", NEW, "holding"))
TAKEN_BACK = replace(SERVING, wanted=NEW, last=LastRun("r-0002", NEW, "rolled-back", "failed deposits"))


@pytest.mark.parametrize(
    ("standing", "kind", "code", "digest"),
    [
        (SERVING, "rest", "UpToDate", ""),
        (replace(SERVING, wanted=NEW), "start", "Releasing", NEW),
        (replace(SERVING, wanted=NEW, suspended=True), "rest", "Suspended", ""),
        (replace(SERVING, wanted=None), "rest", "NoDeployment", ""),
        (Standing(wanted=NEW, stable=None), "switch", "FirstVersion", NEW),
        (Standing(wanted=NEW, stable=None, intent_runs=True), "switch", "Adopting", NEW),
        (RELEASING, "rest", "Releasing", ""),
        (replace(SERVING, leaving=True), "switch", "Leaving", INTENT),
        (replace(SERVING, stable=INTENT, leaving=True), "rest", "Left", ""),
    ],
)
def test_the_one_thing_to_do_follows_from_what_stands(standing, kind, code, digest):
    move = next_move(standing)
    assert (move.kind, move.code, move.digest) == (kind, code, digest)


WAITS = replace(SERVING, wanted=NEW, checklist="require", lacking="no checklist was shown for it")


def test_a_new_version_waits_for_its_checklist_where_the_policy_requires_one():
    """S15."""
    move = next_move(WAITS)
    assert (move.kind, move.code) == ("rest", "Checklist")
    assert f"{short(NEW)} waits: no checklist was shown for it; croupier release check" in move.text
    assert next_move(replace(WAITS, lacking="")).kind == "start"


def test_what_goes_back_is_known_as_such_with_and_without_a_freeze():
    last = LastRun("r-0002", OLD, "promoted", "", before=NEW)
    for frozen in ("", "freeze cup-final"):
        assert next_move(replace(SERVING, wanted=NEW, last=last, frozen=frozen)).returns
        assert not next_move(replace(SERVING, wanted=NEWER, last=last, frozen=frozen)).returns


def test_what_goes_back_or_is_no_release_waits_for_no_checklist():
    assert next_move(replace(WAITS, last=LastRun("r-0002", OLD, "promoted", "", before=NEW))).kind == "start"
    assert (
        next_move(replace(WAITS, last=LastRun("r-0003", "sha256:bad", "rolled-back", "", before=NEW))).kind == "start"
    )
    assert next_move(replace(WAITS, last=LastRun("r-0002", OLD, "rolled-back", "", before=OLD))).kind == "rest"
    assert next_move(replace(WAITS, stable=None)).kind == "switch"
    assert next_move(replace(WAITS, leaving=True)).kind == "switch"


def test_where_it_only_warns_the_run_says_that_none_was_shown():
    move = next_move(replace(WAITS, checklist="warn"))
    assert (move.kind, move.text) == ("start", f"Git asks for {short(NEW)}; no checklist was shown for it")


SHOWN = ChecklistResult(
    version=short(NEW), ready=True, said="9 of 9 lines are green", until=date(2030, 7, 14), who="ann"
)


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (SHOWN, ""),
        (None, "no checklist was shown for it"),
        (SHOWN.model_copy(update={"version": short(OLD)}), f"the checklist that was shown is of {short(OLD)}"),
        (SHOWN.model_copy(update={"until": date(2030, 7, 13)}), "its checklist counted until 2030-07-13"),
        (SHOWN.model_copy(update={"ready": False, "said": "1 of 9"}), "its checklist was not ready: 1 of 9"),
    ],
)
def test_a_checklist_counts_for_one_version_until_its_day(shown, words):
    assert lacking(shown, NEW, date(2030, 7, 14)) == words


def test_a_newer_template_ends_the_release_under_way():
    move = next_move(replace(RELEASING, wanted=NEWER))
    assert (move.kind, move.code) == ("abort", "Superseded")
    assert "asks for dddddddddddd" not in move.text
    assert "asks for cccccccccccc now" in move.text


def test_a_revert_in_git_ends_the_release_under_way():
    assert "went back to aaaaaaaaaaaa" in next_move(replace(RELEASING, wanted=OLD)).text


@pytest.mark.parametrize("phase", ["rolling-back", "promoting"])
def test_a_run_on_its_way_to_an_end_is_not_aborted_again(phase):
    assert next_move(replace(RELEASING, wanted=OLD, live=LiveRun("r-0002", NEW, phase))).kind == "rest"
    assert next_move(replace(RELEASING, wanted=OLD, live=LiveRun("r-0002", NEW, "held", aborting=True))).kind == "rest"


def test_a_revert_in_git_ends_a_run_that_promotes_while_it_can_still_be_taken_back():
    """Prevents: players who stay on a bad version for as long as sockets to the old one are waited for."""
    waits = replace(RELEASING, live=LiveRun("r-0002", NEW, "promoting", turns_back=True))
    assert next_move(replace(waits, wanted=OLD)).kind == "abort"
    assert next_move(replace(waits, wanted=NEWER)).kind == "rest"


def test_what_was_taken_back_is_not_tried_again_by_itself():
    move = next_move(TAKEN_BACK)
    assert (move.kind, move.code) == ("rest", "RolledBack")
    assert "failed deposits" in move.text


def test_a_person_may_have_the_same_version_tried_again_once():
    assert next_move(replace(TAKEN_BACK, retry="r-0002")).kind == "start"
    assert next_move(replace(TAKEN_BACK, retry="r-0001")).kind == "rest"


def test_another_version_is_tried_after_a_rollback():
    assert next_move(replace(TAKEN_BACK, wanted=NEWER)).kind == "start"


@pytest.mark.parametrize(
    ("desired", "before", "replicas", "is_scaled", "least"),
    [
        (4, 4, 4, False, None),
        (6, 4, 4, False, None),  # more than that is somebody's wish
        (3, 4, 2, False, 4),  # what there was before the release stays until it is over
        (3, 0, 4, False, 4),
        (3, 0, 4, True, None),  # without a release an autoscaler has the say
        (3, 4, 2, True, 4),
        (None, 0, 4, True, 4),
        (None, 6, 4, False, 6),
    ],
)
def test_stable_keeps_the_pods_of_before_the_release_and_else_what_the_policy_asks_for(
    desired, before, replicas, is_scaled, least
):
    lack = shortfall(OLD, desired, before=before, replicas=replicas, is_scaled=is_scaled)
    assert (lack and lack.replicas) == least


def test_a_shortfall_says_what_was_found():
    assert shortfall(OLD, 1, before=4, replicas=2, is_scaled=False) == Shortfall(
        4, "aaaaaaaaaaaa was scaled to 1 of 4 pods"
    )


def test_stable_keeps_its_pods_until_another_version_has_taken_its_place():
    assert keeps_its_pods(SERVING) == OLD
    assert keeps_its_pods(RELEASING) == OLD
    assert keeps_its_pods(replace(RELEASING, live=LiveRun("r-0002", NEW, "promoting"))) == NEW
    assert keeps_its_pods(replace(SERVING, stable=None)) is None
    assert keeps_its_pods(replace(SERVING, stable=INTENT, leaving=True)) is None
    assert keeps_its_pods(replace(RELEASING, live=LiveRun("r-0002", INTENT, "promoting"))) is None
