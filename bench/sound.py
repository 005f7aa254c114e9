"""Sound manifests of services that nobody has, drawn by chance: what faults are planted in (``bench.planted``).

Every file is one service: its workload, of any kind, and some of what stands beside it. Names, numbers, images, ports,
containers, volumes, order of keys and form of the text differ; no rule on single objects has anything against them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import yaml

Document = dict[str, Any]
Chance = random.Random

REGISTRY = "registry.example"
TEAM = "team"
"""The label that people agreed on."""
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod", "Rollout", "ReplicaSet")
_STEMS = ("bets", "wallet", "odds", "lobby", "cashier", "kyc", "bonus", "limits", "audit", "games", "ledger", "mailer")
_TEAMS = ("payments", "sportsbook", "casino-core", "platform", "compliance")
_PATHS = ("/healthz", "/ready", "/-/healthy", "/status", "/ping")


class Service:
    """One file: its documents by kind, and who it is."""

    def __init__(self, chance: Chance, number: int, workload: str, also: tuple[str, ...]) -> None:
        self.chance = chance
        self.name = f"{chance.choice(_STEMS)}-{number}"
        self.space = f"{chance.choice(('north', 'south', 'isle'))}-{chance.choice(('uk', 'mt', 'se'))}"
        self.team = chance.choice(_TEAMS)
        self.port = chance.randrange(3000, 9900)
        self.workload = workload
        self.documents = {kind: _MAKERS[kind](self) for kind in dict.fromkeys((workload, *also))}

    @property
    def labels(self) -> Document:
        return {"app.kubernetes.io/name": self.name, "app.kubernetes.io/instance": self.name, TEAM: self.team}

    def made(self, api: str, kind: str, **body: Any) -> Document:
        """An object of the service."""
        metadata: Document = {
            "name": self.name,
            "labels": self.labels,
            "annotations": {"email": f"{self.team}@casino.example"},
        }
        if kind not in ("Namespace", "ClusterRole", "SecurityContextConstraints"):
            metadata["namespace"] = self.space
        return {"apiVersion": api, "kind": kind, "metadata": metadata, **body}

    @property
    def template(self) -> Document:
        """``{metadata, spec}`` of the pods."""
        return template_of(self.documents[self.workload])

    @property
    def pod(self) -> Document:
        spec: Document = self.template["spec"]
        return spec

    @property
    def app(self) -> Document:
        """Any container of the pods that serves."""
        found: Document = self.chance.choice(self.pod["containers"])
        return found

    def text(self) -> str:
        """The file, in one of the forms that people write."""
        held = [_shuffled(self.chance, each) for each in self.documents.values()]
        self.chance.shuffle(held)
        form = self.chance.choice(("block", "block", "flow", "wide", "json", "list"))
        if form == "json":
            return json.dumps({"apiVersion": "v1", "kind": "List", "items": held}, indent=self.chance.choice((1, 2, 4)))
        if form == "list":
            held = [{"apiVersion": "v1", "kind": "List", "items": held}]
        style = {"flow": None, "block": False}.get(form, False)
        width = 200 if form == "wide" else 80
        indent = self.chance.choice((2, 2, 4))
        told = [
            yaml.safe_dump(each, sort_keys=False, default_flow_style=style, width=width, indent=indent) for each in held
        ]
        lead = f"# {self.name}, of {self.team}\n" if self.chance.random() < 0.5 else ""
        return lead + "---\n".join(told)


def template_of(workload: Document) -> Document:
    """Where the pods of a workload are described; of a Pod, itself."""
    kind = workload["kind"]
    if kind == "Pod":
        return workload
    spec: Document = workload["spec"]
    if kind == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    template: Document = spec["template"]
    return template


def _shuffled(chance: Chance, value: Any) -> Any:
    """The same with the keys of every mapping in another order; what says what it is comes first, as a rule."""
    if isinstance(value, list):
        return [_shuffled(chance, each) for each in value]
    if not isinstance(value, dict):
        return value
    keys = list(value)
    if "apiVersion" not in value or chance.random() < 0.1:
        chance.shuffle(keys)
    return {key: _shuffled(chance, value[key]) for key in keys}


def _probe(service: Service, port: object, **more: int) -> Document:
    chance = service.chance
    asks: Document = chance.choice(
        ({"httpGet": {"path": chance.choice(_PATHS), "port": port}}, {"tcpSocket": {"port": port}})
    )
    return {**asks, "periodSeconds": chance.randrange(2, 9), **more}


def _container(service: Service, name: str, *, serves: bool) -> Document:
    chance = service.chance
    memory = chance.choice((64, 96, 128, 192, 256, 512))
    path = "/".join(chance.choice(_STEMS) for _ in range(chance.randrange(1, 3)))
    made: Document = {
        "name": name,
        "image": f"{REGISTRY}/{path}@sha256:{chance.randbytes(32).hex()}",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {
            "requests": {"cpu": f"{chance.randrange(50, 900, 50)}m", "memory": f"{memory}Mi"},
            "limits": {
                "cpu": str(chance.randrange(1, 4)),
                "memory": f"{memory * chance.choice((1, 2))}Mi",
                "ephemeral-storage": f"{chance.randrange(1, 5)}Gi",
            },
        },
        "env": [
            {"name": f"{key}", "value": str(chance.randrange(1000))}
            for key in chance.sample(("LIMIT", "PAGE", "STEP"), 2)
        ],
    }
    if chance.random() < 0.5:
        made["imagePullPolicy"] = "IfNotPresent"
    if serves:
        port = service.port if name == "app" else service.port + chance.randrange(1, 50)
        named = chance.random() < 0.5
        asked = "serve" if named else port
        made["ports"] = [{"containerPort": port, **({"name": "serve"} if named else {})}]
        made["readinessProbe"] = _probe(service, asked, failureThreshold=2)
        made["livenessProbe"] = _probe(service, asked, failureThreshold=chance.randrange(8, 12))
        made["startupProbe"] = _probe(service, asked, failureThreshold=chance.randrange(20, 30))
        made["lifecycle"] = {"preStop": {"sleep": {"seconds": chance.randrange(5, 9)}}}
    return made


def _pod(service: Service, *, serves: bool) -> Document:
    chance = service.chance
    spec: Document = {
        "serviceAccountName": service.name,
        "automountServiceAccountToken": False,
        "priorityClassName": chance.choice(("money", "standard")),
        "terminationGracePeriodSeconds": chance.randrange(30, 90),
        "restartPolicy": "Always" if serves else "OnFailure",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": chance.randrange(1000, 60000),
            "runAsGroup": chance.randrange(1000, 60000),
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "dnsConfig": {"options": [{"name": "ndots", "value": "2"}]},
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "pool", "operator": "In", "values": [chance.choice(("a", "b"))]}]}
                    ]
                }
            },
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": service.labels}}
                ]
            },
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": chance.choice(("ScheduleAnyway", "DoNotSchedule")),
                "labelSelector": {"matchLabels": service.labels},
            }
        ],
        "containers": [_container(service, "app", serves=serves)],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": f"{chance.randrange(16, 256)}Mi"}}],
    }
    spec["containers"][0]["volumeMounts"] = [{"name": "tmp", "mountPath": "/tmp"}]
    if chance.random() < 0.4:
        spec["containers"].append(_container(service, "proxy", serves=serves))
    if chance.random() < 0.4:
        spec["initContainers"] = [_container(service, "migrate", serves=False)]
    if chance.random() < 0.4:
        spec["volumes"].append({"name": "keys", "secret": {"secretName": service.name}})
    if chance.random() < 0.3:
        spec["volumes"].append({"name": "settings", "configMap": {"name": service.name}})
    return spec


def _template(service: Service, *, serves: bool = True) -> Document:
    return {"metadata": {"labels": service.labels}, "spec": _pod(service, serves=serves)}


def _canary(service: Service) -> Document:
    judged = {"analysis": {"templates": [{"templateName": service.name}]}}
    steps = [each for share in (5, 10, 25, 50) for each in ({"setWeight": share}, judged)]
    return {"canary": {"steps": steps}}


def _blue_green(service: Service) -> Document:
    kept = service.chance.randrange(300, 3600)
    names = {"activeService": service.name, "previewService": f"{service.name}-next"}
    return {"blueGreen": {**names, "autoPromotionEnabled": False, "scaleDownDelaySeconds": kept}}


def _analysis(service: Service) -> Document:
    bound = service.chance.choice(("0.01", "0.02", "0.005"))
    metric = {
        "name": "errors",
        "interval": f"{service.chance.randrange(10, 90)}s",
        "count": service.chance.randrange(3, 9),
        "successCondition": f"result[0] < {bound}",
        "failureLimit": 1,
        "provider": {"prometheus": {"address": "http://prometheus:9090", "query": f"{service.team}:errors:ratio"}},
    }
    return service.made("argoproj.io/v1alpha1", "AnalysisTemplate", spec={"metrics": [metric]})


def _controller(api: str, kind: str) -> Callable[[Service], Document]:
    def make(service: Service) -> Document:
        spec: Document = {"selector": {"matchLabels": service.labels}, "template": _template(service)}
        if kind != "DaemonSet":
            spec["replicas"] = service.chance.randrange(3, 9)
        if kind == "Deployment":
            spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": 1}}
            spec["progressDeadlineSeconds"] = 900
        if kind == "Rollout":
            spec["strategy"] = service.chance.choice((_canary, _blue_green))(service)
        if kind == "StatefulSet":
            spec["serviceName"] = service.name
        return service.made(api, kind, spec=spec)

    return make


def _job(service: Service) -> Document:
    spec = {"ttlSecondsAfterFinished": service.chance.randrange(60, 999), "template": _template(service, serves=False)}
    return service.made("batch/v1", "Job", spec=spec)


def _cron_job(service: Service) -> Document:
    spec = {
        "schedule": f"{service.chance.randrange(60)} * * * *",
        "startingDeadlineSeconds": service.chance.randrange(100, 900),
        "jobTemplate": {"spec": {"template": _template(service, serves=False)}},
    }
    return service.made("batch/v1", "CronJob", spec=spec)


def _service(service: Service) -> Document:
    ports = [{"name": "http", "port": 80, "targetPort": service.port}]
    return service.made("v1", "Service", spec={"selector": service.labels, "type": "ClusterIP", "ports": ports})


def _scaler(service: Service) -> Document:
    low = service.chance.randrange(3, 6)
    target = {"type": "AverageValue", "averageValue": str(service.chance.randrange(50, 200))}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": service.name},
        "minReplicas": low,
        "maxReplicas": low * service.chance.randrange(3, 9),
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": service.chance.randrange(300, 900)}},
        "metrics": [{"type": "Pods", "pods": {"metric": {"name": "rps"}, "target": target}}],
    }
    return service.made("autoscaling/v2", "HorizontalPodAutoscaler", spec=spec)


def _scaled_object(service: Service) -> Document:
    low = service.chance.randrange(2, 6)
    trigger = {"type": "kafka", "metadata": {"topic": service.name, "lagThreshold": "50"}}
    spec = {
        "scaleTargetRef": {"name": service.name},
        "minReplicaCount": low,
        "maxReplicaCount": low * 5,
        "cooldownPeriod": service.chance.randrange(300, 600),
        "fallback": {"failureThreshold": 3, "replicas": low},
        "triggers": [trigger],
    }
    return service.made("keda.sh/v1alpha1", "ScaledObject", spec=spec)


def _budget(service: Service) -> Document:
    spec = {
        "maxUnavailable": service.chance.choice((1, 2, "10%")),
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": {"matchLabels": service.labels},
    }
    return service.made("policy/v1", "PodDisruptionBudget", spec=spec)


def _door(service: Service) -> Document:
    chance = service.chance
    spec = {
        "podSelector": {"matchLabels": service.labels},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {"from": [{"podSelector": {"matchLabels": {"app": "gateway"}}}], "ports": [{"port": service.port}]}
        ],
        "egress": [{"to": [{"ipBlock": {"cidr": f"192.0.2.{chance.randrange(0, 255, 16)}/28"}}]}],
    }
    return service.made("networking.k8s.io/v1", "NetworkPolicy", spec=spec)


def _ingress(service: Service) -> Document:
    host = f"{service.name}.casino.example"
    path = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": service.name, "port": {"number": 80}}}}
    controller = service.chance.choice(("nginx.ingress.kubernetes.io", "haproxy-ingress.github.io"))
    spec = {
        "ingressClassName": controller.partition(".")[0],
        "tls": [{"hosts": [host], "secretName": service.name}],
        "rules": [{"host": host, "http": {"paths": [path]}}],
    }
    made = service.made("networking.k8s.io/v1", "Ingress", spec=spec)
    made["metadata"]["annotations"] |= {
        f"{controller}/limit-rps": str(service.chance.randrange(5, 50)),
        f"{controller}/proxy-body-size": f"{service.chance.randrange(1, 9)}m",
        f"{controller}/backend-protocol": service.chance.choice(("HTTPS", "GRPCS")),
        f"{controller}/hsts": "true",
    }
    return made


def _role(kind: str) -> Callable[[Service], Document]:
    def make(service: Service) -> Document:
        chance = service.chance
        rules = [
            {"apiGroups": [""], "resources": [chance.choice(("configmaps", "services"))], "verbs": ["get", "list"]}
            for _ in range(chance.randrange(1, 3))
        ]
        return service.made("rbac.authorization.k8s.io/v1", kind, rules=rules)

    return make


def _virtual_service(service: Service) -> Document:
    route = [{"destination": {"host": service.name}}]
    one = {"route": route, "timeout": "4s", "retries": {"attempts": 2, "perTryTimeout": "1s"}}
    spec = {"hosts": [service.name], "http": [one]}
    return service.made("networking.istio.io/v1", "VirtualService", spec=spec)


def _destination(service: Service) -> Document:
    pool = {"tcp": {"maxConnections": 100}, "http": {"http1MaxPendingRequests": 50}}
    policy = {"connectionPool": pool, "outlierDetection": {"consecutive5xxErrors": service.chance.randrange(3, 9)}}
    return service.made(
        "networking.istio.io/v1", "DestinationRule", spec={"host": service.name, "trafficPolicy": policy}
    )


def _database(service: Service) -> Document:
    store = {"destinationPath": f"s3://backups/{service.name}"}
    spec = {
        "instances": 3,
        "storage": {"size": "10Gi", "storageClass": "fast"},
        "backup": {"retentionPolicy": "30d", "barmanObjectStore": store},
    }
    return service.made("postgresql.cnpg.io/v1", "Cluster", spec=spec)


def _claim(service: Service) -> Document:
    size = {"requests": {"storage": f"{service.chance.randrange(1, 50)}Gi"}}
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "replicated", "resources": size}
    return service.made("v1", "PersistentVolumeClaim", spec=spec)


def _secret(service: Service) -> Document:
    spec = {
        "refreshInterval": f"{service.chance.randrange(1, 12)}h",
        "secretStoreRef": {"kind": "ClusterSecretStore", "name": "vault"},
        "target": {"name": service.name},
        "data": [{"secretKey": "key", "remoteRef": {"key": service.name}}],
    }
    return service.made("external-secrets.io/v1", "ExternalSecret", spec=spec)


def _namespace(service: Service) -> Document:
    made = service.made("v1", "Namespace")
    made["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = service.chance.choice(("restricted", "baseline"))
    return made


def _config(service: Service) -> Document:
    data = {key: str(service.chance.randrange(1000)) for key in service.chance.sample(("limit", "page", "step"), 2)}
    return service.made("v1", "ConfigMap", data=data)


_MAKERS: dict[str, Callable[[Service], Document]] = {
    "Deployment": _controller("apps/v1", "Deployment"),
    "StatefulSet": _controller("apps/v1", "StatefulSet"),
    "DaemonSet": _controller("apps/v1", "DaemonSet"),
    "ReplicaSet": _controller("apps/v1", "ReplicaSet"),
    "Rollout": _controller("argoproj.io/v1alpha1", "Rollout"),
    "Job": _job,
    "CronJob": _cron_job,
    "Pod": lambda service: service.made("v1", "Pod", spec=_pod(service, serves=True)),
    "Service": _service,
    "HorizontalPodAutoscaler": _scaler,
    "ScaledObject": _scaled_object,
    "PodDisruptionBudget": _budget,
    "NetworkPolicy": _door,
    "Ingress": _ingress,
    "Role": _role("Role"),
    "ClusterRole": _role("ClusterRole"),
    "VirtualService": _virtual_service,
    "DestinationRule": _destination,
    "PeerAuthentication": lambda service: service.made(
        "security.istio.io/v1", "PeerAuthentication", spec={"mtls": {"mode": "STRICT"}}
    ),
    "AuthorizationPolicy": lambda service: service.made(
        "security.istio.io/v1",
        "AuthorizationPolicy",
        spec={"rules": [{"from": [{"source": {"principals": [f"cluster.local/ns/{service.space}/sa/web"]}}]}]},
    ),
    "AnalysisTemplate": _analysis,
    "Cluster": _database,
    "PersistentVolumeClaim": _claim,
    "ExternalSecret": _secret,
    "Namespace": _namespace,
    "ConfigMap": _config,
    "ServiceAccount": lambda service: service.made("v1", "ServiceAccount", automountServiceAccountToken=False),
    "SecurityContextConstraints": lambda service: service.made(
        "security.openshift.io/v1", "SecurityContextConstraints", allowPrivilegedContainer=False
    ),
}
BESIDE = tuple(kind for kind in _MAKERS if kind not in WORKLOADS)
"""What may stand beside a workload."""
