"""What a cluster needs for the rules at its door. ``croupier admission manifests`` prints all of it.

The pods ask the API server nothing: they have no rights and no token. The webhook never sees its own namespace, nor
those of the cluster's own parts, so that a cluster whose webhook is down can be repaired.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

from croupier.admission.judge import Mode
from croupier.core.policy.kinds import ALL, MORE_PODS, OF_KIND, PODS, Resource
from croupier.core.policy.rule import Rule, Scope
from croupier.model.objects import JsonObject

NAME = "croupier-admission"
PORT, ABOUT_PORT = 8443, 8081
SYSTEM = ("kube-system", "kube-public", "kube-node-lease")
_LABELS = {"app.kubernetes.io/name": "croupier", "app.kubernetes.io/component": "admission"}
_UID = 65532
_CERT = "/var/run/croupier/tls"
_RULES = "/etc/croupier/rules"
TIMEOUT_SECONDS = 5
"""After that the API server's failurePolicy decides; reading and judging are given less."""
FailurePolicy = Literal["Fail", "Ignore"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What people decide.

    Attributes:
        image: of croupier, by digest in production.
        cert_secret: Secret of type kubernetes.io/tls that the pods show; in ``namespace``.
        ca: PEM of who has signed it; None: cert-manager puts it in.
        inject_ca_from: ``namespace/name`` of a Certificate of cert-manager; "": none.
        judged: what the API server is to ask about, as ``judged`` finds it.
        exclude: namespaces that are not judged, beside croupier's and the cluster's own.
        rules: name -> text of the files of people's own rules; empty: there are none.
        arguments: of the rules, as ``croupier admission run`` takes them.
    """

    image: str
    namespace: str
    cert_secret: str
    mode: Mode
    failure_policy: FailurePolicy
    judged: tuple[Resource, ...]
    ca: bytes | None = None
    inject_ca_from: str = ""
    exclude: tuple[str, ...] = ()
    rules: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()


def judged(rules: Iterable[Rule]) -> tuple[Resource, ...]:
    """What an API server has to ask about, so that each of ``rules`` is asked: the rest need not wait for an answer.

    Secrets are never among it: their values are nobody's business here.
    """
    wanted: set[Resource] = set()
    for rule in rules:
        if rule.scope is Scope.POD:
            wanted.update(PODS, MORE_PODS)
        elif rule.kinds:
            wanted.update(OF_KIND[kind] for kind in rule.kinds if kind in OF_KIND)
        else:
            wanted.update(ALL)
    return tuple(each for each in ALL if each in wanted)


def manifests(wish: Wish) -> list[JsonObject]:
    """All objects, in the order to be applied: the configuration last, when there is somebody to ask."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": wish.namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
        },
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": NAME, "labels": _LABELS},
            "value": 100_000_000,
            "globalDefault": False,
            "description": "Every change of the cluster waits for these pods.",
        },
        {**_head("v1", "ServiceAccount", wish), "automountServiceAccountToken": False},
        _network_policy(wish),
        {
            **_head("policy/v1", "PodDisruptionBudget", wish),
            "spec": {"minAvailable": 1, "selector": {"matchLabels": _LABELS}},
        },
        {
            **_head("v1", "Service", wish),
            "spec": {"selector": _LABELS, "ports": [{"name": "https", "port": 443, "targetPort": "https"}]},
        },
        *([{**_head("v1", "ConfigMap", wish), "data": dict(wish.rules)}] if wish.rules else []),
        _deployment(wish),
        _configuration(wish),
    ]


def _head(version: str, kind: str, wish: Wish) -> JsonObject:
    return {
        "apiVersion": version,
        "kind": kind,
        "metadata": {"name": NAME, "namespace": wish.namespace, "labels": _LABELS},
    }


def _network_policy(wish: Wish) -> JsonObject:
    """In: reviews from anywhere, because API servers are no pods; metrics from pods. Out: nothing, not even names."""
    return {
        **_head("networking.k8s.io/v1", "NetworkPolicy", wish),
        "spec": {
            "podSelector": {"matchLabels": _LABELS},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"ports": [{"port": PORT, "protocol": "TCP"}]},
                {"from": [{"namespaceSelector": {}}], "ports": [{"port": ABOUT_PORT, "protocol": "TCP"}]},
            ],
            "egress": [],
        },
    }


