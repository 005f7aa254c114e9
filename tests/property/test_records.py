"""Properties of the chain and of the encodings."""

from __future__ import annotations

import hashlib
import json
import math
import string
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from croupier.adapters.journal.chain import (
    EMPTY,
    Row,
    canonical,
    decode,
    digest,
    encode,
    entry_of,
    parse,
    seal,
    signed_text,
    walk,
)
from croupier.adapters.journal.codec import decode_sample, encode_sample
from croupier.errors import IntegrityError
from croupier.model.evidence import ArmSample, Count, Sample, SeriesCounts, Spread
from croupier.model.journal import Draft

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
drafts = st.builds(
    Draft,
    kind=texts,
    subject=texts,
    at=st.floats(0, 4e9),
    body=st.dictionaries(texts, values, max_size=4),
)


@given(values)
def test_canonical_text_is_a_fixed_point(value: Any) -> None:
    text = canonical(value)
    assert canonical(parse(text)) == text


@given(drafts)
def test_the_hash_is_over_the_rfc_8785_form_of_all_other_fields(draft: Draft) -> None:
    (row,) = seal([draft], EMPTY)
    fields = {
        "seq": 1,
        "kind": draft.kind,
        "subject": draft.subject,
        "at": draft.at,
        "body": draft.body,
        "previous": "0" * 64,
    }
    assert signed_text(row) == rfc8785.dumps(fields)
    assert row.hash == hashlib.sha256(rfc8785.dumps(fields)).hexdigest()


@given(drafts)
def test_a_line_of_an_export_gives_back_its_row(draft: Draft) -> None:
    (row,) = seal([draft], EMPTY)
    assert decode(encode(row)) == row
    assert json.loads(encode(row))["hash"] == row.hash
    assert entry_of(decode(encode(row))).body == draft.body


@given(st.lists(drafts, min_size=1, max_size=6), st.data())
def test_no_single_change_to_a_chain_goes_unnoticed(written: list[Draft], data: st.DataObject) -> None:
    rows = list(seal(written, EMPTY))
    assert list(walk(rows)) == rows
    at = data.draw(st.integers(0, len(rows) - 1))
    changed = data.draw(st.sampled_from(_changes(rows, at)))
    try:
        survived = list(walk(changed))
    except IntegrityError as error:
        assert error.entry is not None
        return
    # Cut off at the end: no walk can tell, the signed head does.
    assert survived == rows[: len(survived)]
    assert len(survived) < len(rows)


def _changes(rows: list[Row], at: int) -> list[list[Row]]:
    row = rows[at]
    edits: list[Callable[[Row], Row]] = [
        lambda row: row._replace(kind=row.kind + "x"),
        lambda row: row._replace(subject="x" + row.subject),
        lambda row: row._replace(at=math.nextafter(row.at, math.inf)),
        lambda row: row._replace(body=row.body + b" "),
        lambda row: row._replace(previous="f" * 64),
        lambda row: row._replace(hash="f" * 64),
        lambda row: row._replace(seq=row.seq + 1),
    ]
    edited = [edit(row) for edit in edits]
    edited += [each._replace(hash=digest(each)) for each in edited[4:5]]
    changes = [[*rows[:at], each, *rows[at + 1 :]] for each in edited]
    changes.append([*rows[:at], *rows[at + 1 :]])
    changes.append([*rows[:at], row, *rows[at:]])
    changes.append([*rows[:at], *rows[at + 1 : at + 2], row, *rows[at + 2 :]] if at + 1 < len(rows) else rows[:-1])
    return changes


counts = st.builds(Count, st.floats(allow_infinity=False), st.floats(allow_infinity=False))
pods = st.dictionaries(st.text(string.printable, max_size=8), counts, max_size=3)
numbers = st.floats(allow_infinity=False)
spreads = st.none() | st.builds(Spread, numbers, numbers, numbers, numbers)
arms = st.none() | st.builds(
    ArmSample,
    series=st.dictionaries(
        texts, st.builds(SeriesCounts, events=pods, players=st.none() | pods, spread=spreads), max_size=3
    ),
    players_seen=st.none() | st.integers(0, 10**9),
    players_revision=st.none() | st.integers(0, 10**6),
    violations=st.dictionaries(texts, numbers, max_size=2),
    began_with_run=st.booleans(),
)
samples = st.builds(Sample, at=st.floats(0, 4e9), weight=st.integers(0, 100), canary=arms, stable=arms)


def test_the_encoding_knows_every_field_of_a_sample() -> None:
    names = {cls: [field.name for field in fields(cls)] for cls in (Sample, ArmSample, SeriesCounts)}
    assert names == {
        Sample: ["at", "weight", "canary", "stable"],
        ArmSample: ["series", "players_seen", "players_revision", "violations", "began_with_run"],
        SeriesCounts: ["events", "players", "spread"],
    }


@given(samples)
def test_a_sample_comes_back_bit_for_bit(sample: Sample) -> None:
    line = encode_sample(sample)
    assert line.count(b"\n") == 1
    again = decode_sample(line)
    assert repr(again) == repr(sample)  # repr of a float has all its bits, and NaN reads nan
    assert encode_sample(again) == line


@given(st.binary(max_size=60))
def test_decoding_anything_gives_a_sample_or_a_value_error(line: bytes) -> None:
    for read in (decode_sample, decode):
        try:
            read(line)
        except ValueError:
            continue
