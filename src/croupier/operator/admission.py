"""Rules at the door (ValidatingAdmissionPolicy): what bears a version's labels is what its gates have seen (S5.1).

The Services that players reach select pods by two labels, so whoever could make or change a pod with these labels would
ship around the gates. Three doors lead to such a pod, and each lets one hand through: a Deployment is made by the
operator, a ReplicaSet by the controller of Deployments, a pod by the controller of ReplicaSets. None of them ever
changes what its pods are. Scaling and annotating stay open, the operator puts back what matters of that; but nobody
else takes all pods of a version away, because players would fail until they are back.
"""

from __future__ import annotations

from croupier.core.render.version import DIGEST, POLICY_LABEL, VERSION_LABEL
from croupier.model.objects import JsonObject

_CONTROLLERS = "system:kube-controller-manager"
"""Who all controllers are where they have no accounts of their own."""


def admission(operator: str, labels: dict[str, str]) -> list[JsonObject]:
    """The rules and their bindings.

    Args:
        operator: user name of the operator's service account.
        labels: of the objects themselves.
    """
    sets = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments", "replicasets"]}
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
    scales = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments/scale", "replicasets/scale"]}
    bears = {"matchExpressions": [{"key": VERSION_LABEL, "operator": "Exists"}]}
    return [
        *_rules("croupier-versions-are-immutable", labels, sets, _of_sets(operator), condition=_IS_OF_A_VERSION),
        *_rules("croupier-pods-are-of-versions", labels, pods, _of_pods(), selector=bears),
        *_rules("croupier-versions-keep-pods", labels, scales, [_keeps_pods(operator)], condition=_SCALES_A_VERSION),
    ]


def _label(obj: str, name: str) -> str:
    """CEL: a label of an object, "" without it."""
    return f"{obj}.metadata.?labels[?'{name}'].orValue('')"


def _is_of_a_version(obj: str) -> str:
    """CEL: whether the object, or the pods it would make, bear a version's label."""
    template = f"{obj}.spec.?template.?metadata.?labels[?'{VERSION_LABEL}'].hasValue()"
    return f"{obj}.metadata.?labels[?'{VERSION_LABEL}'].hasValue() || {template}"


_IS_OF_A_VERSION = f"{_is_of_a_version('object')} || (oldObject != null && ({_is_of_a_version('oldObject')}))"


_SCALES_A_VERSION = f"object.?status.?selector.orValue('').contains('{VERSION_LABEL}=')"
"""A Scale has no labels of its own; its selector is in its status."""


def _keeps_pods(operator: str) -> tuple[str, str]:
    """CEL for what has ``spec.replicas``: the last pods are taken away by the operator and its controllers only.

    In a Scale 0 is left out; in Deployments and ReplicaSets the API server has filled in what is.
    """
    hands = (operator, _account("deployment-controller"), _account("horizontal-pod-autoscaler"), _CONTROLLERS)
    return (
        "request.operation != 'UPDATE' || object.spec.?replicas.orValue(0) > 0 || "
        f"oldObject.spec.?replicas.orValue(0) == 0 || request.userInfo.username in {list(hands)}",
        "a version is not scaled to zero by hand: players may be on it. Take a release back by kubectl croupier abort",
    )


def _of_sets(operator: str) -> list[tuple[str, str]]:
    """Deployments and ReplicaSets: (CEL, what people are told)."""
    controller = _account("deployment-controller")
    made_by_controller = f"request.userInfo.username in ['{controller}', '{_CONTROLLERS}']"
    is_deployment = "request.resource.resource == 'deployments'"
    kept = (POLICY_LABEL, VERSION_LABEL)
    return [
        (
            f"request.operation != 'CREATE' || ({is_deployment} ? request.userInfo.username == '{operator}' : "
            f"{made_by_controller})",
            "only croupier makes a version, and Kubernetes its ReplicaSet: change the Deployment that the "
            "ReleasePolicy names, and croupier releases it behind its gates",
        ),
        (
            "request.operation != 'UPDATE' || object.spec.template == oldObject.spec.template",
            "a version never changes: change the Deployment that the ReleasePolicy names, and "
            "croupier releases it behind its gates",
        ),
        (
            "request.operation != 'UPDATE' || ("
            + " && ".join(f"{_label('object', name)} == {_label('oldObject', name)}" for name in kept)
            + ")",
            "a version keeps its labels: they say which gates have seen it",
        ),
        (
            f"request.operation != 'UPDATE' || object.metadata.?annotations[?'{DIGEST}'] == "
            f"oldObject.metadata.?annotations[?'{DIGEST}']",
            "a version keeps its digest: it says which gates have seen it",
        ),
        _keeps_pods(operator),
    ]


def _of_pods() -> list[tuple[str, str]]:
    """Pods. A label may be taken away, to look at a pod that players no longer reach, and never be given."""
    controller = _account("replicaset-controller")
    owners = "object.metadata.?ownerReferences.orValue([])"
    images = [f"{{0}}.spec.{part}.map(each, each.image)" for part in ("containers", "?initContainers.orValue([])")]
    return [
        (
            f"request.operation != 'CREATE' || (request.userInfo.username in ['{controller}', '{_CONTROLLERS}'] && "
            f"{owners}.exists(each, each.kind == 'ReplicaSet' && each.?controller.orValue(false)))",
            "only the ReplicaSet of a version makes its pods",
        ),
        (
            "request.operation != 'UPDATE' || ("
            + " && ".join(
                f"{_label('object', name)} in ['', {_label('oldObject', name)}]"
                for name in (POLICY_LABEL, VERSION_LABEL)
            )
            + ")",
            "a version's labels cannot be given to a pod: players would reach what no gate has seen",
        ),
        (
            "request.operation != 'UPDATE' || ("
            + " && ".join(f"{each.format('object')} == {each.format('oldObject')}" for each in images)
            + ")",
            "the images of a version never change, in its pods neither",
        ),
    ]


def _account(controller: str) -> str:
    return f"system:serviceaccount:kube-system:{controller}"


def _rules(
    name: str,
    labels: dict[str, str],
    objects: JsonObject,
    validations: list[tuple[str, str]],
    *,
    selector: JsonObject | None = None,
    condition: str = "",
) -> list[JsonObject]:
    """One policy and its binding. ``selector``, ``condition``: which objects it is about; old or new counts."""
    kind = {"apiVersion": "admissionregistration.k8s.io/v1"}
    matched: JsonObject = {"resourceRules": [{**objects, "operations": ["CREATE", "UPDATE"]}]}
    spec: JsonObject = {
        "failurePolicy": "Fail",
        "matchConstraints": matched if selector is None else {**matched, "objectSelector": selector},
        "validations": [{"expression": expression, "message": message} for expression, message in validations],
    }
    if condition:
        spec["matchConditions"] = [{"name": "is-of-a-version", "expression": condition}]
    return [
        {**kind, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name, "labels": labels}, "spec": spec},
        {
            **kind,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name, "labels": labels},
            "spec": {"policyName": name, "validationActions": ["Deny"]},
        },
    ]
