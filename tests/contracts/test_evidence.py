"""What every store of evidence keeps to."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from tests.support.records import sample

from croupier.adapters.journal.evidence import FileEvidence
from croupier.adapters.journal.memory import MemoryEvidence
from croupier.errors import IntegrityError
from croupier.model.evidence import Sample
from croupier.ports.journal import EvidenceStore


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> EvidenceStore:
    return MemoryEvidence() if request.param == "memory" else FileEvidence(tmp_path / "evidence")


def test_an_unknown_run_has_no_samples_and_a_hash_of_its_own(store: EvidenceStore) -> None:
    assert list(store.read("r-0001")) == []
    assert store.digest("r-0001") == store.digest("r-0001", count=0) != store.digest("r-0002")


def test_samples_come_back_in_order_bit_for_bit(store: EvidenceStore) -> None:
    written = [sample(1.1), Sample(2.2, 10, None, None), sample(3.3, bad=0.1 + 0.2)]
    for each in written:
        store.append("r-0001", each)
    # NaN differs from itself, so compare texts: repr gives every bit of a float.
    assert [repr(each) for each in store.read("r-0001")] == [repr(each) for each in written]
    counts = store.read("r-0001")[0].canary
    assert counts is not None
    assert math.isnan(counts.series["deposits"].events["pod-1"].total)


def test_the_running_hash_is_what_append_returned(store: EvidenceStore) -> None:
    hashes = [store.append("r-0001", sample(float(at))) for at in range(5)]
    assert list(store.digests("r-0001"))[1:] == hashes
    assert [store.digest("r-0001", count=n + 1) for n in range(5)] == hashes
    assert store.digest("r-0001") == hashes[-1]
    assert len(set(hashes)) == 5


def test_a_sample_that_is_not_newer_changes_nothing(store: EvidenceStore) -> None:
    store.append("r-0001", sample(1.0))
    before = store.append("r-0001", sample(2.0))
    assert store.append("r-0001", sample(2.0, bad=9.0)) == before
    assert store.append("r-0001", sample(1.5)) == before
    assert [each.at for each in store.read("r-0001")] == [1.0, 2.0]


def test_runs_are_apart(store: EvidenceStore) -> None:
    first = store.append("r-0001", sample(5.0))
    store.append("r-0002", sample(1.0))
    assert store.digest("r-0001") == first
    assert [each.at for each in store.read("r-0002")] == [1.0]


def test_a_hash_over_more_samples_than_there_are_is_refused(store: EvidenceStore) -> None:
    store.append("r-0001", sample(1.0))
    with pytest.raises(IntegrityError, match="has 1 samples, not 2"):
        store.digest("r-0001", count=2)
