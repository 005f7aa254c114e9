"""What ``render`` makes of the example that ``init`` writes, and what holds for every service of every platform."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import quick_yaml
from tests.support.platforms import EXAMPLE, described, example

from croupier.core.render.access import access
from croupier.core.render.cell import render
from croupier.core.render.version import config_map_names
from croupier.model.quantity import size
from croupier.model.release_policy import ReleasePolicySpec
from croupier.model.service_spec import People

GOLDEN = Path(__file__).parent / "golden"
RENDERED = render(described(EXAMPLE).cells)
OBJECTS: list[tuple[str, dict[str, Any]]] = [
    (name, each) for name, text in RENDERED.items() if name.endswith(".yaml") for each in quick_yaml.load_all(text)
]


def _of(kind: str) -> Iterator[dict[str, Any]]:
    return (each for _, each in OBJECTS if each["kind"] == kind)


def _name(each: dict[str, Any]) -> str:
    return f"{each['metadata']['namespace']}/{each['metadata']['name']}"


def test_the_example_renders_as_written_down() -> None:
    """After a change that is meant: ``python -m tests.unit.core.render.test_manifests``, and read the difference."""
    written = {path.relative_to(GOLDEN).as_posix(): path.read_text() for path in GOLDEN.rglob("*.*")}
    assert written == RENDERED


def test_the_same_platform_gives_the_same_bytes() -> None:
    assert render(reversed(described(EXAMPLE).cells)) == RENDERED


def test_no_two_objects_of_a_cluster_have_the_same_name() -> None:
    regions = {name.split("/")[1].partition("-")[2].partition("-")[2] for name in RENDERED if name.startswith("cells/")}
    for region in regions:
        here = [
            (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
            for name, each in OBJECTS
            if name.split("/")[1].endswith(region)
        ]
        assert len(set(here)) == len(here)


def test_intents_rest_and_only_they_say_a_number_of_pods() -> None:
    """DESIGN §7: Git holds the intent at zero; a scaler and a count never meet on what serves."""
    counts = {each["kind"]: each["spec"]["replicas"] for _, each in OBJECTS if "replicas" in each.get("spec", {})}
    assert set(counts) == {"Deployment", "ReleasePolicy"}
    assert {each["spec"]["replicas"] for each in _of("Deployment")} == {0}


@pytest.mark.parametrize("deployment", list(_of("Deployment")), ids=_name)
def test_every_pod_has_the_full_runtime_profile(deployment: dict[str, Any]) -> None:
    """S3.7, S3.9 to S3.12, S4.2, S13.4."""
    pod = deployment["spec"]["template"]["spec"]
    (app,) = pod["containers"]
    assert "@sha256:" in app["image"]
    assert app["securityContext"]["readOnlyRootFilesystem"] is True
    assert app["securityContext"]["allowPrivilegeEscalation"] is False
    assert app["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= app.keys()
    assert {"cpu", "memory"} == app["resources"]["requests"].keys()
    assert "memory" in app["resources"]["limits"]
    stop = app["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] > stop
    assert pod["priorityClassName"] in {each["metadata"]["name"] for each in _of("PriorityClass")}


def test_grace_covers_the_drain_and_the_slowest_provider() -> None:
    """payments-api drains for 20 s and its provider takes 8; wallet drains for 20."""
    grace = {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        for each in _of("Deployment")
    }
    assert grace == {"lobby": 25, "payments-api": 30, "wallet": 30}


def test_every_namespace_is_walled_in_both_directions() -> None:
    """S2.4: deny by default, in both directions, in every tenant namespace."""
    walls = {_name(each): each["spec"] for each in _of("NetworkPolicy")}
    for namespace in _of("Namespace"):
        labels, name = namespace["metadata"]["labels"], namespace["metadata"]["name"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
        assert walls[f"{name}/default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_only_who_declares_a_provider_reaches_its_gateway() -> None:
    """S2.5, S8.9, S14.10."""
    reach = {
        each["metadata"]["name"]
        for each in _of("NetworkPolicy")
        if {"namespaceSelector": {"matchLabels": {"svc": "psp-egress"}}} in _peers(each, "egress", "to")
    }
    assert reach == {"payments-api"}


def test_a_service_is_asked_by_who_depends_on_it_and_no_other() -> None:
    of_wallet = [each for each in _of("NetworkPolicy") if each["metadata"]["name"] == "wallet"]
    assert len(of_wallet) == 2
    for each in of_wallet:
        pods = [peer["podSelector"]["matchLabels"] for peer in _peers(each, "ingress", "from") if "podSelector" in peer]
        assert pods == [{"app.kubernetes.io/name": name} for name in ("lobby", "payments-api")]


def _peers(policy: dict[str, Any], direction: str, key: str) -> list[dict[str, Any]]:
    return [peer for rule in policy["spec"].get(direction, ()) for peer in rule[key]]


def test_policies_are_what_the_operator_takes() -> None:
    """The operator reads a policy by the same model, and an internal service has no route to weigh."""
    read = {}
    for each in _of("ReleasePolicy"):
        spec = ReleasePolicySpec.model_validate_json(json.dumps(each["spec"]), strict=True)
        read[_name(each)] = spec
        assert (spec.route is None) == (spec.strategy.steps == (100,))
    assert read["lucky-se/wallet"].route is None
    assert (read["lucky-mt/payments-api"].replicas, read["lucky-se/payments-api"].replicas) == (6, 8)  # of the scaler


def test_pods_name_the_configuration_that_is_there_and_a_change_renames_it() -> None:
    """S12.2, S12.3."""
    there = {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in _of("ConfigMap")}
    named = {
        (each["metadata"]["namespace"], name)
        for each in _of("Deployment")
        for name in config_map_names(each["spec"]["template"])
    }
    assert named == there
    assert all(each["immutable"] for each in _of("ConfigMap"))
    of_payments = {name for _, name in there if name.startswith("payments-api")}
    assert len(of_payments) == 2  # one market has another configuration


def test_a_quota_holds_two_versions_of_everything_at_the_highest_load() -> None:
    """S1.4, S13.4. lobby 2 pods of 100m, payments-api 60 of 300m, wallet 3 of 100m; a release keeps both versions."""
    (quota,) = (each["spec"]["hard"] for each in _of("ResourceQuota") if each["metadata"]["namespace"] == "lucky-mt")
    assert quota["pods"] == str(2 * (2 + 60 + 3))
    assert quota["requests.cpu"] == f"{2 * (2 * 100 + 60 * 300 + 3 * 100)}m"
    assert quota["requests.memory"] == f"{2 * (2 * 128 + 60 * 512 + 3 * 128)}Mi"
    assert quota["limits.memory"] == f"{2 * (2 * 128 + 60 * 1024 + 3 * 128)}Mi"


def test_no_container_is_larger_than_its_namespace_lets_it_be() -> None:
    largest = {
        each["metadata"]["namespace"]: size(each["spec"]["limits"][0]["max"]["memory"]) for each in _of("LimitRange")
    }
    for each in _of("Deployment"):
        (app,) = each["spec"]["template"]["spec"]["containers"]
        assert size(app["resources"]["limits"]["memory"]) <= largest[each["metadata"]["namespace"]]


def test_people_may_look_and_releasers_may_steer_and_nobody_may_write() -> None:
    """S1.3, S5.1: the desired state lives in Git; a person who could patch a policy could loosen its gates."""
    verbs = {
        (each["metadata"]["name"], resource): set(rule["verbs"])
        for each in _of("Role")
        for rule in each["rules"]
        for resource in rule["resources"]
    }
    look = {"get", "list", "watch"}
    assert verbs == {
        ("release-reader", "releasecalendars"): look,
        ("release-reader", "releasepolicies"): look,
        ("release-reader", "releases"): look,
        ("releaser", "releases"): {"patch"},
    }
    bound = {
        (each["metadata"]["name"], each["roleRef"]["name"]): {subject["name"] for subject in each["subjects"]}
        for each in _of("RoleBinding")
    }
    assert bound == {
        ("reader", "view"): {"support", "lucky-releases"},
        ("release-reader", "release-reader"): {"support", "lucky-releases"},
        ("releaser", "releaser"): {"lucky-releases"},
    }


def test_the_team_of_a_service_has_rights_where_the_service_runs_and_nowhere_else() -> None:
    """S1.3: per team and market, by layers: here lobby's in one cell; and those of the brand keep theirs."""
    here, other = example()
    team = People(readers=("lobby", "support"), releasers=("lobby-releases",))
    services = tuple(
        each.model_copy(update={"people": team}) if each.name == "lobby" else each for each in here.services
    )
    bound = {
        placed.cell.name: {
            each["metadata"]["name"]: [subject["name"] for subject in each["subjects"]]
            for each in access(placed)
            if each["kind"] == "RoleBinding"
        }
        for placed in (here.model_copy(update={"services": services}), other)
    }
    lookers = ["lobby", "lobby-releases", "lucky-releases", "support"]
    assert bound == {
        here.cell.name: {
            "reader": lookers,
            "release-reader": lookers,
            "releaser": ["lobby-releases", "lucky-releases"],
        },
        other.cell.name: {
            "reader": ["lucky-releases", "support"],
            "release-reader": ["lucky-releases", "support"],
            "releaser": ["lucky-releases"],
        },
    }


if __name__ == "__main__":
    for name, text in RENDERED.items():
        path = GOLDEN / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
