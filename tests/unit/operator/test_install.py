"""What is installed: the least that works, and rules at the door (S5.1)."""

from __future__ import annotations

from typing import Any

import yaml
from tests.support import quick_yaml

from croupier.operator.install import manifests

FOUND = manifests(image="registry.example/croupier@sha256:" + "a" * 64, namespace="croupier")


def of_kind(kind: str) -> dict[str, Any]:
    (found,) = [each for each in FOUND if each["kind"] == kind]
    return found


def test_the_operator_may_do_what_it_does_and_no_more() -> None:
    may = {
        (group, resource): set(rule["verbs"])
        for rule in of_kind("ClusterRole")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert not any("*" in verbs or "*" in key for key, verbs in may.items())
    watched = {"get", "list", "watch"}
    assert may["croupier.dev", "releasepolicies"] == watched, "Git owns the policy"
    assert may["croupier.dev", "releasecalendars"] == watched
    assert may["", "pods"] == watched
    assert ("", "secrets") not in may
    for routed in ("httproutes", "backendtlspolicies"):
        assert may["gateway.networking.k8s.io", routed] == {*watched, "create", "patch", "delete"}
    assert may["networking.istio.io", "destinationrules"] == {*watched, "create", "patch", "delete"}
    assert {"create", "patch", "delete"} <= may["", "services"] & may["", "configmaps"] & may["apps", "deployments"]


def test_the_operator_runs_restricted_once_on_a_volume() -> None:
    spec = of_kind("Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {mount["name"] for mount in container["volumeMounts"]} <= {volume["name"] for volume in pod["volumes"]}


def test_what_bears_the_labels_of_a_version_is_made_by_its_own_controllers_only() -> None:
    """All doors are shut. They are tried on a real API server (tests/kube/test_doors.py)."""
    policies = [each for each in FOUND if each["kind"] == "ValidatingAdmissionPolicy"]
    bindings = [each for each in FOUND if each["kind"] == "ValidatingAdmissionPolicyBinding"]
    resources = {
        resource
        for each in policies
        for rule in each["spec"]["matchConstraints"]["resourceRules"]
        for resource in rule["resources"]
        if rule["operations"] == ["CREATE", "UPDATE"]
    }
    assert resources == {"deployments", "replicasets", "pods", "deployments/scale", "replicasets/scale"}
    assert all(each["spec"]["failurePolicy"] == "Fail" for each in policies)
    assert [each["spec"] for each in bindings] == [
        {"policyName": each["metadata"]["name"], "validationActions": ["Deny"]} for each in policies
    ]
    text = yaml.safe_dump_all(policies, width=10_000)
    account = of_kind("ServiceAccount")["metadata"]
    assert f"system:serviceaccount:{account['namespace']}:{account['name']}'" in text


def test_what_is_named_exists_and_all_of_it_is_plain_yaml() -> None:
    assert list(quick_yaml.load_all(yaml.safe_dump_all(FOUND, sort_keys=False))) == FOUND
    account = of_kind("ServiceAccount")["metadata"]
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        (subject,) = of_kind(kind)["subjects"]
        assert (subject["name"], subject["namespace"]) == (account["name"], account["namespace"])
