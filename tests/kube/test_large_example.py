"""All that ``croupier render`` makes of one region of ``examples/platform`` is taken by a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.cluster import Cluster
from tests.support.crds import OPERATORS, definitions, strimzi
from tests.support.platforms import manifests

from croupier.operator.crds import custom_resources
from croupier.spec.platform import load_described

MANAGER = "gitops"
REGION = "ca-central"
"""The smallest: a cell of each brand, and nine hundred objects of nearly all kinds."""
CLUSTER_WIDE = ("namespace", "priorityclass", "storageclass")

pytestmark = pytest.mark.timeout(1200)  # each object is applied twice, and compared


@pytest.fixture
def defined(cluster: Cluster) -> Cluster:
    """The cluster with every kind that is rendered, and none of the programs that act on them."""
    cluster.define([*custom_resources(), *strimzi(), *(each for source in OPERATORS for each in definitions(*source))])
    return cluster


@pytest.fixture
def region(defined: Cluster) -> Iterator[str]:
    """The manifests of the region, whose cluster this is for a while."""
    cells = load_described(Path(__file__).parents[2] / "examples" / "platform").cells
    folders = {REGION, *(placed.cell.name for placed in cells if placed.cell.region == REGION)}
    files = manifests(cells)
    text = "".join(files[name] for name in sorted(files) if folders.intersection(Path(name).parts))
    yield text
    made = _objects(text)
    defined.kubectl("delete", "namespace", *_others(made), "--ignore-not-found", "--timeout=300s")
    for kind in CLUSTER_WIDE:
        names = {each["metadata"]["name"] for each in made if each["kind"].lower() == kind}
        defined.kubectl("delete", kind, *names, "--ignore-not-found", "--timeout=300s")


def test_a_region_applies_and_a_second_time_changes_nothing(defined: Cluster, region: str) -> None:
    """REQUIREMENTS S5.1, S14.11: strictly, by server-side apply, without forcing, under Pod Security restricted."""
    objects = _objects(region)
    namespaces = [each for each in objects if each["kind"] == "Namespace"]
    defined.apply(*map(_namespace, _others(objects)), *namespaces, manager=MANAGER, force=False)
    defined.apply(region, manager=MANAGER, force=False)
    defined.until("no difference", partial(_same, defined, region), 300.0)


def _objects(text: str) -> list[dict[str, Any]]:
    return list(yaml.load_all(text, Loader=yaml.CSafeLoader))


def _others(objects: list[dict[str, Any]]) -> list[str]:
    """Namespaces of other programs, Prometheus for one, in which croupier puts something."""
    made = {each["metadata"]["name"] for each in objects if each["kind"] == "Namespace"}
    return sorted({each["metadata"]["namespace"] for each in objects if "namespace" in each["metadata"]} - made)


def _namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _same(cluster: Cluster, text: str) -> bool:
    return cluster.diff(text, manager=MANAGER) == ""
