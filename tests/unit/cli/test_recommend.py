"""What the Vertical Pod Autoscaler recommends is shown beside what the platform file asks for (S6.3, S13.5)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.support.platforms import EXAMPLE

from croupier.cli.root import cli

CELL = "lucky-se-eu-north"


def _autoscaler(service: str, cell: str = CELL, **bounds: dict[str, str]) -> dict[str, object]:
    container = {"containerName": "app", **bounds}
    status = {"recommendation": {"containerRecommendations": [container]}} if bounds else {}
    return {
        "kind": "VerticalPodAutoscaler",
        "metadata": {"name": service, "namespace": "lucky-se", "labels": {"cell": cell}},
        "status": status,
    }


def _run(items: object, *words: str) -> Result:
    text = items if isinstance(items, str) else json.dumps({"kind": "List", "items": items})
    return CliRunner().invoke(cli, ["recommend", "-", "--platform", str(EXAMPLE), *words], input=text)


BOUNDS = {
    "target": {"cpu": "500m", "memory": "268435456"},
    "lowerBound": {"cpu": "350m", "memory": "67108864"},
    "upperBound": {"cpu": "1", "memory": "4194304k"},
}
"""Of payments-api, which asks for 300m."""


def test_what_does_not_fit_comes_first_with_what_is_recommended() -> None:
    done = _run([_autoscaler("lobby"), _autoscaler("payments-api", **BOUNDS)])
    assert done.exit_code == 0
    first, *_, waiting, last = done.output.splitlines()
    assert first == f"payments-api in {CELL}: cpu 300m too little, recommended 500m, between 350m and 1000m"
    assert waiting == f"lobby in {CELL}: nothing is recommended yet"
    assert last == "2 requests compared, 1 not fitting"


def test_amounts_are_compared_whatever_their_unit() -> None:
    lavish = {"target": {"cpu": "25m"}, "lowerBound": {"cpu": "10m"}, "upperBound": {"cpu": "0.1"}}
    found = json.loads(_run([_autoscaler("payments-api", **lavish)], "-o", "json").output)
    (one,) = found["recommendations"]
    assert (one["resource"], one["asked"], one["fit"]) == ("cpu", "300m", "too much")


def test_what_is_not_of_the_platform_is_counted_only() -> None:
    """A namespace of the same name in another region is told by the label of the cell."""
    others = [_autoscaler("payments-api", "lucky-se-elsewhere", **BOUNDS), {"kind": "Pod"}, None, "x"]
    found = json.loads(_run([*others, {"metadata": []}], "-o", "json").output)
    assert found == {"recommendations": [], "unknown": [], "others": 1}
    said = _run(others).output
    assert said == "0 requests compared, 0 not fitting; VerticalPodAutoscalers not of this platform: 1\n"


def test_a_bound_that_is_no_amount_is_no_recommendation() -> None:
    broken = {"target": {"cpu": "much", "memory": "256Mi"}, "lowerBound": {"memory": "little"}}
    assert json.loads(_run([_autoscaler("payments-api", **broken)], "-o", "json").output)["recommendations"] == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"items": 3}', "[" * 100_000])
def test_what_is_no_list_of_objects_is_refused(text: str) -> None:
    done = _run(text)
    assert done.exit_code == 2
    assert "kubectl get vpa -A -o json" in done.output


def test_a_file_may_be_named(tmp_path: Path) -> None:
    file = tmp_path / "vpa.json"
    file.write_text(json.dumps({"items": []}))
    done = CliRunner().invoke(cli, ["recommend", str(file), "--platform", str(EXAMPLE)])
    assert done.output == "0 requests compared, 0 not fitting\n"
