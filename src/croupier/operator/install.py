"""What a cluster needs for croupier: custom resources, the operator and the least it may do, and rules at the door.

``croupier operator manifests`` prints all of it.
"""

from __future__ import annotations

from croupier.model.objects import JsonObject
from croupier.model.release_policy import GROUP
from croupier.operator.admission import admission
from croupier.operator.crds import custom_resources

NAME = "croupier"
_LABELS = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": "operator"}
_UID = 65532


def manifests(*, image: str, namespace: str, pull_policy: str = "IfNotPresent") -> list[JsonObject]:
    """All objects, in the order to be applied.

    Args:
        image: of croupier, by digest in production.
        namespace: where the operator runs.
        pull_policy: of the image.
    """
    return [
        *custom_resources(),
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        },
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": NAME, "namespace": namespace, "labels": _LABELS},
        },
        _cluster_role(),
        _binding("ClusterRoleBinding", "ClusterRole", NAME, namespace, None),
        _lease_role(namespace),
        _binding("RoleBinding", "Role", f"{NAME}-lease", namespace, namespace),
        *admission(f"system:serviceaccount:{namespace}:{NAME}", _LABELS),
        _volume_claim(namespace),
        _deployment(image, namespace, pull_policy),
    ]


def _cluster_role() -> JsonObject:
    """The least that works: tested by running with it."""

    def rule(groups: list[str], resources: list[str], *verbs: str) -> JsonObject:
        return {"apiGroups": groups, "resources": resources, "verbs": list(verbs)}

    watch = ("get", "list", "watch")
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": NAME, "labels": _LABELS},
        "rules": [
            rule([GROUP], ["releasepolicies", "releasecalendars"], *watch),
            rule([GROUP], ["releases"], *watch, "create", "patch", "delete"),
            rule([GROUP], ["releasepolicies/status", "releases/status"], "patch"),
            # For owner references that block their owner's deletion.
            rule([GROUP], ["releasepolicies/finalizers"], "update"),
            rule(["apps"], ["deployments"], *watch, "create", "patch", "delete"),
            rule([""], ["pods"], *watch),
            # Deleted are those of versions that are gone.
            rule([""], ["services", "configmaps"], *watch, "create", "patch", "delete"),
            rule(["autoscaling"], ["horizontalpodautoscalers"], *watch, "create", "patch", "delete"),
            # Deleted are those of a spec.route that was taken away, and of versions that are gone.
            rule(
                ["gateway.networking.k8s.io"],
                ["httproutes", "backendtlspolicies"],
                *watch,
                *("create", "patch", "delete"),
            ),
            # Copies for versions of what Git holds for the Service.
            rule(["networking.istio.io"], ["destinationrules"], *watch, "create", "patch", "delete"),
            rule(["events.k8s.io"], ["events"], "create", "patch"),
        ],
    }


def _lease_role(namespace: str) -> JsonObject:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": f"{NAME}-lease", "namespace": namespace, "labels": _LABELS},
        "rules": [
            {
                "apiGroups": ["coordination.k8s.io"],
                "resources": ["leases"],
                "verbs": ["get", "create", "update"],
            }
        ],
    }


def _binding(kind: str, role_kind: str, role: str, namespace: str, place: str | None) -> JsonObject:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": role, "labels": _LABELS, **({"namespace": place} if place else {})},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}],
    }


def _volume_claim(namespace: str) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": f"{NAME}-journal", "namespace": namespace, "labels": _LABELS},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "5Gi"}}},
    }


def _deployment(image: str, namespace: str, pull_policy: str) -> JsonObject:
    container = {
        "name": "operator",
        "image": image,
        "imagePullPolicy": pull_policy,
        "args": ["operator", "run", "--in-cluster", "--state=/var/lib/croupier"],
        "env": [{"name": "CROUPIER_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": "100m", "memory": "192Mi"}, "limits": {"memory": "512Mi"}},
        "volumeMounts": [
            {"name": "journal", "mountPath": "/var/lib/croupier"},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": namespace, "labels": _LABELS},
        "spec": {
            # One writer of one journal: the old pod is gone before the new one starts, and the lease makes sure of it.
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": _LABELS},
            "template": {
                "metadata": {"labels": _LABELS},
                "spec": {
                    "serviceAccountName": NAME,
                    "terminationGracePeriodSeconds": 20,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": _UID,
                        "runAsGroup": _UID,
                        "fsGroup": _UID,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [container],
                    "volumes": [
                        {"name": "journal", "persistentVolumeClaim": {"claimName": f"{NAME}-journal"}},
                        {"name": "tmp", "emptyDir": {}},
                    ],
                },
            },
        },
    }
