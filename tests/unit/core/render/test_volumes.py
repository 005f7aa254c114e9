"""Services whose pods have disks of their own, and what recommends how much pods should ask for (S6.3, S7, S13.5)."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.support import quick_yaml
from tests.support.platforms import example, manifests, volumed

from croupier.core.policy.catalogue import RULES
from croupier.core.policy.check import check
from croupier.core.render.cell import objects_of
from croupier.model.container import Resources
from croupier.model.platform import PlacedCell
from croupier.model.service_spec import Scaling, ServiceSpec, Volume
from croupier.spec.manifests import read_text

DISK = Volume(path="/data", size="1Gi", storage="plain")


def _lobby(cells: list[PlacedCell]) -> tuple[PlacedCell, ServiceSpec]:
    placed = cells[0]
    return placed, next(each for each in placed.services if each.name == "lobby")


def _one(placed: PlacedCell, service: ServiceSpec, kind: str, name: str = "lobby") -> dict[str, Any]:
    made = objects_of(placed, service)
    (found,) = (each for each in made if each["kind"] == kind and each["metadata"]["name"] == name)
    return found


def test_pods_with_disks_are_a_stateful_set_and_have_names_in_dns() -> None:
    placed, lobby = _lobby(volumed())
    spec = _one(placed, lobby, "StatefulSet")["spec"]
    assert not [each for each in objects_of(placed, lobby) if each["kind"] == "Deployment"]
    (claim,) = spec["volumeClaimTemplates"]
    (container,) = spec["template"]["spec"]["containers"]
    mounted = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert mounted[claim["metadata"]["name"]] == "/var/cache/lobby"
    assert claim["spec"]["resources"]["requests"]["storage"] == "1Gi"
    assert claim["spec"]["storageClassName"] == "plain"
    names = _one(placed, lobby, "Service", spec["serviceName"])["spec"]
    assert names["clusterIP"] == "None"
    assert names["selector"] == spec["selector"]["matchLabels"]


def test_a_disk_stays_when_its_pod_or_the_service_goes() -> None:
    placed, lobby = _lobby(volumed())
    kept = _one(placed, lobby, "StatefulSet")["spec"]["persistentVolumeClaimRetentionPolicy"]
    assert set(kept.values()) == {"Retain"}


def test_pods_of_a_version_are_told_apart_by_the_revision() -> None:
    placed, lobby = _lobby(volumed())
    pod = _one(placed, lobby, "StatefulSet")["spec"]["template"]["spec"]
    assert {label for each in pod["topologySpreadConstraints"] for label in each["matchLabelKeys"]} == {
        "controller-revision-hash"
    }


def test_who_scales_and_who_recommends_mean_the_stateful_set_and_only_one_acts() -> None:
    """Never both on one target: the recommender has no way to change a pod."""
    placed, lobby = _lobby(volumed())
    scaled = lobby.model_copy(update={"scaling": Scaling(min=2, max=9)})
    target = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "lobby"}
    assert _one(placed, scaled, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"] == target
    asked = _one(placed, scaled, "VerticalPodAutoscaler")["spec"]
    assert asked["targetRef"] == target
    assert asked["updatePolicy"] == {"updateMode": "Off"}
    assert "replicas" not in _one(placed, scaled, "StatefulSet")["spec"]


def test_every_service_of_a_region_with_a_recommender_has_an_object_and_others_none() -> None:
    def asked(cells: list[PlacedCell]) -> list[str]:
        every = (each for text in manifests(cells).values() for each in quick_yaml.load_all(text))
        return [each["metadata"]["name"] for each in every if each["kind"] == "VerticalPodAutoscaler"]

    assert asked(example()) == []
    assert len(asked(example(vpa=True))) == sum(len(each.services) for each in example())


@pytest.mark.parametrize(
    ("volumes", "writable"),
    [
        pytest.param({"a": DISK, "b": DISK}, ("/tmp",), id="twice"),
        pytest.param({"a": DISK.model_copy(update={"path": "/secrets/mine"})}, ("/tmp",), id="over-secrets"),
        pytest.param({"a": DISK}, ("/data/",), id="writable"),
    ],
)
def test_a_disk_covers_nothing(volumes: dict[str, Volume], writable: tuple[str, ...]) -> None:
    image = f"registry.example/app@sha256:{64 * 'a'}"
    held = {"name": "cache", "layer": "service", "replicas": 1, "routes": (), "image": image}
    ServiceSpec(**held, resources=Resources(cpu="1", memory="1Gi"), volumes={"a": DISK})
    with pytest.raises(ValidationError, match=r"volume|cover"):
        ServiceSpec(**held, resources=Resources(cpu="1", memory="1Gi"), volumes=volumes, writable=writable)


def test_what_is_rendered_passes_croupiers_own_rules() -> None:
    held = [each for name, text in manifests(volumed()).items() for each in read_text(text, name).manifests]
    assert not [str(each) for each in check(held, [rule for rule in RULES.values() if rule.usual])]
