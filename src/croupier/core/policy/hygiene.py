"""Names, labels, versions and references that every manifest should get right (S1.4, S15.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from croupier.core.policy.objects import SEVERAL, TEMPLATE_AT, Object, at, mapping, text
from croupier.core.policy.rule import Hit, Level, object_rule
from croupier.core.policy.selectors import matches
from croupier.core.policy.served import removed_since

OWNED_BY_NOBODY = frozenset(
    (
        "Namespace", "Node", "PersistentVolume", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition",
        "StorageClass", "PriorityClass", "IngressClass", "ValidatingWebhookConfiguration", "APIService",
        "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "RuntimeClass",
        "GatewayClass", "ClusterIssuer", "ClusterSecretStore", "SecurityContextConstraints", "CSIDriver", "FlowSchema",
        "ClusterPolicy", "PriorityLevelConfiguration", "VolumeSnapshotClass",
    )
)  # fmt: skip
EMAIL = re.compile(r"[^@\s]@[^@\s]+\.[^@\s]")
POD = "{apiVersion: v1, kind: Pod, metadata: {name: bets%s}, spec: {containers: [{name: app}]}}"


@object_rule(
    "default-namespace", "Nothing lives in the namespace default", level=Level.ERROR, source="S1.4, S2.2",
    why="There no policy, quota or grant is about one brand or market.",
    fix="Give the object a namespace.", bad=POD % ", namespace: default", good=POD % ", namespace: casino",
)  # fmt: skip
def default_namespace(each: Object) -> Iterator[Hit]:
    if each.namespace == "default":
        yield Hit(("metadata", "namespace"), f"{each.manifest.name} is in the namespace default")


@object_rule(
    "namespace-named", "Every manifest says where it belongs", level=Level.NOTE, source="S1.4, S2.2",
    why="Without a namespace it lands wherever kubectl happens to point.",
    fix="Set metadata.namespace, unless what applies it does.", bad=POD % "", good=POD % ", namespace: casino",
    usual=False,
)  # fmt: skip
def namespace_named(each: Object) -> Iterator[Hit]:
    if each.namespace in ("", "default") and each.kind not in OWNED_BY_NOBODY:
        yield Hit(("metadata",), "the namespace is not named")


@object_rule(
    "required-labels", "What runs bears the labels that people agreed on", level=Level.WARNING, source="S15.9",
    why="At night somebody has to find whose it is.", fix="Add the label.",
    bad=POD % "", good=POD % ", labels: {owner: payments}",
)  # fmt: skip
def required_labels(each: Object) -> Iterator[Hit]:
    for key in each.settings.labels if _is_asked(each) else ():
        if not each.labels.get(key):
            yield Hit(("metadata", "labels"), f"the label {key} is not there")


def _is_asked(each: Object) -> bool:
    """Whether people wrote it, and it runs: a pod that a controller made bears what the template does, and no more."""
    return (bool(each.pods) or each.kind in TEMPLATE_AT) and not any(pod.is_made for pod in each.pods)


@object_rule(
    "owner-mail", "What runs says whom to write to", level=Level.NOTE, source="S15.9",
    why="At night somebody has to find whose it is.", fix="Add the annotation email.", usual=False,
    bad=POD % "", good=POD % ", annotations: {email: payments@casino.example}",
)  # fmt: skip
def owner_mail(each: Object) -> Iterator[Hit]:
    if _is_asked(each) and not EMAIL.search(text(each.annotations.get("email"))):
        yield Hit(("metadata", "annotations"), "no annotation email with an address")


@object_rule(
    "removed-api", "Every object is of a version that is still served", level=Level.ERROR, source="S15.2",
    why="The API server refuses it, on the day of the upgrade.", fix="Use the version that is served.",
    bad="{apiVersion: batch/v1beta1, kind: CronJob, metadata: {name: a}}",
    good="{apiVersion: batch/v1, kind: CronJob, metadata: {name: a}}",
)  # fmt: skip
def removed_api(each: Object) -> Iterator[Hit]:
    version, settings = text(each.value.get("apiVersion")), each.settings
    since = removed_since(version, each.kind, settings.kubernetes)
    if since is not None:
        others = settings.schemas.served_as(each.kind) if settings.schemas is not None else []
        instead = f"; it is in {', '.join(others)}" if others else ""
        yield Hit(("apiVersion",), f"{version} {each.kind} is no longer served since v{since}{instead}")


@object_rule(
    "selector", "A controller selects the pods it makes", level=Level.ERROR, source="S15.2",
    kinds=(*sorted(SEVERAL), "DaemonSet"),
    why="The API server refuses it.", fix="Let selector.matchLabels and the labels of the template agree.",
    bad="""
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: bets}
        spec: {selector: {matchLabels: {app: bets}}, template: {metadata: {labels: {app: bet}}, spec: {containers:
        [{}]}}} """,
    good="""
        apiVersion: apps/v1
        kind: Deployment
        metadata: {name: bets}
        spec: {selector: {matchLabels: {app: bets}}, template: {metadata: {labels: {app: bets}}, spec: {containers:
        [{}]}}} """,
)  # fmt: skip
def selector(each: Object) -> Iterator[Hit]:
    wanted = each.spec.get("selector")
    if each.kind in ("ReplicationController", "DeploymentConfig"):
        wanted = {"matchLabels": wanted} if wanted else None
    if each.group == "argoproj.io" and wanted is None:
        return
    labels = mapping(at(each.spec, "template", "metadata", "labels"))
    if wanted is not None and not matches(wanted, labels):
        yield Hit(("spec", "selector"), "does not select the labels of its template")


@object_rule(
    "instance-label", "The label of the instance is the object's name", level=Level.NOTE, source="S15.2",
    why="Dashboards and policies that go by the label miss it otherwise.",
    fix="Set app.kubernetes.io/instance to metadata.name.", usual=False,
    bad=POD % ", labels: {app.kubernetes.io/instance: other}",
    good=POD % ", labels: {app.kubernetes.io/instance: bets}",
)  # fmt: skip
def instance_label(each: Object) -> Iterator[Hit]:
    if each.pods and not each.pods[0].is_made and each.labels.get("app.kubernetes.io/instance") != each.name:
        yield Hit(("metadata", "labels"), "app.kubernetes.io/instance is not the name of the object")


@object_rule(
    "pod-security-label", "A namespace asks for a Pod Security Standard", level=Level.WARNING, source="S1.4, S10.1",
    why="Without it the API server lets any pod in, whatever was checked before.",
    fix="Label it pod-security.kubernetes.io/enforce: restricted.", kinds=("Namespace",),
    bad="{apiVersion: v1, kind: Namespace, metadata: {name: casino}}",
    good="{apiVersion: v1, kind: Namespace, metadata: {name: casino, "
    "labels: {pod-security.kubernetes.io/enforce: restricted}}}",
)  # fmt: skip
def pod_security_label(each: Object) -> Iterator[Hit]:
    if each.labels.get("pod-security.kubernetes.io/enforce") not in ("baseline", "restricted"):
        yield Hit(("metadata", "labels"), "no Pod Security Standard is enforced")


RULES = (
    default_namespace, namespace_named, required_labels, owner_mail, removed_api, selector, instance_label,
    pod_security_label,
)  # fmt: skip
