"""``render --as helm | kustomize``: the real programs make the same objects of it that ``render`` writes (S5.3)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.nasty import NASTY
from tests.support.platforms import example, gated, kept, queued, stored
from tests.support.templates import helm, kustomize

from croupier.adapters.manifests import write
from croupier.core.render.cell import MADE, objects
from croupier.core.render.helm import helm_files
from croupier.core.render.kustomize import kustomize_files
from croupier.errors import SpecError
from croupier.model.monitoring import Monitoring
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.service_spec import ServiceSpec
from croupier.spec.yaml_kubernetes import documents

_UNWRITTEN = "\x7f\x85\ufffe\uffff"
_WRITABLE = [text for text in NASTY if "\0" not in text and text not in _UNWRITTEN]


def _changed(placed: PlacedCell, change: Callable[[ServiceSpec], ServiceSpec]) -> PlacedCell:
    return placed.model_copy(update={"services": tuple(map(change, placed.services))})


def _nasty() -> list[PlacedCell]:
    """Strings that readers take for something else: the same in all cells, and another one in each."""
    config = {f"N{number}": text for number, text in enumerate(_WRITABLE)}
    made = []
    for shift, placed in enumerate(example(), start=1):
        turned = tuple(itertools.islice(itertools.cycle(_WRITABLE), shift, shift + len(_WRITABLE)))
        made.append(
            _changed(placed, lambda each, args=turned: each.model_copy(update={"config": config, "args": args}))
        )
    return made


def _unlike() -> list[PlacedCell]:
    """Cells that differ in which services they have, in lengths of lists, and in who releases."""
    first, second = example()
    no_lobby = tuple(each for each in first.services if each.name != "lobby")
    region = second.region.model_copy(update={"released_by": "kubernetes"})
    other = _changed(second, lambda each: each.model_copy(update={"args": ("{{ fail }}", "b"), "writable": ()}))
    return [first.model_copy(update={"services": no_lobby}), other.model_copy(update={"region": region})]


def _watched() -> list[PlacedCell]:
    """With alerts, whose words hold template actions of Prometheus."""
    return list(example(prometheus=Monitoring(form="operator", labels={"release": "main"})))


PLATFORMS: Mapping[str, Callable[[], list[PlacedCell]]] = {
    "example": lambda: list(example()),
    "watched": _watched,
    "secrets": kept,
    "stores": stored,
    "egress": gated,
    "queues": queued,
    "nasty": _nasty,
    "unlike": _unlike,
    "one-cell": lambda: list(example())[:1],
}


@pytest.fixture(params=PLATFORMS)
def cells(request: pytest.FixtureRequest) -> list[PlacedCell]:
    return PLATFORMS[request.param]()


def _read(text: str) -> list[JsonObject]:
    found: list[Any] = [value for _, value, _ in documents(text, "rendered")]
    return found


def _by_name(every: Iterable[JsonObject]) -> dict[tuple[str, ...], JsonObject]:
    named: dict[tuple[str, ...], JsonObject] = {}
    for each in every:
        metadata = each["metadata"]
        name = (each["apiVersion"], each["kind"], metadata.get("namespace", ""), metadata["name"])
        assert name not in named
        named[name] = each
    return named


def _expected(cells: list[PlacedCell]) -> dict[str, list[JsonObject]]:
    """Place, like ``cells/lucky-mt-eu-south`` -> its objects."""
    places: dict[str, list[JsonObject]] = {}
    for file, held in objects(cells).items():
        places.setdefault(file.rpartition("/")[0], []).extend(held)
    return places


def test_kustomize_makes_the_same_objects(cells: list[PlacedCell], tmp_path: Path) -> None:
    write(tmp_path, kustomize_files(objects(cells), cells), MADE)
    for place, held in _expected(cells).items():
        assert _by_name(_read(kustomize(tmp_path / place))) == _by_name(held)


def test_helm_makes_the_same_objects(cells: list[PlacedCell], tmp_path: Path) -> None:
    write(tmp_path, helm_files(objects(cells), cells), MADE)
    for place, held in _expected(cells).items():
        assert _by_name(_read(helm(tmp_path / "chart", tmp_path / place / "values.yaml"))) == _by_name(held)


@pytest.mark.parametrize("character", _UNWRITTEN)
@pytest.mark.parametrize("form", [kustomize_files, helm_files])
def test_what_the_programs_cannot_write_is_refused(form: Callable[..., object], character: str) -> None:
    cells = [_changed(placed, lambda each: each.model_copy(update={"args": (character,)})) for placed in example()]
    with pytest.raises(SpecError, match=f"CHARACTER Deployment lobby holds U\\+{ord(character):04X}"):
        form(objects(cells), cells)


def test_what_is_the_same_everywhere_is_written_once() -> None:
    """One value that differs is one value, and one patch: all else stands in the library, and in the base."""
    first, second = example()
    twin = second.model_copy(update={"services": first.services})

    def more(service: ServiceSpec) -> ServiceSpec:
        return service.model_copy(update={"replicas": service.replicas + 1}) if service.name == "wallet" else service

    cells = [first, _changed(twin, more).model_copy(update={"cell": first.cell.model_copy(update={"brand": "other"})})]
    held = objects(cells)
    kustomized, charted = kustomize_files(held, cells), helm_files(held, cells)
    other = cells[1].cell.name
    assert f"cells/{other}/own.yaml" not in kustomized
    patches = kustomized[f"cells/{other}/kustomization.yaml"]
    assert "path: /spec/replicas\n      value: 4" in patches
    assert patches.count("op:") == patches.count("op: replace") == 1 + 4  # and of the quota what follows from it
    (values,) = _read(charted[f"cells/{other}/values.yaml"])
    assert values["units"]["wallet"] == {"ReleasePolicy": {"spec": {"replicas": 4}}}
    assert values["units"]["lobby"] == {}


def test_every_file_of_every_form_is_known_as_rendered(cells: list[PlacedCell], tmp_path: Path) -> None:
    """Going from one form to another leaves nothing of the first behind."""
    held = objects(cells)
    for files in (kustomize_files(held, cells), helm_files(held, cells), kustomize_files(held, cells)):
        write(tmp_path, files, MADE)
        there = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
        assert there == files.keys()
