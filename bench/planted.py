"""Faults, one a file: for each rule on single objects, ways to break a sound service (``bench.sound``).

A fault is planted as people make it, into whatever workload, container or object chance has drawn; none is taken from
the examples or cases of its rule.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from bench.sound import BESIDE, TEAM, WORKLOADS, Chance, Document, Service, template_of

SERVING = ("Deployment", "StatefulSet", "DaemonSet", "Pod", "Rollout", "ReplicaSet")
KNOWN = ("Deployment", "StatefulSet", "DaemonSet", "Pod", "ReplicaSet")
"""Of which Kubernetes itself has the schema."""
SEVERAL = ("Deployment", "StatefulSet", "Rollout", "ReplicaSet")


class Case(NamedTuple):
    """A file. ``rule``: what was planted; "": nothing."""

    name: str
    rule: str
    text: str


class _Fault(NamedTuple):
    rule: str
    plant: Callable[[Service], None]
    workloads: tuple[str, ...] = WORKLOADS
    """Kinds that it can be planted in."""
    needs: tuple[str, ...] = ()
    """What must stand beside the workload."""
    in_text: Callable[[str], str] | None = None
    """Done to the text of the file: what values cannot show."""


def cases(seed: int, faulty: int, clean: int, rules: Iterable[str]) -> list[Case]:
    """``faulty`` files, the faults of ``rules`` in turn, and ``clean`` ones, in an order of chance."""
    chance = random.Random(seed)
    wanted = set(rules)
    faults = [each for each in FAULTS if each.rule in wanted]
    made = [_faulty(chance, number, faults[number % len(faults)]) for number in range(faulty)]
    made += [_drawn(chance, faulty + number, WORKLOADS, ()) for number in range(clean)]
    chance.shuffle(made)
    return made


def _faulty(chance: Chance, number: int, fault: _Fault) -> Case:
    service = _service(chance, number, fault.workloads, fault.needs)
    fault.plant(service)
    text = service.text()
    return Case(f"{number:04}.yaml", fault.rule, fault.in_text(text) if fault.in_text else text)


def _drawn(chance: Chance, number: int, workloads: tuple[str, ...], needs: tuple[str, ...]) -> Case:
    return Case(f"{number:04}.yaml", "", _service(chance, number, workloads, needs).text())


def _service(chance: Chance, number: int, workloads: tuple[str, ...], needs: tuple[str, ...]) -> Service:
    beside = (*needs, *chance.sample(BESIDE, chance.randrange(2, 7)))
    return Service(chance, number, chance.choice(workloads), beside)


# --- what faults are made of ------------------------------------------------------------------------------------------


def _pod(rule: str, change: Callable[[Document, Chance], object], workloads: tuple[str, ...] = WORKLOADS) -> _Fault:
    """A change of the spec of the pods."""
    return _Fault(rule, lambda service: _done(change(service.pod, service.chance)), workloads)


def _app(rule: str, change: Callable[[Document, Chance], object], workloads: tuple[str, ...] = WORKLOADS) -> _Fault:
    """A change of one container."""
    return _Fault(rule, lambda service: _done(change(service.app, service.chance)), workloads)


def _of(rule: str, kind: str, change: Callable[[Document, Chance], object]) -> _Fault:
    """A change of an object beside the workload."""
    return _Fault(rule, lambda service: _done(change(service.documents[kind], service.chance)), needs=(kind,))


def _main(rule: str, change: Callable[[Document, Chance], object], workloads: tuple[str, ...]) -> _Fault:
    """A change of the workload's own object."""
    return _Fault(rule, lambda service: _done(change(service.documents[service.workload], service.chance)), workloads)


def _done(_result: object) -> None:
    """Changes are single expressions; what those come to is nobody's concern."""


def _set(held: Document, *path: Any) -> None:
    """``_set(x, "a", "b", value)``: ``x["a"]["b"] = value``, with mappings on the way where there are none."""
    *way, last, value = path
    for each in way:
        held = held.setdefault(each, {})
    held[last] = value


