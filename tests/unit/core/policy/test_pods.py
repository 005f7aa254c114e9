"""Pods are seen wherever their template stands, with all their containers."""

from __future__ import annotations

import pytest

from croupier.core.policy.catalogue import RULES
from croupier.core.policy.check import check
from croupier.core.policy.fingerprint import fingerprint, written
from croupier.spec.manifests import read_text

ONE = "{name: app, image: x, securityContext: {privileged: true}}"
SPEC = f"{{containers: [{ONE}]}}"
OWNERS = {
    "v1/Pod": "spec: SPEC",
    "v1/PodTemplate": "template: {spec: SPEC}",
    "v1/ReplicationController": "spec: {template: {spec: SPEC}}",
    "apps/v1/Deployment": "spec: {template: {spec: SPEC}}",
    "apps/v1/StatefulSet": "spec: {template: {spec: SPEC}}",
    "apps/v1/DaemonSet": "spec: {template: {spec: SPEC}}",
    "apps/v1/ReplicaSet": "spec: {template: {spec: SPEC}}",
    "batch/v1/Job": "spec: {template: {spec: SPEC}}",
    "batch/v1/CronJob": "spec: {jobTemplate: {spec: {template: {spec: SPEC}}}}",
    "apps.openshift.io/v1/DeploymentConfig": "spec: {template: {spec: SPEC}}",
    "argoproj.io/v1alpha1/Rollout": "spec: {template: {spec: SPEC}}",
    "apps.kruise.io/v1alpha1/CloneSet": "spec: {template: {spec: SPEC}}",
    "serving.knative.dev/v1/Service": "spec: {template: {spec: SPEC}}",
    "keda.sh/v1alpha1/ScaledJob": "spec: {jobTargetRef: {template: {spec: SPEC}}}",
    "elasticsearch.k8s.elastic.co/v1/Elasticsearch": "spec: {nodeSets: [{podTemplate: {spec: SPEC}}]}",
    "argoproj.io/v1alpha1/Workflow": "spec: {templates: [{container: {image: x, securityContext: {privileged: yes}}}]}",
    "argoproj.io/v1alpha1/WorkflowTemplate": "spec: {templates: [{script: ONE}]}",
    "argoproj.io/v1alpha1/CronWorkflow": "spec: {workflowSpec: {templates: [{script: {image: x}, sidecars: [ONE]}]}}",
    "argoproj.io/v1alpha1/ClusterWorkflowTemplate": "spec: {templates: [{initContainers: [{name: a, image: x}],"
    " containerSet: {containers: [ONE]}}]}",
    "tekton.dev/v1/Task": "spec: {steps: [ONE]}",
    "tekton.dev/v1beta1/Task": "spec: {steps: [{image: x}], sidecars: [ONE]}",
    "tekton.dev/v1/Pipeline": "spec: {tasks: [{taskSpec: {steps: [ONE]}}]}",
    "monitoring.coreos.com/v1/Prometheus": "spec: SPEC",
    "monitoring.coreos.com/v1/Alertmanager": "spec: {initContainers: [ONE]}",
    "example.dev/v1/Service": "spec: {template: {spec: SPEC}}",
    "example.dev/v1/Gateway": "spec: {deployment: {podTemplate: {spec: SPEC}}}",
    "example.dev/v1/Deployment": "spec: {template: {metadata: {name: a}, pod: SPEC}}",
    "example.dev/v1/Deepest": "spec: " + "{a: " * 60 + "SPEC" + "}" * 60,
    "example.dev/v1/Anything": "spec: {deep: [{er: {podSpec: SPEC}}]}",
}


@pytest.mark.parametrize("owner", OWNERS)
def test_a_pod_is_seen_in(owner: str) -> None:
    version, _, kind = owner.rpartition("/")
    text = f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n{OWNERS[owner]}\n"
    text = text.replace("SPEC", SPEC).replace("ONE", ONE)
    (found,) = check(read_text(text, "f").manifests, [RULES["privileged"]])
    assert found.path[-2:] == ("securityContext", "privileged")


