"""Plans, runs and reports as text: facts first, the same words everywhere."""

from __future__ import annotations

import pytest

from croupier.model.verdict import ArmNumbers, Outcome
from croupier.report import example
from croupier.report.final import report_markdown, report_of, report_text
from croupier.report.format import bad_ratio, duration, percent, readable, short_count, short_duration, table
from croupier.report.plan import plan_text
from croupier.report.run import change_lines, ending_text, list_text, status_text, story


@pytest.mark.parametrize(
    ("seconds", "long", "short"),
    [
        (None, "–", "–"),
        (0.4, "0 s", "0 s"),
        (59.4, "59 s", "59 s"),
        (59.6, "1 min 00 s", "1m00s"),
        (245, "4 min 05 s", "4m05s"),
        (3600, "1 h 00 min", "1h00m"),
        (7384, "2 h 03 min", "2h03m"),
    ],
)
def test_durations_read_as_people_say_them(seconds: float | None, long: str, short: str) -> None:
    assert duration(seconds) == long
    assert short_duration(seconds) == short


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0.0, "0.00 %"), (0.0031, "0.31 %"), (0.042, "4.2 %"), (0.25, "25 %"), (0.247, "24.7 %"), (1.0, "100 %")],
)
def test_shares_keep_the_places_that_matter(ratio: float, text: str) -> None:
    assert percent(ratio) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (9_999, "9,999"),
        (10_000, "10.0k"),
        (99_949, "99.9k"),
        (99_950, "100k"),
        (999_499, "999k"),
        (999_500, "1.0M"),
    ],
)
def test_large_counts_stay_narrow(number: int, text: str) -> None:
    assert short_count(number) == text
    assert len(text) <= 5


def test_a_ratio_of_nothing_is_unknown_not_zero() -> None:
    assert bad_ratio(ArmNumbers(bad=0, total=0)) == "–"


def test_tables_align_and_leave_no_trailing_space() -> None:
    assert table([("a", "1"), ("bbb", "22")], right=(1,), indent="") == ["a     1", "bbb  22"]
    assert table([("a", "")], indent="") == ["a"]


def test_text_from_outside_loses_what_steers_a_terminal() -> None:
    assert readable("a\x1b[2Jb\nc") == "a\ufffd[2Jb\ufffdc"
    assert readable(f"{example.CANARY} serves everybody") == "9b07e6d2c815 serves everybody"


def test_a_plan_shows_steps_price_of_harm_and_time_to_promotion() -> None:
    text = plan_text(example.preview())
    for part in (
        "25 %",
        "1 min 35 s",
        "3 % of deposits fail",
        "about 14",
        "at most 2 percentage points more",
        "4 min 52 s",
    ):
        assert part in text


def test_a_plan_that_cannot_be_decided_gives_numbers_and_options() -> None:
    preview = example.preview()
    forecast = preview.forecast.model_copy(
        update={
            "decidable": False,
            "seconds": None,
            "problems": ("deposits need 2 h at 5 %",),
            "options": ("begin at 25 %",),
        }
    )
    text = plan_text(preview.model_copy(update={"forecast": forecast}))
    assert "would be refused" in text
    assert "deposits need 2 h at 5 %" in text
    assert "- begin at 25 %" in text


def test_a_status_says_what_happened_what_is_done_and_what_is_safe() -> None:
    text = status_text(example.WATCHED)
    for part in ("watching", "9/1,214", "Waits for failed deposits", "pause and abort are always safe"):
        assert part in text


def test_evidence_below_nothing_is_shown_as_nothing() -> None:
    verdict = example.WATCHED.verdict
    assert verdict is not None
    gate = verdict.gates[0].model_copy(update={"against": -99.0})
    view = example.WATCHED.model_copy(update={"verdict": verdict.model_copy(update={"gates": (gate,)})})
    assert "0.0/2.3" in status_text(view)