def _drop(held: Document, *path: Any) -> None:
    for each in path[:-1]:
        held = held[each]
    held.pop(path[-1], None)


def _volume(source: Document, **mount: Any) -> Callable[[Document, Chance], None]:
    """A volume, mounted in one of the containers."""

    def change(pod: Document, chance: Chance) -> None:
        name = f"vol-{chance.randrange(1000)}"
        pod["volumes"].append({"name": name, **source})
        mounts = chance.choice(pod["containers"]).setdefault("volumeMounts", [])
        mounts.append({"name": name, "mountPath": f"/mnt/{name}", **mount})

    return change


def _variable(name: str, **value: Any) -> Callable[[Document, Chance], None]:
    return lambda app, _: app["env"].append({"name": name, **value})


def _renamed(path: tuple[Any, ...], wrong: str) -> Callable[[Document, Chance], None]:
    """A key misspelt."""

    def change(held: Document, _: Chance) -> None:
        for each in path[:-1]:
            held = held[each]
        held[wrong] = held.pop(path[-1])

    return change


def _unpinned(image: str) -> str:
    return image.partition("@")[0]


def _same_probe(app: Document, _: Chance) -> None:
    app["livenessProbe"] = dict(app["readinessProbe"])


def _close_port(app: Document, _: Chance) -> None:
    app["ports"] = [{"containerPort": app["ports"][0]["containerPort"] + 1000}]
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        how = "httpGet" if "httpGet" in app[probe] else "tcpSocket"
        app[probe][how]["port"] = app["ports"][0]["containerPort"] - 1000


def _limit_far(app: Document, chance: Chance) -> None:
    app["resources"]["requests"]["memory"] = "64Mi"
    app["resources"]["limits"]["memory"] = f"{chance.randrange(300, 2000)}Mi"


def _twice(text: str) -> str:
    """The first key of the first limits once more."""
    if '"limits"' in text:
        return re.sub(r'("limits": \{\s*)("[a-z-]+": "[^"]*")', r"\1\2, \2", text, count=1)
    if re.search(r"limits: \{", text):
        return re.sub(r"(limits: \{)([a-z-]+: [^,}]+)", r"\1\2, \2", text, count=1)
    return re.sub(r"(\n *limits:)(\n *[a-z-]+: [^\n]+)", r"\1\2\2", text, count=1)


def _other_version(api: str) -> Callable[[Document, Chance], None]:
    return lambda held, _: _set(held, "apiVersion", api)


def _unlabelled(held: Document, _: Chance) -> None:
    _drop(held, "metadata", "labels", TEAM)
    if held["kind"] != "Pod":
        _drop(template_of(held), "metadata", "labels", TEAM)
        _drop(held["spec"], "selector", "matchLabels", TEAM)


def _other_pods(held: Document, chance: Chance) -> None:
    _set(template_of(held), "metadata", "labels", "app.kubernetes.io/name", f"other-{chance.randrange(100)}")


def _without_annotation(name: str) -> Callable[[Document, Chance], None]:
    """Whatever the controller calls what ends so."""

    def change(held: Document, _: Chance) -> None:
        annotations = held["metadata"]["annotations"]
        for key in [key for key in annotations if key.endswith(f"/{name}")]:
            del annotations[key]

    return change


def _canary(service: Service, steps: list[Document]) -> None:
    _set(service.documents["Rollout"], "spec", "strategy", {"canary": {"steps": steps}})


_JUDGED: Document = {"analysis": {"templates": [{"templateName": "errors"}]}}


