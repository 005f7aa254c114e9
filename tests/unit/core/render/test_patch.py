"""Patches change what they name, where they apply, and nothing else; or they are refused (``tests/spec/bad``)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.platforms import EXAMPLE

from croupier.core.compare import compare
from croupier.core.render.cell import objects, render
from croupier.errors import SpecError
from croupier.spec.cells import Described
from croupier.spec.explain import explained
from croupier.spec.platform import load_described


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLE, tmp_path / "demo")
    return tmp_path / "demo"


def _described(folder: Path, *layers: dict[str, Any]) -> Described:
    (folder / "patches.yaml").write_text(yaml.safe_dump({"layers": list(layers)}))
    return load_described(folder)


def _layer(at: dict[str, str], *patches: tuple[str, str, str, Any]) -> dict[str, Any]:
    made = []
    for kind, op, path, value in patches:
        given = {} if value is None else {"value": value}
        made.append({"kind": kind, "op": op, "path": path, **given, "why": "a test"})
    return {"at": at, "patches": made}


def _of(described: Described, cell: str, service: str, kind: str) -> dict[str, Any]:
    return next(each for each in objects(described.cells)[f"cells/{cell}/{service}.yaml"] if each["kind"] == kind)


STABILIZATION = "/spec/behavior/scaleDown/stabilizationWindowSeconds"


def test_a_patch_changes_the_objects_it_names_where_it_applies_and_nothing_else(folder: Path) -> None:
    before = objects(load_described(folder).cells)
    layer = _layer(
        {"service": "payments-api", "market": "mt"},
        ("HorizontalPodAutoscaler", "replace", STABILIZATION, 900),
        ("Deployment", "add", "/metadata/annotations/example~1owner", "payments"),
        ("Deployment", "add", "/spec/template/spec/containers/0/args", ["--fast"]),
        ("HorizontalPodAutoscaler", "remove", "/spec/behavior/scaleUp/policies/1", None),
    )
    described = _described(folder, layer)
    after = objects(described.cells)
    assert [name for name in before if before[name] != after[name]] == ["cells/lucky-mt-eu-south/payments-api.yaml"]
    scaler = _of(described, "lucky-mt-eu-south", "payments-api", "HorizontalPodAutoscaler")
    assert scaler["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 900
    assert len(scaler["spec"]["behavior"]["scaleUp"]["policies"]) == 1
    deployment = _of(described, "lucky-mt-eu-south", "payments-api", "Deployment")
    assert deployment["metadata"]["annotations"]["example/owner"] == "payments"
    assert deployment["spec"]["template"]["spec"]["containers"][0]["args"] == ["--fast"]


def test_the_heavier_layer_has_the_last_word(folder: Path) -> None:
    light = _layer({"service": "payments-api"}, ("HorizontalPodAutoscaler", "replace", STABILIZATION, 900))
    heavy = _layer(
        {"service": "payments-api", "market": "mt"}, ("HorizontalPodAutoscaler", "replace", STABILIZATION, 60)
    )
    for order in ((light, heavy), (heavy, light)):
        described = _described(folder, *order)
        found = {
            cell: _of(described, cell, "payments-api", "HorizontalPodAutoscaler")["spec"]["behavior"]["scaleDown"]
            for cell in ("lucky-mt-eu-south", "lucky-se-eu-north")
        }
        assert {cell: each["stabilizationWindowSeconds"] for cell, each in found.items()} == {
            "lucky-mt-eu-south": 60,
            "lucky-se-eu-north": 900,
        }


def test_the_same_patch_twice_is_one(folder: Path) -> None:
    """Two axes that meet in a cell and say the same are no conflict, as with values."""
    patch = ("Namespace", "add", "/metadata/annotations", {"a": "b"})
    described = _described(folder, _layer({"market": "mt"}, patch), _layer({"region": "eu-south"}, patch))
    assert _of(described, "lucky-mt-eu-south", "00-namespace", "Namespace")["metadata"]["annotations"] == {"a": "b"}


def test_a_market_without_locks_lets_the_same_patch_through(folder: Path) -> None:
    """The example's Sweden locks drainSeconds, its Malta does not."""
    grace = "/spec/template/spec/terminationGracePeriodSeconds"
    layers = {
        market: _layer({"service": "wallet", "market": market}, ("Deployment", "replace", grace, 31))
        for market in ("mt", "se")
    }
    assert objects(_described(folder, layers["mt"]).cells)
    with pytest.raises(SpecError, match=r"LOCKED .*market se locks it by drainSeconds"):
        objects(_described(folder, layers["se"]).cells)


def test_what_no_lock_is_about_may_be_patched_in_a_market_with_locks(folder: Path) -> None:
    layer = _layer({"service": "wallet", "market": "se"}, ("Deployment", "add", "/spec/minReadySeconds", 5))
    assert _of(_described(folder, layer), "lucky-se-eu-north", "wallet", "Deployment")["spec"]["minReadySeconds"] == 5


def test_explain_of_a_service_shows_its_patches_with_place_and_reason(folder: Path) -> None:
    layer = _layer({"service": "wallet"}, ("Deployment", "add", "/spec/minReadySeconds", 5))
    told = explained(_described(folder, layer), "lucky-se-eu-north", "wallet")[-1].as_text()
    assert told.splitlines()[0] == "patch of wallet Deployment/*/spec/minReadySeconds: 5"
    assert "layer service=wallet (a test)" in told
    assert "patches.yaml:7:11" in told


def test_a_plan_shows_patches_and_which_of_them_make_new_versions(folder: Path) -> None:
    before = load_described(folder).cells
    layer = _layer(
        {"service": "wallet"},
        ("Deployment", "add", "/spec/minReadySeconds", 5),
        ("Deployment", "add", "/spec/template/spec/hostname", "purse"),
    )
    found = compare(before, _described(folder, layer).cells)
    assert [(each.subject, each.path, each.after, bool(each.releases)) for each in found.changes] == [
        ("patches", "wallet Deployment/*/spec/minReadySeconds", {"add": 5}, False),
        ("patches", "wallet Deployment/*/spec/template/spec/hostname", {"add": "purse"}, True),
    ]
    assert found.versions == ("wallet in lucky-mt-eu-south", "wallet in lucky-se-eu-north")
    back = compare(_described(folder, layer).cells, before)
    assert (back.changes[0].before, back.changes[0].after) == ({"add": 5}, None)


def test_patches_are_in_what_is_written(folder: Path) -> None:
    layer = _layer(
        {"service": "wallet"}, ("PodDisruptionBudget", "add", "/spec/unhealthyPodEvictionPolicy", "AlwaysAllow")
    )
    files = render(_described(folder, layer).cells)
    assert sum("unhealthyPodEvictionPolicy: AlwaysAllow" in text for text in files.values()) == 2
