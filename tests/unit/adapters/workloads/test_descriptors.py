from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from croupier.adapters.workloads.descriptors import digest_of, read_descriptors
from croupier.errors import SpecError

TEXT = "service: bets\nlabel: plain\nmodule: bets\nbuild: {defect: slow, after: 0.5}\n"


def test_the_digest_is_that_of_the_canonical_json() -> None:
    """S3.7: computed by hand: ``printf '{"label":"plain","service":"bets"}' | sha256sum``."""
    digest = "sha256:cae313e5a52b1e907182aa062377927850c309cfa89de094c40512bf2baa10fc"
    assert digest_of({"service": "bets", "label": "plain"}) == digest


def test_layout_and_comments_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TEXT)
    (tmp_path / "b.yaml").write_text(
        '# the same\nbuild:\n  after: 0.50\n  defect: "slow"\nmodule: bets\nlabel: plain\nservice: bets\n'
    )
    one, two = read_descriptors(tmp_path)
    assert one.version == two.version
    assert one.content["build"] == {"defect": "slow", "after": 0.5}


@given(st.dictionaries(st.text(min_size=1), st.integers(-(2**50), 2**50) | st.text() | st.booleans() | st.none()))
def test_the_order_of_keys_does_not_count(content: dict[str, int | str | bool | None]) -> None:
    assert digest_of(content) == digest_of(dict(reversed(list(content.items()))))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("service: [", "2:1"),
        ("- service\n", "1:1"),
        ("service: Bets\nlabel: x\n", "1:10"),
        ("service: bets\n", "1:1"),
        ("service: bets\nlabel: x\ncolour: red\n", "3:1"),
    ],
)
def test_a_bad_descriptor_is_named_with_its_place(tmp_path: Path, text: str, place: str) -> None:
    (tmp_path / "good.yaml").write_text(TEXT)
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        read_descriptors(tmp_path)
    assert [Path(problem.file).name for problem in caught.value.problems] == ["bad.yaml"]
    assert f"bad.yaml:{place}" in str(caught.value)
