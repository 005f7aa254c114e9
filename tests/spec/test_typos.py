"""A slip in a key is answered with the key that was meant, for nearly every key of the form and every common slip."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from croupier.errors import SpecError
from croupier.spec.form import PlatformFile
from croupier.spec.load import load
from croupier.spec.partial import bare

Place = tuple[str | int, ...]


def test_a_slip_in_any_key_is_answered_with_the_right_one(tmp_path: Path) -> None:
    path, missed, tried = tmp_path / "case.yaml", [], 0
    for place, known in _keys(PlatformFile, ()):
        slips = [(key, wrong) for key in known for wrong in _slips(key) - set(known)]
        hints = _hints(path, place, {wrong for _, wrong in slips})
        for key, wrong in slips:
            tried += 1
            if not hints[wrong].startswith(f"did you mean {key}?"):
                missed.append((place, key, wrong, hints[wrong].split("?")[0]))
    assert tried > 1200
    assert len(missed) <= 0.05 * tried, missed


def _hints(path: Path, place: Place, wrong: set[str]) -> dict[str, str]:
    """What is said of each of the keys ``wrong`` at one place: all problems of a file are told at once."""
    path.write_text(json.dumps(_document(place, dict.fromkeys(sorted(wrong)))))
    try:
        load(path, PlatformFile)
    except SpecError as error:
        said = {each.message: each.hint for each in error.problems}
        return {each: said[f"unknown key {each!r}"] for each in wrong}
    raise AssertionError(f"{wrong} are taken for keys")


def _slips(key: str) -> set[str]:
    """A letter forgotten, doubled, two swapped, the neighbour on the keyboard hit: in the middle of the word."""
    at = len(key) // 2
    swapped = key[: at - 1] + key[at] + key[at - 1] + key[at + 1 :]
    neighbour = {"a": "s", "e": "r", "i": "o", "o": "p", "t": "y", "n": "m", "s": "d"}.get(key[at], "x")
    found = {key[:at] + key[at:][1:], key[:at] + key[at] + key[at:], swapped, key[:at] + neighbour + key[at + 1 :]}
    return {each for each in found if each and each != key}


def _keys(kind: Any, place: Place) -> Iterator[tuple[Place, list[str]]]:
    """Each place of the form that has keys, with the keys it has."""
    kind = bare(kind)
    if get_origin(kind) is dict:
        yield from _keys(get_args(kind)[1], (*place, "x"))
    elif get_origin(kind) is tuple:
        yield from _keys(get_args(kind)[0], (*place, 0))
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
        yield place, list(fields)
        for key, annotation in fields.items():
            yield from _keys(annotation, (*place, key))


def _document(place: Place, held: dict[str, None]) -> Any:
    if not place:
        return held
    inner = _document(place[1:], held)
    return [inner] if place[0] == 0 else {place[0]: inner}