FAULTS: tuple[_Fault, ...] = (
    # Files and metadata.
    _main(
        "waiver", lambda held, _: _set(held, "metadata", "annotations", "waive.croupier.dev/pdb", "agreed"), WORKLOADS
    ),
    _Fault("duplicate-key", lambda _: None, in_text=_twice),
    _main("default-namespace", lambda held, _: _set(held, "metadata", "namespace", "default"), WORKLOADS),
    _main("namespace-named", lambda held, _: _drop(held, "metadata", "namespace"), WORKLOADS),
    _main("required-labels", _unlabelled, ("Deployment", "StatefulSet", "DaemonSet", "Pod", "Rollout")),
    _main(
        "runbook",
        lambda held, _: _set(held, "metadata", "annotations", "croupier.dev/on-call", "whoever is there"),
        SERVING,
    ),
    _main("owner-mail", lambda held, _: _drop(held, "metadata", "annotations"), SERVING),
    _main(
        "instance-label",
        lambda held, _: _set(held, "metadata", "labels", "app.kubernetes.io/instance", "main"),
        SERVING,
    ),
    _of("removed-api", "PodDisruptionBudget", _other_version("policy/v1beta1")),
    _of("removed-api", "Ingress", _other_version("extensions/v1beta1")),
    _of("removed-api", "HorizontalPodAutoscaler", _other_version("autoscaling/v2beta2")),
    _main("selector", _other_pods, ("Deployment", "StatefulSet", "DaemonSet", "Rollout", "ReplicaSet")),
    _of(
        "pod-security-label",
        "Namespace",
        lambda held, _: _drop(held, "metadata", "labels", "pod-security.kubernetes.io/enforce"),
    ),
    # Slips that the API server refuses, or forgets.
    _main("schema", _renamed(("spec", "strategy"), "stratgey"), ("Deployment",)),
    _pod("schema", _renamed(("terminationGracePeriodSeconds",), "terminationGracePeriod"), KNOWN),
    _app("schema", _renamed(("readinessProbe",), "readynessProbe"), KNOWN),
    _app("schema", lambda app, _: _set(app, "securityContext", "readOnlyRootFilesystem", "true"), KNOWN),
    _app("schema", lambda app, _: _set(app, "ports", [{"containerPort": "eighty"}]), KNOWN),
    _app("schema", lambda app, _: _set(app, "imagePullPolicy", "IfMissing"), KNOWN),
    _app("schema", lambda app, _: _set(app, "resources", "limits", "memory", "half a gig"), KNOWN),
    _app("schema", lambda app, _: _set(app, "env", {"LIMIT": "100"}), KNOWN),
    _pod("schema", lambda pod, _: _set(pod, "nodeSelector", "zone=a"), KNOWN),
    _of("schema", "Service", lambda held, _: _renamed(("targetPort",), "targetport")(held["spec"]["ports"][0], _)),
    _of("schema", "HorizontalPodAutoscaler", lambda held, _: _drop(held, "spec", "maxReplicas")),
    _of("schema", "NetworkPolicy", lambda held, _: _set(held, "spec", "egress", {"to": []})),
    _of("schema", "Ingress", lambda held, _: _drop(held["spec"]["rules"][0]["http"]["paths"][0], "pathType")),
    # Pod Security.
    _pod("host-namespaces", lambda pod, chance: _set(pod, chance.choice(("hostNetwork", "hostPID", "hostIPC")), True)),
    _app("privileged", lambda app, _: _set(app, "securityContext", "privileged", True)),
    _app(
        "capabilities-restricted",
        lambda app, chance: _set(
            app, "securityContext", "capabilities", "add", [chance.choice(("SYS_ADMIN", "SYS_PTRACE", "NET_RAW"))]
        ),
    ),
    _pod("volume-types", _volume({"hostPath": {"path": "/srv/odds"}}, readOnly=True)),
    _app("host-ports", lambda app, chance: _set(app["ports"][0], "hostPort", chance.randrange(30000, 32000)), SERVING),
    _app("apparmor", lambda app, _: _set(app, "securityContext", "appArmorProfile", {"type": "Unconfined"})),
    _pod(
        "selinux",
        lambda pod, chance: _set(
            pod, "securityContext", "seLinuxOptions", {chance.choice(("user", "role")): "system_u"}
        ),
    ),
    _app("proc-mount-restricted", lambda app, _: _set(app, "securityContext", "procMount", "Unmasked")),
    _app("seccomp", lambda app, _: _set(app, "securityContext", "seccompProfile", {"type": "Unconfined"})),
    _pod("sysctls", lambda pod, _: _set(pod, "securityContext", "sysctls", [{"name": "vm.swappiness", "value": "0"}])),
    _pod("windows-host-process", lambda pod, _: _set(pod, "securityContext", "windowsOptions", {"hostProcess": True})),
    _app(
        "probe-host",
        lambda app, _: _set(
            app, "livenessProbe", {"tcpSocket": {"host": "198.51.100.7", "port": 80}, "failureThreshold": 9}
        ),
        SERVING,
    ),
    _app(
        "privilege-escalation",
        lambda app, chance: chance.choice(
            (
                lambda: _drop(app, "securityContext", "allowPrivilegeEscalation"),
                lambda: _set(app, "securityContext", "allowPrivilegeEscalation", True),
            )
        )(),
    ),
    _app(
        "capabilities-restricted",
        lambda app, chance: _set(
            app,
            "securityContext",
            "capabilities",
            chance.choice(({}, {"drop": ["NET_RAW"]}, {"drop": ["ALL"], "add": ["CHOWN"]})),
        ),
    ),
    _pod("volume-types", _volume({"iscsi": {"targetPortal": "192.0.2.9", "iqn": "iqn.2001-04.example:a", "lun": 0}})),
    _pod("run-as-non-root", lambda pod, _: _drop(pod, "securityContext", "runAsNonRoot")),
    _app("run-as-non-root", lambda app, _: _set(app, "securityContext", "runAsNonRoot", False)),
    _app("run-as-user", lambda app, _: _set(app, "securityContext", "runAsUser", 0)),
    _pod("seccomp", lambda pod, _: _drop(pod, "securityContext", "seccompProfile")),
    # Hardening.
    _app("read-only-root", lambda app, _: _set(app, "securityContext", "readOnlyRootFilesystem", False)),
    _pod("root-group", lambda pod, _: _set(pod, "securityContext", "runAsGroup", 0)),
    _app("net-raw", lambda app, _: _set(app, "securityContext", "capabilities", {"drop": ["MKNOD"]})),
    _pod("runtime-socket", _volume({"hostPath": {"path": "/run/containerd/containerd.sock"}}, readOnly=True)),
    _pod("system-folder", _volume({"hostPath": {"path": "/proc"}}, readOnly=True)),
    _pod("writable-host-path", _volume({"hostPath": {"path": "/srv/cache"}})),
    _app("ssh-port", lambda app, _: app["ports"].append({"containerPort": 22}), SERVING),
    _app(
        "privileged-port",
        lambda app, chance: app["ports"].append({"containerPort": chance.randrange(80, 1000)}),
        SERVING,
    ),
    _pod(
        "default-service-account",
        lambda pod, chance: chance.choice(
            (lambda: _drop(pod, "serviceAccountName"), lambda: _set(pod, "serviceAccountName", "default"))
        )(),
    ),
    _pod("service-account-field", _renamed(("serviceAccountName",), "serviceAccount")),
    _pod("dns-options", lambda pod, _: _set(pod, "dnsConfig", "options", [{"name": "ndots", "value": "5"}])),
    _of(
        "security-context-constraints",
        "SecurityContextConstraints",
        lambda held, _: _set(held, "allowPrivilegedContainer", True),
    ),
    # Images and resources.
    _app("image-tag", lambda app, chance: _set(app, "image", _unpinned(app["image"]) + chance.choice(("", ":latest")))),
    _app(
        "image-digest",
        lambda app, chance: _set(
            app, "image", f"{_unpinned(app['image'])}:{chance.randrange(9)}.{chance.randrange(30)}"
        ),
    ),
    _app(
        "image-registry",
        lambda app, _: _set(app, "image", app["image"].replace("registry.example/", "docker.io/library/")),
    ),
    _app(
        "pull-policy",
        lambda app, _: (
            _set(app, "image", f"{_unpinned(app['image'])}:1.4"),
            _set(app, "imagePullPolicy", "IfNotPresent"),
        ),
    ),
    _app("helm-tiller", lambda app, _: _set(app, "image", "gcr.io/kubernetes-helm/tiller:v2.16.1")),
    _app(
        "cpu-requests",
        lambda app, _: (_drop(app, "resources", "requests", "cpu"), _drop(app, "resources", "limits", "cpu")),
    ),
    _app("cpu-limits", lambda app, _: _drop(app, "resources", "limits", "cpu")),
    _app(
        "memory-requests",
        lambda app, _: (_drop(app, "resources", "requests", "memory"), _drop(app, "resources", "limits", "memory")),
    ),
    _app("memory-limits", lambda app, _: _drop(app, "resources", "limits", "memory")),
    _app("memory-ratio", _limit_far),
    _pod(
        "empty-dir-limit",
        lambda pod, chance: pod["volumes"].append(
            {"name": "scratch", "emptyDir": chance.choice(({}, {"medium": "Memory"}))}
        ),
    ),
    _app("ephemeral-storage", lambda app, _: _drop(app, "resources", "limits", "ephemeral-storage")),
    # Probes and the life of pods.
    _app("liveness-probe", lambda app, _: _drop(app, "livenessProbe"), SERVING),
    _app("readiness-probe", lambda app, _: _drop(app, "readinessProbe"), SERVING),
    _app("startup-probe", lambda app, _: _drop(app, "startupProbe"), SERVING),
    _app(
        "any-probe",
        lambda app, _: [_drop(app, f"{each}Probe") for each in ("liveness", "readiness", "startup")],
        SERVING,
    ),
    _app("probes-differ", _same_probe, SERVING),
    _app("probe-port", _close_port, SERVING),
    _pod("priority-class", lambda pod, _: _drop(pod, "priorityClassName")),
    _pod("system-priority", lambda pod, _: _set(pod, "priorityClassName", "system-cluster-critical")),
    _pod("node-affinity", lambda pod, _: _drop(pod, "affinity", "nodeAffinity")),
    _pod("restart-policy", lambda pod, _: _drop(pod, "restartPolicy"), ("Deployment", "StatefulSet", "DaemonSet")),
    _app("early-5xx", lambda app, _: _drop(app, "lifecycle"), SERVING),
    _pod("early-5xx", lambda pod, _: _set(pod, "terminationGracePeriodSeconds", 6), SERVING),
    _Fault(
        "drain",
        lambda service: _set(service.template, "metadata", "annotations", "croupier.dev/drain-seconds", "600"),
        SERVING,
    ),
    _Fault(
        "warm-up",
        lambda service: _set(service.template, "metadata", "annotations", "croupier.dev/start-seconds", "900"),
        SERVING,
    ),
    _pod(
        "spot-money",
        lambda pod, _: _set(pod, "tolerations", [{"key": "cloud.google.com/gke-spot", "operator": "Exists"}]),
        SERVING,
    ),
    # Workloads.
    _main("rollout-timing", lambda held, _: _set(held, "spec", "progressDeadlineSeconds", 20), ("Deployment",)),
    _main(
        "rollout-timing",
        lambda held, _: _set(held, "spec", "strategy", "rollingUpdate", "maxUnavailable", "80%"),
        ("Deployment",),
    ),
    _main("rolling-update", lambda held, _: _set(held, "spec", "strategy", {"type": "Recreate"}), ("Deployment",)),
    _main("three-replicas", lambda held, _: _set(held, "spec", "replicas", 2), ("Deployment",)),
    _main("anti-affinity", lambda held, _: _drop(template_of(held), "spec", "affinity", "podAntiAffinity"), SEVERAL),
    _main("topology-spread", lambda held, _: _drop(template_of(held), "spec", "topologySpreadConstraints"), SEVERAL),
    _Fault("canary-steps", lambda service: _canary(service, [{"setWeight": 40}, _JUDGED]), ("Rollout",)),
    _Fault(
        "canary-gates",
        lambda service: _canary(service, [{"setWeight": each} for each in (5, 10, 25, 50)]),
        ("Rollout",),
    ),
    _main(
        "blue-green-way-back",
        lambda held, chance: _set(
            held,
            "spec",
            "strategy",
            {
                "blueGreen": {
                    "activeService": "web",
                    "previewService": "next",
                    "autoPromotionEnabled": False,
                    "scaleDownDelaySeconds": chance.randrange(0, 90),
                }
            },
        ),
        ("Rollout",),
    ),
    _of("analysis-decides", "AnalysisTemplate", lambda held, _: _drop(held["spec"]["metrics"][0], "successCondition")),
    _main("job-ttl", lambda held, _: _drop(held, "spec", "ttlSecondsAfterFinished"), ("Job",)),
    _main("cron-deadline", lambda held, _: _drop(held, "spec", "startingDeadlineSeconds"), ("CronJob",)),
    _of(
        "pdb-max-unavailable",
        "PodDisruptionBudget",
        lambda held, chance: _set(held, "spec", "maxUnavailable", chance.choice((0, "0%"))),
    ),
    _of("pdb-unhealthy", "PodDisruptionBudget", lambda held, _: _drop(held, "spec", "unhealthyPodEvictionPolicy")),
    _of(
        "hpa-range",
        "HorizontalPodAutoscaler",
        lambda held, _: _set(held, "spec", "maxReplicas", held["spec"]["minReplicas"]),
    ),
    _of("hpa-least", "HorizontalPodAutoscaler", lambda held, _: _drop(held, "spec", "minReplicas")),
    _of("hpa-least-three", "HorizontalPodAutoscaler", lambda held, _: _set(held, "spec", "minReplicas", 2)),
    _of(
        "scale-down",
        "HorizontalPodAutoscaler",
        lambda held, chance: _set(
            held, "spec", "behavior", "scaleDown", "stabilizationWindowSeconds", chance.randrange(0, 30)
        ),
    ),
    _of(
        "keda-bounds",
        "ScaledObject",
        lambda held, chance: _drop(held, "spec", chance.choice(("maxReplicaCount", "fallback"))),
    ),
    # Storage, network, roles.
    _of("storage-class", "PersistentVolumeClaim", lambda held, _: _drop(held, "spec", "storageClassName")),
    _of(
        "egress-anywhere",
        "NetworkPolicy",
        lambda held, chance: _set(
            held, "spec", "egress", chance.choice(([{}], [{"to": [{"ipBlock": {"cidr": "::/0"}}]}]))
        ),
    ),
    _of(
        "exposed-service",
        "Service",
        lambda held, chance: _set(held, "spec", "type", chance.choice(("NodePort", "LoadBalancer"))),
    ),
    _of("node-port", "Service", lambda held, _: _set(held, "spec", "type", "NodePort")),
    _of(
        "external-ips",
        "Service",
        lambda held, chance: _set(held, "spec", "externalIPs", [f"203.0.113.{chance.randrange(1, 250)}"]),
    ),
    _of(
        "target-port",
        "Service",
        lambda held, chance: _set(
            held["spec"]["ports"][0], "targetPort", chance.choice(("Web_Port", "the-port-of-the-service"))
        ),
    ),
    _of("ingress-tls", "Ingress", lambda held, _: _drop(held, "spec", "tls")),
    _of("ingress-host", "Ingress", lambda held, _: _drop(held["spec"]["rules"][0], "host")),
    _of("ingress-wildcard", "Ingress", lambda held, _: _set(held["spec"]["rules"][0], "host", "*.casino.example")),
    _of(
        "ingress-snippet",
        "Ingress",
        lambda held, _: _set(
            held, "metadata", "annotations", "nginx.ingress.kubernetes.io/configuration-snippet", "return 204;"
        ),
    ),
    _of("ingress-rate-limit", "Ingress", _without_annotation("limit-rps")),
    _of("ingress-body-size", "Ingress", _without_annotation("proxy-body-size")),
    _of(
        "ingress-hsts",
        "Ingress",
        lambda held, _: (_set(held, "spec", "ingressClassName", "edge"), _without_annotation("hsts")(held, _)),
    ),
    _of("ingress-backend-tls", "Ingress", _without_annotation("backend-protocol")),
    *(
        _of(
            "rbac-wildcard",
            kind,
            lambda held, chance: _set(held["rules"][0], chance.choice(("verbs", "resources")), ["*"]),
        )
        for kind in ("Role", "ClusterRole")
    ),
    *(
        _of(
            "rbac-exec",
            kind,
            lambda held, _: held["rules"].append(
                {"apiGroups": [""], "resources": ["pods/attach", "pods/exec"], "verbs": ["create", "get"]}
            ),
        )
        for kind in ("Role", "ClusterRole")
    ),
    *(
        _of(
            "rbac-escalate",
            kind,
            lambda held, chance: held["rules"][0]["verbs"].append(chance.choice(("bind", "escalate", "impersonate"))),
        )
        for kind in ("Role", "ClusterRole")
    ),
    # Secrets, configuration, data.
    _app("secret-in-env", _variable("PSP_API_TOKEN", value="tok-6c1f2a9be07d")),
    _app("secret-env-name", _variable("SESSION_SECRET", value="correct-horse")),
    _of("secret-in-config-map", "ConfigMap", lambda held, _: _set(held, "data", "api_token", "tok-6c1f2a9be07d")),
    _app("secret-env", _variable("PSP_KEY", valueFrom={"secretKeyRef": {"name": "psp", "key": "key"}})),
    _app(
        "secret-env-rotation", _variable("PSP_KEY", valueFrom={"secretKeyRef": {"name": "psp", "key": "key"}}), SERVING
    ),
    _app(
        "env-from", lambda app, _: _set(app, "envFrom", [{"configMapRef": {"name": each}} for each in ("one", "two")])
    ),
    _app("duplicate-env", lambda app, _: app["env"].append(dict(app["env"][0], value="again"))),
    _Fault(
        "secret-in-git",
        lambda service: service.documents.update(
            Secret=service.made("v1", "Secret", stringData={"key": "correct-horse"})
        ),
    ),
    _app("connection-avalanche", _variable("DATABASE_URL", value="postgresql://ledger-rw:5432/ledger")),
    _of("secret-refresh", "ExternalSecret", lambda held, _: _set(held, "spec", "refreshInterval", "0s")),
    _of("database-backup", "Cluster", lambda held, _: _drop(held, "spec", "backup")),
    # The mesh.
    _of("mesh-no-timeout", "VirtualService", lambda held, _: _drop(held["spec"]["http"][0], "timeout")),
    _of(
        "retry-budget",
        "VirtualService",
        lambda held, _: _set(held["spec"]["http"][0], "retries", {"attempts": 5, "perTryTimeout": "3s"}),
    ),
    _of(
        "mesh-no-limits",
        "DestinationRule",
        lambda held, chance: _drop(
            held, "spec", "trafficPolicy", chance.choice(("connectionPool", "outlierDetection"))
        ),
    ),
    _of(
        "mesh-mtls",
        "PeerAuthentication",
        lambda held, chance: _set(held, "spec", "mtls", "mode", chance.choice(("PERMISSIVE", "DISABLE"))),
    ),
    _Fault(
        "mesh-outside",
        lambda service: _set(service.template, "metadata", "annotations", "sidecar.istio.io/inject", "false"),
        SERVING,
    ),
    _of("mesh-anybody", "AuthorizationPolicy", lambda held, _: held["spec"]["rules"].append({})),
    _of(
        "mesh-mtls", "DestinationRule", lambda held, _: _set(held, "spec", "trafficPolicy", "tls", {"mode": "DISABLE"})
    ),
)
