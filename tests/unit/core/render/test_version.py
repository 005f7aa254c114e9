"""A version as objects: what selects what, what is frozen, and what names it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from croupier.core.render.route import http_route, refusal, stable_service
from croupier.core.render.version import (
    DIGEST,
    Owner,
    config_map_names,
    frozen_config_maps,
    labels,
    object_name,
    version_deployment,
    version_digest,
    version_scaler,
    version_service,
    version_template,
)
from croupier.model.release_policy import ReleasePolicySpec

SPEC = ReleasePolicySpec.model_validate(
    {
        "deployment": "payments-api",
        "service": {"name": "payments-api", "port": 80, "targetPort": 9000},
        "route": {"parentRefs": [{"name": "public", "namespace": "edge"}], "hostnames": ["pay.example"]},
    }
)
OWNER = Owner("casino", "payments-api", "uid-1", SPEC)
NEW, OLD = "sha256:" + "a" * 64, "sha256:" + "b" * 64
TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "payments-api"}, "creationTimestamp": None},
    "spec": {
        "initContainers": [{"name": "migrate", "envFrom": [{"configMapRef": {"name": "database"}}]}],
        "containers": [
            {
                "name": "app",
                "envFrom": [{"configMapRef": {"name": "limits", "optional": True}}, {"secretRef": {"name": "keys"}}],
                "env": [
                    {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "modes", "key": "mode"}}},
                    {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "PLAIN", "value": "1"},
                ],
            }
        ],
        "volumes": [
            {"name": "files", "configMap": {"name": "files"}},
            {"name": "all", "projected": {"sources": [{"configMap": {"name": "parts"}}, {"secret": {"name": "keys"}}]}},
            {"name": "scratch", "emptyDir": {}},
        ],
    },
}
INTENT = {"spec": {"replicas": 0, "selector": {"matchLabels": {"app": "payments-api"}}, "template": TEMPLATE}}


def test_every_place_that_names_a_config_map_is_found() -> None:
    assert config_map_names(TEMPLATE) == {"database", "limits", "modes", "files", "parts"}
    assert config_map_names(TEMPLATE, needed=True) == {"database", "modes", "files", "parts"}


def test_a_version_reads_its_frozen_copies_only_and_the_intent_stays_as_it_is() -> None:
    before = copy.deepcopy(TEMPLATE)
    made = version_template("payments-api", NEW, TEMPLATE)
    assert before == TEMPLATE
    assert config_map_names(made) == {object_name(name, NEW) for name in config_map_names(TEMPLATE)}
    assert "keys-" not in repr(made), "secrets are not frozen"
    assert made["metadata"] == {"labels": {"app": "payments-api", **labels("payments-api", NEW)}}


def test_selectors_of_two_versions_have_no_pod_in_common() -> None:
    deployments = [version_deployment(OWNER, digest, INTENT, 3) for digest in (OLD, NEW)]
    for one in deployments:
        selector = one["spec"]["selector"]["matchLabels"]
        assert selector.items() <= one["spec"]["template"]["metadata"]["labels"].items()
        others = [other for other in deployments if other is not one]
        for other in others:
            assert not selector.items() <= other["spec"]["template"]["metadata"]["labels"].items()
        digest = one["metadata"]["annotations"][DIGEST]
        assert version_service(OWNER, digest)["spec"]["selector"] == selector


def test_all_objects_of_a_version_go_with_the_policy() -> None:
    config = {"files": {"data": {"a": "1"}}}
    scaler = {"metadata": {"name": "payments-api"}, "spec": {"maxReplicas": 9}}
    made = [
        *frozen_config_maps(OWNER, NEW, config),
        version_service(OWNER, NEW),
        version_deployment(OWNER, NEW, INTENT, 3),
        version_scaler(OWNER, NEW, scaler, 4),
    ]
    for each in made:
        (reference,) = each["metadata"]["ownerReferences"]
        assert (reference["uid"], reference["kind"]) == ("uid-1", "ReleasePolicy")
        assert each["metadata"]["labels"] == labels("payments-api", NEW)
        assert each["metadata"]["name"].endswith("-aaaaaaaaaaaa")


def test_frozen_copies_hold_the_content_and_never_change() -> None:
    config = {"files": {"data": {"a": "1"}, "binaryData": {"b": "AA=="}}}
    (made,) = frozen_config_maps(OWNER, NEW, config)
    assert (made["immutable"], made["data"], made["binaryData"]) == (True, {"a": "1"}, {"b": "AA=="})


@pytest.mark.parametrize(("floor", "least", "most"), [(0, 2, 6), (4, 4, 6), (8, 8, 8)])
def test_a_scaler_keeps_the_floor_and_makes_room_for_it(floor: int, least: int, most: int) -> None:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "payments-api"}
    scaler = {
        "metadata": {"name": "payments-api"},
        "spec": {"minReplicas": 2, "maxReplicas": 6, "scaleTargetRef": target},
    }
    made = version_scaler(OWNER, NEW, scaler, floor)["spec"]
    assert (made["minReplicas"], made["maxReplicas"]) == (least, most)
    assert made["scaleTargetRef"]["name"] == object_name("payments-api", NEW)
    assert scaler["spec"]["scaleTargetRef"] == target


def test_the_digest_follows_template_and_configuration_and_nothing_else() -> None:
    config = {"files": {"data": {"a": "1"}}}
    digest = version_digest(TEMPLATE, config)
    assert digest == version_digest(dict(reversed(TEMPLATE.items())), config)
    assert digest != version_digest(TEMPLATE, {"files": {"data": {"a": "2"}}})
    assert digest != version_digest({**TEMPLATE, "spec": {"containers": []}}, config)


# --- routes -----------------------------------------------------------------------------------------------------------


def test_a_route_names_a_backend_for_each_version_also_at_zero() -> None:
    assert SPEC.route is not None
    made = http_route(OWNER, SPEC.route, {OLD: 100, NEW: 0}, "r-0001", 3)
    (rule,) = made["spec"]["rules"]
    assert {each["name"]: each["weight"] for each in rule["backendRefs"]} == {
        object_name("payments-api", OLD): 100,
        object_name("payments-api", NEW): 0,
    }
    assert {each["port"] for each in rule["backendRefs"]} == {80}
    assert made["spec"]["hostnames"] == ["pay.example"]
    (parent,) = made["spec"]["parentRefs"]
    assert (parent["kind"], parent["name"], parent["namespace"]) == ("Gateway", "public", "edge")


@pytest.mark.parametrize(
    ("seconds", "written"), [(15.0, "15s"), (0.25, "250ms"), (1.5, "1s500ms"), (86_400.0, "86400s")]
)
def test_a_route_gives_up_in_time(seconds: float, written: str) -> None:
    """S8.6."""
    assert SPEC.route is not None
    made = http_route(OWNER, SPEC.route.model_copy(update={"timeout_seconds": seconds}), {OLD: 100}, "r-0001", 3)
    assert made["spec"]["rules"][0]["timeouts"] == {"request": written}


def test_the_service_that_callers_know_outlives_the_policy() -> None:
    made = stable_service(OWNER, OLD, labels("payments-api", OLD))
    assert "ownerReferences" not in made["metadata"]
    assert made["spec"]["ports"][0]["targetPort"] == 9000


def route(generation: int = 2, **statuses: str) -> dict[str, Any]:
    conditions = [
        {"type": kind, "status": status, "observedGeneration": 2, "reason": "R", "message": f"about {kind}"}
        for kind, status in statuses.items()
    ]
    return {
        "metadata": {"generation": generation},
        "spec": {"parentRefs": [{"name": "public"}]},
        "status": {"parents": [{"parentRef": {"name": "public"}, "conditions": conditions}]},
    }


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (route(Accepted="True", ResolvedRefs="True"), ""),
        (route(3, Accepted="True", ResolvedRefs="True"), "has not seen its latest change yet"),
        (route(Accepted="False", ResolvedRefs="True"), "gateway public: Accepted is False: about Accepted"),
        (route(Accepted="True", ResolvedRefs="False"), "ResolvedRefs is False: about ResolvedRefs"),
        (route(Accepted="True"), "does not say whether it is ResolvedRefs"),
        ({**route(), "status": {}}, "no gateway has taken it up yet"),
    ],
)
def test_a_route_counts_once_every_gateway_has_taken_it_up(found: dict[str, Any], why: str) -> None:
    assert why in refusal(found)
    assert bool(refusal(found)) == bool(why)
