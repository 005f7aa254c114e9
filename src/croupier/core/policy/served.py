"""Which versions of Kubernetes no longer serve an object of an ``apiVersion`` and kind.

Facts from ``zz_generated.prerelease-lifecycle.go`` of the modules k8s.io/api v0.19 to v0.37, from what the OpenAPI of
one version has and that of the next has not, and, for custom resource definitions and API services, from the
deprecation guide on kubernetes.io.
"""

from __future__ import annotations

from collections.abc import Mapping

from croupier.model.schemas import Kind

_REMOVED: Mapping[str, Mapping[str, str]] = {
    "1.16": {
        "apps/v1beta1": "ControllerRevision Deployment StatefulSet",
        "apps/v1beta2": "ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet",
        "extensions/v1beta1": "DaemonSet Deployment NetworkPolicy PodSecurityPolicy ReplicaSet",
    },
    "1.21": {"flowcontrol.apiserver.k8s.io/v1alpha1": "FlowSchema PriorityLevelConfiguration"},
    "1.22": {
        "admissionregistration.k8s.io/v1beta1": "MutatingWebhookConfiguration ValidatingWebhookConfiguration",
        "apiextensions.k8s.io/v1beta1": "CustomResourceDefinition",
        "apiregistration.k8s.io/v1beta1": "APIService",
        "certificates.k8s.io/v1beta1": "CertificateSigningRequest",
        "coordination.k8s.io/v1beta1": "Lease",
        "extensions/v1beta1": "Ingress",
        "networking.k8s.io/v1beta1": "Ingress IngressClass",
        "rbac.authorization.k8s.io/v1beta1": "ClusterRole ClusterRoleBinding Role RoleBinding",
        "scheduling.k8s.io/v1beta1": "PriorityClass",
        "storage.k8s.io/v1beta1": "CSIDriver CSINode StorageClass VolumeAttachment",
    },
    "1.24": {"storage.k8s.io/v1alpha1": "CSIStorageCapacity VolumeAttachment"},
    "1.25": {
        "autoscaling/v2beta1": "HorizontalPodAutoscaler",
        "batch/v1beta1": "CronJob",
        "discovery.k8s.io/v1beta1": "EndpointSlice",
        "events.k8s.io/v1beta1": "Event",
        "node.k8s.io/v1beta1": "RuntimeClass",
        "policy/v1beta1": "PodDisruptionBudget PodSecurityPolicy",
    },
    "1.26": {
        "autoscaling/v2beta2": "HorizontalPodAutoscaler",
        "flowcontrol.apiserver.k8s.io/v1beta1": "FlowSchema PriorityLevelConfiguration",
    },
    "1.27": {"storage.k8s.io/v1beta1": "CSIStorageCapacity"},
    "1.29": {"flowcontrol.apiserver.k8s.io/v1beta2": "FlowSchema PriorityLevelConfiguration"},
    "1.31": {"networking.k8s.io/v1alpha1": "ClusterCIDR"},
    "1.32": {
        "admissionregistration.k8s.io/v1alpha1": "ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding",
        "flowcontrol.apiserver.k8s.io/v1beta3": "FlowSchema PriorityLevelConfiguration",
    },
    "1.33": {"networking.k8s.io/v1alpha1": "IPAddress ServiceCIDR"},
    "1.34": {"admissionregistration.k8s.io/v1beta1": "ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding"},
    "1.35": {"storage.k8s.io/v1alpha1": "VolumeAttributesClass"},
    "1.36": {
        "scheduling.k8s.io/v1alpha1": "Workload",
        "storagemigration.k8s.io/v1alpha1": "StorageVersionMigration",
    },
    "1.37": {
        "certificates.k8s.io/v1alpha1": "ClusterTrustBundle",
        "networking.k8s.io/v1beta1": "IPAddress ServiceCIDR",
        "resource.k8s.io/v1alpha3": "DeviceClass ResourceClaim ResourceClaimTemplate ResourceSlice",
        "scheduling.k8s.io/v1alpha2": "PodGroup Workload",
        "storage.k8s.io/v1beta1": "VolumeAttributesClass",
    },
}
"""Version -> ``apiVersion`` -> the kinds it serves no longer."""
_SINCE: Mapping[Kind, str] = {
    (version, kind): since
    for since, versions in _REMOVED.items()
    for version, kinds in versions.items()
    for kind in kinds.split()
}
_GONE_GROUPS = {"extensions": "1.22"}
"""Groups of which nothing is left."""


def removed_since(version: str, kind: str, kubernetes: str) -> str | None:
    """The version from which on ``kind`` is no longer served as ``version``, if that is ``kubernetes`` or before it."""
    since = _SINCE.get((version, kind)) or _GONE_GROUPS.get(version.partition("/")[0])
    return since if since is not None and _ordered(since) <= _ordered(kubernetes) else None


def _ordered(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
