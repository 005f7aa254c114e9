"""What a plan is refused for before anybody asks how long it would take."""

from __future__ import annotations

import pytest
from tests.support.world import HEALTHY, STABLE

from croupier.engine.preview import refuse_unreadable
from croupier.errors import Refused
from croupier.model.service import DataFormats, Version


def version(label: str, *, writes: int = 1, reads: tuple[int, ...] = (1,)) -> Version:
    digest = STABLE if label == "old" else HEALTHY
    return Version(service="payments-api", digest=digest, label=label, data=DataFormats(writes=writes, reads=reads))


def test_a_version_whose_data_the_old_one_cannot_read_is_refused_and_the_way_is_told() -> None:
    """S4.6: going back must be possible at every moment, or the release does not start."""
    with pytest.raises(Refused) as raised:
        refuse_unreadable(version("old"), version("new", writes=2, reads=(1, 2)))
    assert raised.value.message == (
        "new writes format 2 of the stored data, which old cannot read (it reads 1): there would be no way back"
    )
    assert raised.value.hint == "first release a version that reads both and still writes 1"


def test_the_same_change_in_two_releases_has_a_way_back_at_each() -> None:
    reader = version("reader", reads=(1, 2))
    refuse_unreadable(version("old"), reader)
    refuse_unreadable(reader, version("new", writes=2, reads=(1, 2)))


def test_a_version_that_cannot_read_what_serves_now_has_written_is_refused() -> None:
    with pytest.raises(Refused, match="old cannot read") as raised:
        refuse_unreadable(version("new", writes=2, reads=(1, 2)), version("old"))
    assert raised.value.hint == "choose a version that reads 2"
