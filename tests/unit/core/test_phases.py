"""The transition table of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from croupier.core.phases import ENDS, TABLE, Event, Phase, next_phase, page
from croupier.errors import IntegrityError

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "run-phases.md"

WAYS = [
    (Phase.PLANNED, Event.STARTED, Phase.PREPARING),
    (Phase.PREPARING, Event.SETTLED, Phase.PASSED),
    (Phase.PREPARING, Event.ROLLING_BACK, Phase.ROLLING_BACK),
    (Phase.SETTLING, Event.SETTLED, Phase.HOLDING),
    (Phase.SETTLING, Event.HELD, Phase.HELD),
    (Phase.SETTLING, Event.PAUSED, Phase.PAUSED),
    (Phase.SETTLING, Event.ROLLING_BACK, Phase.ROLLING_BACK),
    (Phase.HOLDING, Event.PASSED, Phase.PASSED),
    (Phase.HOLDING, Event.HELD, Phase.HELD),
    (Phase.HOLDING, Event.PAUSED, Phase.PAUSED),
    (Phase.HOLDING, Event.ROLLING_BACK, Phase.ROLLING_BACK),
    (Phase.HELD, Event.PASSED, Phase.PASSED),
    (Phase.HELD, Event.RESUMED, Phase.SETTLING),
    (Phase.HELD, Event.ROLLING_BACK, Phase.ROLLING_BACK),
    (Phase.PAUSED, Event.RESUMED, Phase.SETTLING),
    (Phase.PAUSED, Event.ROLLING_BACK, Phase.ROLLING_BACK),
    (Phase.PASSED, Event.ENTERED, Phase.SETTLING),
    (Phase.PASSED, Event.PROMOTING, Phase.PROMOTING),
    (Phase.PROMOTING, Event.ENDED, Phase.PROMOTED),
    (Phase.PROMOTING, Event.ROLLING_BACK, Phase.ROLLING_BACK),
    (Phase.ROLLING_BACK, Event.ENDED, Phase.ROLLED_BACK),
]


def test_the_table_holds_these_ways_and_no_others() -> None:
    assert [(phase, event, after) for phase, ways in TABLE.items() for event, after in ways.items()] == WAYS
    assert set(TABLE) == set(Phase)


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("event", list(Event))
def test_what_is_not_in_the_table_is_an_error_that_says_what_is(phase: Phase, event: Event) -> None:
    after = {(before, by): then for before, by, then in WAYS}.get((phase, event))
    if after is not None:
        assert next_phase(phase, event) is after
        return
    with pytest.raises(IntegrityError, match=f"{event} cannot follow while a run is {phase}"):
        next_phase(phase, event)


def test_nothing_leaves_an_end_and_everything_else_leads_to_one() -> None:
    assert {phase for phase, ways in TABLE.items() if not ways} == ENDS
    reached = {Phase.PLANNED}
    for _ in Phase:
        reached |= {after for phase in reached for after in TABLE[phase].values()}
    assert reached == set(Phase)


def test_the_reference_page_is_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "write it anew: python -c \"from croupier.core.phases import page; print(page(), end='')\""
        " > docs/reference/run-phases.md"
    )
