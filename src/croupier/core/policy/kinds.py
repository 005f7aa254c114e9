"""What the API server calls the kinds that rules ask about: policies and webhooks are told resources, not kinds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Resource:
    """What the API server calls a kind. ``versions``: those that rules can read, newest first."""

    group: str
    plural: str
    kind: str
    versions: tuple[str, ...] = ("v1",)

    @property
    def is_custom(self) -> bool:
        """Whether no API server knows it before somebody installs its definition."""
        return "." in self.group and (not self.group.endswith(".k8s.io") or self.group.startswith("gateway."))


PODS = (
    Resource("", "pods", "Pod"),
    Resource("", "replicationcontrollers", "ReplicationController"),
    Resource("apps", "daemonsets", "DaemonSet"),
    Resource("apps", "deployments", "Deployment"),
    Resource("apps", "replicasets", "ReplicaSet"),
    Resource("apps", "statefulsets", "StatefulSet"),
    Resource("batch", "cronjobs", "CronJob"),
    Resource("batch", "jobs", "Job"),
)
"""Pods and the built-in kinds that make them."""
MORE_PODS = (
    Resource("", "podtemplates", "PodTemplate"),
    Resource("apps.kruise.io", "clonesets", "CloneSet", ("v1alpha1",)),
    Resource("apps.openshift.io", "deploymentconfigs", "DeploymentConfig"),
    Resource("argoproj.io", "rollouts", "Rollout", ("v1alpha1",)),
    Resource("keda.sh", "scaledjobs", "ScaledJob", ("v1alpha1",)),
    Resource("serving.knative.dev", "configurations", "Configuration"),
    Resource("serving.knative.dev", "services", "Service"),
)
"""Other kinds that hold the template of a pod at a known place."""
_ISTIO = ("v1", "v1beta1", "v1alpha3")
OTHERS = (
    Resource("", "configmaps", "ConfigMap"),
    Resource("", "namespaces", "Namespace"),
    Resource("", "persistentvolumeclaims", "PersistentVolumeClaim"),
    Resource("", "services", "Service"),
    Resource("acid.zalan.do", "postgresqls", "postgresql"),
    Resource("argoproj.io", "analysistemplates", "AnalysisTemplate", ("v1alpha1",)),
    Resource("argoproj.io", "clusteranalysistemplates", "ClusterAnalysisTemplate", ("v1alpha1",)),
    Resource("autoscaling", "horizontalpodautoscalers", "HorizontalPodAutoscaler", ("v2", "v1")),
    Resource("croupier.dev", "releasepolicies", "ReleasePolicy", ("v1alpha1",)),
    Resource("external-secrets.io", "externalsecrets", "ExternalSecret", ("v1", "v1beta1")),
    Resource("flagger.app", "canaries", "Canary", ("v1beta1",)),
    Resource("gateway.networking.k8s.io", "grpcroutes", "GRPCRoute"),
    Resource("gateway.networking.k8s.io", "httproutes", "HTTPRoute", ("v1", "v1beta1")),
    Resource("http.keda.sh", "httpscaledobjects", "HTTPScaledObject", ("v1alpha1",)),
    Resource("kafka.strimzi.io", "kafkas", "Kafka", ("v1", "v1beta2")),
    Resource("kafka.strimzi.io", "kafkatopics", "KafkaTopic", ("v1", "v1beta2")),
    Resource("keda.sh", "scaledobjects", "ScaledObject", ("v1alpha1",)),
    Resource("networking.istio.io", "destinationrules", "DestinationRule", _ISTIO),
    Resource("networking.istio.io", "virtualservices", "VirtualService", _ISTIO),
    Resource("networking.k8s.io", "ingresses", "Ingress"),
    Resource("networking.k8s.io", "networkpolicies", "NetworkPolicy"),
    Resource("policy", "poddisruptionbudgets", "PodDisruptionBudget"),
    Resource("postgres-operator.crunchydata.com", "postgresclusters", "PostgresCluster", ("v1", "v1beta1")),
    Resource("postgresql.cnpg.io", "clusters", "Cluster"),
    Resource("rbac.authorization.k8s.io", "clusterroles", "ClusterRole"),
    Resource("rbac.authorization.k8s.io", "roles", "Role"),
    Resource("security.istio.io", "authorizationpolicies", "AuthorizationPolicy", ("v1", "v1beta1")),
    Resource("security.istio.io", "peerauthentications", "PeerAuthentication", ("v1", "v1beta1")),
    Resource("security.openshift.io", "securitycontextconstraints", "SecurityContextConstraints"),
)
"""Kinds beside those of pods that a rule asks about."""
ALL = (*PODS, *MORE_PODS, *OTHERS)
OF_KIND: Mapping[str, Resource] = {each.kind: each for each in ALL}
"""Kind -> its resource; of two that share a name, the cluster's own."""