def test_the_last_word_on_a_rollback_names_reason_and_speed() -> None:
    text = ending_text(example.ROLLED_BACK)
    assert "No player was left on the canary 0.4 s after the verdict" in text
    assert "worse than stable beyond chance" in text


def test_only_changes_make_lines() -> None:
    assert change_lines(example.WATCHED, example.WATCHED) == []
    later = example.WATCHED.model_copy(update={"updated_at": example.WATCHED.updated_at + 5})
    assert change_lines(example.WATCHED, later) == []
    assert len(change_lines(example.WATCHED, example.TAKEN_BACK)) == 2


def test_a_gate_that_turns_makes_a_line_and_one_that_loses_its_data_too() -> None:
    verdict = example.WATCHED.verdict
    assert verdict is not None
    for change, said in (
        ({"outcome": Outcome.PASS, "code": "not-worse"}, "gate deposits: pass"),
        ({"code": "no-data", "needs_seconds": None}, "gate deposits: no data"),
    ):
        gates = (verdict.gates[0].model_copy(update=change), *verdict.gates[1:])
        after = example.WATCHED.model_copy(update={"verdict": verdict.model_copy(update={"gates": gates})})
        (line,) = change_lines(example.WATCHED, after)
        assert said in line


def test_a_reason_is_told_once() -> None:
    texts = [moment.text for moment in story(example.ROLLED_BACK.timeline)]
    assert texts[-3].startswith("rolling back: failed deposits")
    assert texts[-1] == "rolled-back"


def test_changes_are_found_when_the_story_has_lost_its_beginning() -> None:
    before = example.WATCHED
    after = before.model_copy(update={"timeline": example.TAKEN_BACK.timeline[3:]})
    assert [line[9:] for line in change_lines(before, after)][-1] == "r-0007 no player is sent to the canary any more"
    assert len(change_lines(before, after)) == 2


def test_a_list_has_one_line_a_run() -> None:
    assert list_text([]) == "No releases yet."
    assert len(list_text([example.WATCHED, example.PROMOTED]).splitlines()) == 3


def test_a_report_compares_forecast_and_fact_and_counts_the_harm() -> None:
    report = report_of(example.ROLLED_BACK, example.ENTRIES)
    (check,) = report.forecast
    assert check.figure == "verdict"
    assert check.forecast_seconds == 118.0
    assert check.actual_seconds == pytest.approx(207.0)
    assert report.verdict_to_zero_seconds == pytest.approx(0.4)
    deposits = report.totals[0]
    assert deposits.canary_bad == 16
    assert deposits.excess == pytest.approx(16 - 1310 * 5 / 3960)
    assert [(deed.who, deed.command) for deed in report.deeds] == [("tomek", "pause")]


def test_a_report_of_a_promotion_compares_time_to_promotion() -> None:
    (check,) = report_of(example.PROMOTED, ()).forecast
    assert check.figure == "promotion"
    assert check.actual_seconds == pytest.approx(305.0)


def test_a_report_of_a_running_release_says_so() -> None:
    report = report_of(example.WATCHED, ())
    assert report.outcome == "running"
    assert "still running" in report_text(report)


def test_text_and_markdown_hold_the_same_facts() -> None:
    report = report_of(example.ROLLED_BACK, example.ENTRIES)
    for text in (report_text(report), report_markdown(report)):
        for part in (
            "r-0007",
            "rolled back after 3 min 41 s",
            "16/1,310",
            "1 min 58 s",
            "tomek",
            "PSP B is in maintenance",
        ):
            assert part in text


def test_words_of_people_cannot_break_out_of_a_markdown_table() -> None:
    (entry,) = [entry for entry in example.ENTRIES if entry.kind == "command"]
    nasty = entry.model_copy(update={"body": {"command": "pause", "who": "x", "reason": "a | b\n# c <b>"}})
    text = report_markdown(report_of(example.ROLLED_BACK, [nasty]))
    (line,) = [line for line in text.splitlines() if "| x |" in line]
    assert line.endswith("a \\| b\ufffd# c \\<b> |")