def _deployment(wish: Wish) -> JsonObject:
    flags = [f"--exclude-namespace={each}" for each in (*SYSTEM, *wish.exclude)]
    flags += [f"--rules={_RULES}"] if wish.rules else []
    mounts: list[JsonObject] = [{"name": "tls", "mountPath": _CERT, "readOnly": True}]
    volumes: list[JsonObject] = [{"name": "tls", "secret": {"secretName": wish.cert_secret, "defaultMode": 0o440}}]
    noted: JsonObject = {}
    if wish.rules:
        # One by one: files of a ConfigMap that is mounted whole are symbolic links, which are not followed.
        mounts += [
            {"name": "rules", "mountPath": f"{_RULES}/{each}", "subPath": each, "readOnly": True} for each in wish.rules
        ]
        volumes.append({"name": "rules", "configMap": {"name": NAME}})
        # Rules are read once: other rules, other pods.
        noted = {"annotations": {"croupier.dev/rules": _digest(wish.rules)}}
    container = {
        "name": "admission",
        "image": wish.image,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            "admission",
            "run",
            f"--mode={wish.mode}",
            f"--cert={_CERT}/tls.crt",
            f"--key={_CERT}/tls.key",
            f"--port={PORT}",
            f"--about-port={ABOUT_PORT}",
            *flags,
            *wish.arguments,
        ],
        "env": [{"name": "CROUPIER_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}],
        "ports": [{"name": "https", "containerPort": PORT}, {"name": "about", "containerPort": ABOUT_PORT}],
        "startupProbe": {
            "httpGet": {"path": "/healthz", "port": "about"},
            "periodSeconds": 1,
            "failureThreshold": 30,
        },
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "about"}, "periodSeconds": 2},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "about"}, "periodSeconds": 10},
        # API servers learn of the end before the listener closes.
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": "200m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "volumeMounts": mounts,
    }
    return {
        **_head("apps/v1", "Deployment", wish),
        "spec": {
            "replicas": 2,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "minReadySeconds": 5,
            "selector": {"matchLabels": _LABELS},
            "template": {
                "metadata": {"labels": _LABELS, **noted},
                "spec": {
                    "serviceAccountName": NAME,
                    "automountServiceAccountToken": False,
                    "priorityClassName": NAME,
                    # It calls nobody, so it asks for no name.
                    "dnsPolicy": "None",
                    "dnsConfig": {"nameservers": ["127.0.0.1"]},
                    "terminationGracePeriodSeconds": 30,
                    "topologySpreadConstraints": [
                        {
                            "maxSkew": 1,
                            "topologyKey": "kubernetes.io/hostname",
                            "whenUnsatisfiable": "ScheduleAnyway",
                            "labelSelector": {"matchLabels": _LABELS},
                        }
                    ],
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": _UID,
                        "runAsGroup": _UID,
                        "fsGroup": _UID,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [container],
                    "volumes": volumes,
                },
            },
        },
    }


def _digest(files: Mapping[str, str]) -> str:
    """A word that changes when a name or a text does."""
    return sha256(repr(sorted(files.items())).encode()).hexdigest()[:16]


def _configuration(wish: Wish) -> JsonObject:
    client: JsonObject = {
        "service": {"name": NAME, "namespace": wish.namespace, "path": "/validate", "port": 443},
    }
    if wish.ca is not None:
        client["caBundle"] = b64encode(wish.ca).decode("ascii")
    injected = {"cert-manager.io/inject-ca-from": wish.inject_ca_from} if wish.inject_ca_from else {}
    return webhook_configuration(
        client,
        judged=wish.judged,
        failure_policy=wish.failure_policy,
        exclude=(wish.namespace, *SYSTEM, *wish.exclude),
        annotations=injected,
    )


def webhook_configuration(
    client: JsonObject,
    *,
    judged: Iterable[Resource],
    failure_policy: FailurePolicy,
    exclude: tuple[str, ...],
    annotations: dict[str, str],
) -> JsonObject:
    """The ValidatingWebhookConfiguration. ``client``: its clientConfig.

    Groups that the cluster does not serve may be named: they are asked about from the day somebody installs them.
    """
    beyond = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": list(dict.fromkeys(exclude))}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": NAME, "labels": _LABELS, **({"annotations": annotations} if annotations else {})},
        "webhooks": [
            {
                "name": "policy.croupier.dev",
                "clientConfig": client,
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "matchPolicy": "Equivalent",
                "failurePolicy": failure_policy,
                "timeoutSeconds": TIMEOUT_SECONDS,
                "namespaceSelector": {"matchExpressions": [beyond]},
                # It brings the roles of Kubernetes itself when it starts, and does not come up when they are refused.
                "matchConditions": [
                    {"name": "not-the-api-server", "expression": "request.userInfo.username != 'system:apiserver'"}
                ],
                "rules": _rules(judged),
            }
        ],
    }


def _rules(judged: Iterable[Resource]) -> list[JsonObject]:
    """Of a built-in kind the newest version, into which the API server converts the others; of a custom one whichever
    it serves, because there may be no newest.
    """
    made: dict[tuple[str, str], list[str]] = {}
    for each in judged:
        names = made.setdefault((each.group, "*" if each.is_custom else each.versions[0]), [])
        names.append(each.plural)
        if each.kind == "Pod":
            names.append("pods/ephemeralcontainers")
    return [
        {
            "apiGroups": [group],
            "apiVersions": [version],
            "resources": names,
            "operations": ["CREATE", "UPDATE"],
            "scope": "*",
        }
        for (group, version), names in made.items()
    ]