@pytest.mark.parametrize(
    ("key", "more"), [("containers", ""), ("initContainers", ""), ("initContainers", ", restartPolicy: Always"),
                      ("ephemeralContainers", "")]
)  # fmt: skip
def test_every_container_of_a_pod_is_seen(key: str, more: str) -> None:
    pod = f"{{{key}: [{{name: a, image: x, securityContext: {{privileged: true}}{more}}}]}}"
    text = f"apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {pod}\n"
    assert len(check(read_text(text, "f").manifests, [RULES["privileged"]])) == 1


def test_a_container_without_a_name_is_called_by_its_place() -> None:
    text = "apiVersion: v1\nkind: Pod\nspec: {containers: [{name: app, image: a}, {image: b}]}\n"
    rules = [RULES[rule] for rule in ("readiness-probe", "memory-limits")]
    found = {each.message.partition(" has ")[0] for each in check(read_text(text, "f").manifests, rules)}
    assert found == {"container app", "container 1"}


def test_steps_that_are_no_containers_are_no_pod() -> None:
    text = "apiVersion: example.dev/v1\nkind: Flow\nmetadata: {name: a}\nspec: {steps: [{name: a, run: make}]}\n"
    assert check(read_text(text, "f").manifests, [RULES["run-as-non-root"]]) == []


def test_a_node_is_seen_through_what_has_init_containers_only() -> None:
    """Prevents: hostNetwork passes, since nothing but initContainers tells that there are pods."""
    text = (
        "apiVersion: monitoring.coreos.com/v1\nkind: Prometheus\nmetadata: {name: a}\nspec: {hostNetwork: true, "
        "initContainers: [{name: a, image: x}], volumes: [{name: n, hostPath: {path: /}}]}\n"
    )
    found = check(read_text(text, "f").manifests, [RULES["host-namespaces"], RULES["host-path"]])
    assert [each.rule.id for each in found] == ["host-namespaces", "host-path"]


def test_the_schema_of_a_custom_resource_is_no_pod() -> None:
    text = (
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: a}\n"
        "spec: {versions: [{schema: {openAPIV3Schema: {properties: {containers: {type: array}}}}}]}\n"
    )
    assert check(read_text(text, "f").manifests, list(RULES.values())) == []


@pytest.mark.parametrize("value", ["null", "3", "[]", "[3]", "{}", "text", "[[]]", "{a: {b: c}}"])
@pytest.mark.parametrize(
    "field",
    [
        "metadata", "metadata.labels", "metadata.annotations", "spec", "spec.replicas", "spec.template",
        "spec.template.spec",
        "spec.template.metadata", "spec.selector", "spec.template.spec.containers", "spec.template.spec.volumes",
        "spec.template.spec.securityContext", "spec.strategy",
    ],
)  # fmt: skip
def test_wrong_types_break_no_rule(field: str, value: str) -> None:
    *parents, last = field.split(".")
    body = "".join(f"{'  ' * depth}{key}:\n" for depth, key in enumerate(parents))
    text = f"apiVersion: apps/v1\nkind: Deployment\n{body}{'  ' * len(parents)}{last}: {value}\n"
    check(read_text(text, "f").manifests, list(RULES.values()))


def test_a_fingerprint_outlives_lines_and_order() -> None:
    one = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a}, {name: b}]}\n"
    (first,) = read_text(one, "f").manifests
    (second,) = read_text("# moved\n\n" + one.replace("{name: a}, {name: b}", "{name: b}, {name: a}"), "f").manifests
    place = ("spec", "containers", 0, "image")
    assert fingerprint("r", first, place) == fingerprint("r", second, ("spec", "containers", 1, "image"))
    assert fingerprint("r", first, place) != fingerprint("r", second, place)
    assert fingerprint("r", first, place) != fingerprint("s", first, place)


def test_a_path_is_written_as_people_write_it() -> None:
    assert written(("metadata", "annotations", "a.b/c")) == "metadata.annotations[a.b/c]"
    assert written(("spec", "containers", 0, "image")) == "spec.containers[0].image"
