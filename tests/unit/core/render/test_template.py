"""``template`` says what S14 says, field by field, and of what ``render`` makes otherwise every field has a reason."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import quick_yaml

from croupier.core.render.cell import objects_of
from croupier.core.render.emit import documents
from croupier.core.render.template import template
from croupier.spec.platform import load_described

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "explanation" / "reference-manifests.md"
(PLACED,) = load_described(ROOT / "examples" / "reference").cells
(SERVICE,) = PLACED.services
NONE = "—"

Leaves = dict[str, Any]


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not parts:
        yield "/".join(path), value
    for key, part in parts:
        yield from _leaves(part, (*path, str(key)))


EXPECTED: list[dict[str, Any]] = list(
    quick_yaml.load_all((Path(__file__).parent / "reference.yaml").read_text(encoding="utf-8"))
)
MADE: list[dict[str, Any]] = list(quick_yaml.load_all(documents(template(PLACED, SERVICE, "v2"))))
FIELDS = [(each["kind"], path, value) for each in EXPECTED for path, value in _leaves(each)]


@pytest.mark.parametrize(("kind", "path", "value"), FIELDS, ids=str)
def test_the_template_has_every_value_of_the_requirement(kind: str, path: str, value: Any) -> None:
    """S14.1 to S14.5, S14.7 to S14.10."""
    (made,) = (dict(_leaves(each)) for each in MADE if each["kind"] == kind)
    assert made[path] == value


def test_the_template_has_nothing_else_but_the_share_of_the_canary() -> None:
    """S14.6, and S14.11: all three from one description."""
    assert [each["kind"] for each in MADE] == ["Deployment", "HorizontalPodAutoscaler", "NetworkPolicy"]
    annotations = MADE[0]["metadata"].pop("annotations")
    assert annotations == {
        "nginx.ingress.kubernetes.io/canary": "true",
        "nginx.ingress.kubernetes.io/canary-weight": "5",
    }
    assert MADE == EXPECTED


def _page() -> Iterator[tuple[str, str, str, str]]:
    """Kind, field, and what the page says that the template and ``render`` have there."""
    kind = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        kind = line.removeprefix("## ") if line.startswith("## ") else kind
        if found := re.fullmatch(r"\| `([^`]+)` \| (.*?) \| (.*?) \| (.+) \|", line):
            yield kind, found[1], found[2], found[3]


def _pair(kind: str) -> tuple[Leaves, Leaves]:
    """Leaves of the template and of what ``render`` makes."""
    one, other = (
        [dict(_leaves(each)) for each in objects if each["kind"] == kind]
        for objects in (template(PLACED, SERVICE, "v2"), objects_of(PLACED, SERVICE))
    )
    return one[0], other[0]


KINDS = [each["kind"] for each in EXPECTED]


def _below(leaves: Leaves, path: str) -> Leaves:
    return {at: value for at, value in leaves.items() if at == path or at.startswith(f"{path}/")}


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_has_a_reason_for_every_field_that_render_makes_otherwise(kind: str) -> None:
    plain, hardened = _pair(kind)
    rows = [path for of, path, _, _ in _page() if of == kind]
    otherwise = {at for at in {*plain, *hardened} if plain.get(at) != hardened.get(at)}
    assert {at for at in otherwise if not any(_below({at: None}, path) for path in rows)} == set()
    assert [path for path in rows if not any(_below({at: None}, path) for at in otherwise)] == []


@pytest.mark.parametrize(("kind", "path", "said", "instead"), list(_page()), ids=str)
def test_the_page_says_what_there_is(kind: str, path: str, said: str, instead: str) -> None:
    plain, hardened = _pair(kind)
    for leaves, other, words in ((plain, hardened, said), (hardened, plain, instead)):
        found = _below(leaves, path)
        assert any(value != other.get(at) for at, value in found.items()) == (words != NONE)
        if set(found) == {path} and words.startswith("`"):
            assert words == f"`{json.dumps(found[path])}`".replace('"', "")
