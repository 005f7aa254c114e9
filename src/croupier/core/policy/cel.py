"""Rules said a second time, in CEL, for admission: what the API server itself can ask of one object.

An expression is true where the rule finds no fault. It sees ``object`` as the API server holds it (fields that are
nothing are not there) and ``variables``, the ones below that it names. ``tests/unit/core/policy/test_cel.py`` compares
each with the rule in Python, on every case that there is of it. Written for the CEL of Kubernetes v1.30 and later:
optionals (``?.``) and the extended strings library are used, macros that bind and quantities are not, and a list
holds values of one type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from croupier.core.policy.availability import SYSTEM_CLASSES
from croupier.core.policy.budgets import CONNECTS, DATABASE, IN_URL, POOL
from croupier.core.policy.edge import BACKENDS, BODIES, ENCRYPTED, HSTS, LIMITS
from croupier.core.policy.facts import DRAIN, PREFIX, REALTIME, ROOM, RUNS_TO_COMPLETION, SPOT, START
from croupier.core.policy.hardening import OF_THE_SYSTEM, SOCKETS
from croupier.core.policy.hygiene import EMAIL
from croupier.core.policy.mesh import INJECT, MODE
from croupier.core.policy.network import ANYWHERE
from croupier.core.policy.objects import Settings
from croupier.core.policy.pod_security import ADDABLE, APPARMOR, SAFE_SYSCTLS, SELINUX_TYPES, VOLUMES
from croupier.core.policy.rbac import BUILTIN
from croupier.core.policy.rollout import LEAST_GRACE_SECONDS, LEAST_REALTIME_GRACE_SECONDS
from croupier.core.policy.rule import Rule, Scope
from croupier.core.policy.secrets import FLAGS, NOT_SECRET, PRIVATE_KEY, SECRET_NAME
from croupier.core.policy.watching import RUNBOOKS
from croupier.errors import UnknownName


@dataclass(frozen=True, slots=True, order=True)
class Resource:
    """What the API server calls a kind."""

    group: str
    plural: str
    kind: str
    versions: tuple[str, ...] = ("v1",)


@dataclass(frozen=True, slots=True)
class Said:
    """A rule in CEL: what is asked, and of what."""

    expression: str
    resources: tuple[Resource, ...]


def _list(words: Iterable[str]) -> str:
    return "[" + ", ".join(f"'{_quoted(each)}'" for each in words) + "]"


def _quoted(word: str) -> str:
    return word.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")


def _told(key: str) -> str:
    """What labels say of ``key``, the pod's first, with or without the prefix."""
    return (
        f"variables.told.map(held, held[?'{key}'].orValue('') != '' ? held['{key}'] : "
        f"held[?'{PREFIX}{key}'].orValue('')).filter(value, value != '')"
    )


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
_ISTIO = ("v1", "v1beta1", "v1alpha3")
_OTHERS = {
    each.kind: each
    for each in (
        Resource("", "configmaps", "ConfigMap"),
        Resource("", "namespaces", "Namespace"),
        Resource("", "persistentvolumeclaims", "PersistentVolumeClaim"),
        Resource("", "services", "Service"),
        Resource("autoscaling", "horizontalpodautoscalers", "HorizontalPodAutoscaler", ("v1", "v2")),
        Resource("networking.k8s.io", "ingresses", "Ingress"),
        Resource("networking.k8s.io", "networkpolicies", "NetworkPolicy"),
        Resource("policy", "poddisruptionbudgets", "PodDisruptionBudget"),
        Resource("rbac.authorization.k8s.io", "clusterroles", "ClusterRole"),
        Resource("rbac.authorization.k8s.io", "roles", "Role"),
        Resource("security.openshift.io", "securitycontextconstraints", "SecurityContextConstraints"),
        Resource("keda.sh", "scaledobjects", "ScaledObject", ("v1alpha1",)),
        Resource("external-secrets.io", "externalsecrets", "ExternalSecret", ("v1", "v1beta1")),
        Resource("networking.istio.io", "virtualservices", "VirtualService", _ISTIO),
        Resource("networking.istio.io", "destinationrules", "DestinationRule", _ISTIO),
        Resource("security.istio.io", "peerauthentications", "PeerAuthentication", ("v1", "v1beta1")),
        Resource("security.istio.io", "authorizationpolicies", "AuthorizationPolicy", ("v1", "v1beta1")),
        Resource("gateway.networking.k8s.io", "httproutes", "HTTPRoute", ("v1", "v1beta1")),
        Resource("gateway.networking.k8s.io", "grpcroutes", "GRPCRoute"),
        Resource("postgresql.cnpg.io", "clusters", "Cluster"),
    )
}

_KINDS = {**{each.kind: each for each in PODS}, **_OTHERS}

VARIABLES: Mapping[str, str] = {
    "template": "object.kind == 'Pod' ? object : object.kind == 'CronJob' ? "
    "object.?spec.?jobTemplate.?spec.?template.orValue({}) : object.?spec.?template.orValue({})",
    "spec": "variables.template.?spec.orValue({})",
    "containers": "variables.spec.?containers.orValue([]) + variables.spec.?initContainers.orValue([]) + "
    "variables.spec.?ephemeralContainers.orValue([])",
    "kept": "variables.spec.?containers.orValue([]) + variables.spec.?initContainers.orValue([])",
    "ends": "object.kind in ['Job', 'CronJob'] || (object.kind == 'Pod' && "
    f"object.?metadata.?ownerReferences.orValue([]).exists(owner, owner.kind in {_list(sorted(RUNS_TO_COMPLETION))}))",
    "made": "object.kind == 'Pod' && "
    "object.?metadata.?ownerReferences.orValue([]).exists(owner, owner.?controller.orValue(false))",
    "serving": f"variables.ends || variables.spec.?priorityClassName.orValue('') == '{ROOM}' ? [] : "
    "variables.spec.?containers.orValue([])",
    "contexts": "[variables.spec.?securityContext.orValue({})] + "
    "variables.containers.map(c, c.?securityContext.orValue({}))",
    "annotations": "variables.template.?metadata.?annotations.orValue({})",
    "labels": "variables.template.?metadata.?labels.orValue({})",
    "told": "[variables.labels, object.?metadata.?labels.orValue({})]",
    "tiers": _told("tier"),
    "tier": "variables.tiers.size() > 0 ? variables.tiers[0] : ''",
    "layers": _told("layer"),
    "layer": "variables.layers.size() > 0 ? variables.layers[0] : ''",
    "listening": "variables.tier == 'batch' || variables.ends ? [] : "
    "variables.spec.?containers.orValue([]).filter(c, c.?ports.orValue([]).size() > 0)",
    "grace": "double(variables.spec.?terminationGracePeriodSeconds.orValue(30))",
    "realtime": f"variables.tier in {_list(REALTIME)} || variables.layer in {_list(REALTIME)} || "
    "variables.containers.exists(c, c.?ports.orValue([]).exists(p, "
    "p.?name.orValue('').matches(r'^(ws|wss|websocket)$|^wss?-')))",
    "volumes": "variables.spec.?volumes.orValue([])",
    "hostVolumes": "variables.volumes.filter(v, has(v.hostPath)).map(v, v.name)",
    "isWindows": "variables.spec.?os.?name.orValue('') == 'windows'",
    "inUserNamespace": "variables.spec.?hostUsers.orValue(true) == false",
}
"""Name -> expression; each sees those before it. ``serving``: those that are there to serve; none of a Job, of a pod
that a Job made, and of one that keeps room. ``kept``: without those that are only looked through. ``made``: as
``Pod.is_made``. ``told``: what people say of the pod, and then of what makes it; ``tiers``: what it is for, by either.
``listening``: as ``facts.listening``. ``grace``: seconds.
"""
_NAMED = re.compile(r"\bvariables\.([A-Za-z]+)")


def variables_of(expression: str) -> tuple[str, ...]:
    """The variables that ``expression`` needs, in an order in which each sees those that it needs itself.

    Raises ``UnknownName``.
    """
    needed: set[str] = set()
    waiting = _NAMED.findall(expression)
    while waiting:
        name = waiting.pop()
        if name not in VARIABLES:
            raise UnknownName("variable", name, list(VARIABLES))
        if name not in needed:
            needed.add(name)
            waiting += _NAMED.findall(VARIABLES[name])
    return tuple(name for name in VARIABLES if name in needed)


def said(rule: Rule, settings: Settings) -> Said | str:
    """``rule`` in CEL, or why it is not."""
    if rule.expression:
        return _written(rule)
    if rule.scope is Scope.BUNDLE:
        return "it looks at several objects, and admission sees one"
    if rule.id in _CANNOT:
        return _CANNOT[rule.id]
    if rule.id in _SETTINGS:
        expression = _SETTINGS[rule.id](settings)
        return Said(expression, PODS) if expression else "nobody has decided what it is to ask for (its option)"
    if rule.id in _OF_PODS:
        return Said(_OF_PODS[rule.id], PODS)
    if rule.id in _OF_OBJECTS:
        kinds, expression = _OF_OBJECTS[rule.id]
        return Said(expression, tuple(_KINDS[kind] for kind in kinds))
    return "it has no expression in CEL yet"


def _written(rule: Rule) -> Said | str:
    """A rule that was written in CEL."""
    if {each.kind for each in PODS} <= rule.kinds:
        return Said(rule.expression, PODS)
    unknown = sorted(rule.kinds - _KINDS.keys())
    if unknown:
        return f"what the API server calls {', '.join(unknown)} is not known here"
    return Said(rule.expression, tuple(_KINDS[kind] for kind in sorted(rule.kinds)))


def _any(words: Iterable[str]) -> str:
    return "|".join(re.escape(each) for each in words)


def _added(allowed: Iterable[str]) -> str:
    return (
        "variables.containers.all(c, c.?securityContext.?capabilities.?add.orValue([])"
        f".all(name, name in {_list(sorted(allowed))}))"
    )


def _images(test: str) -> str:
    return f"variables.containers.all(c, c.?image.orValue('') == '' || {test})"


def _folders(settings: Settings) -> list[str]:
    return [f"{each.rstrip('/')}/" for each in settings.registries]


def _set(part: str, resource: str) -> str:
    either = f"c.?resources.?{part}[?'{resource}'].hasValue()"
    if part == "requests":
        either += f" || c.?resources.?limits[?'{resource}'].hasValue()"
    return f"variables.kept.all(c, {either})"


def _annotated(wanted: str) -> str:
    return f"object.?metadata.?annotations.orValue({{}}).exists(key, key.matches(r'{wanted}'))"


def _probe(name: str) -> str:
    return f"c.?{name}.orValue({{}}) != {{}}"


_CONFINED = (
    "variables.contexts.all(s, s.?seccompProfile.?type.orValue('RuntimeDefault') in ['RuntimeDefault', 'Localhost'])"
)
_UNMASKED = "variables.containers.all(c, c.?securityContext.?procMount.orValue('Default') == 'Default')"
_ASKED = ", ".join(
    f"c.?{each}.orValue({{}})"
    for each in ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle.?postStart", "lifecycle.?preStop")
)
_FROM_SECRET = (
    "c.?env.orValue([]).all(v, !has(v.valueFrom) || !has(v.valueFrom.secretKeyRef)) && "
    "c.?envFrom.orValue([]).all(source, !has(source.secretRef))"
)
_NUMBER = "^[0-9]+([.][0-9]+)?$"
_DURATION = "^([0-9]+([.][0-9]+)?(ms|h|m|s))*[0-9.]*[1-9][0-9.]*(ms|h|m|s)([0-9]+([.][0-9]+)?(ms|h|m|s))*$"
"""Such as are longer than nothing."""
_AFTER_SLEEP = (
    "(c.?lifecycle.?preStop.?exec.?command.orValue([]).join(' ') + ' sleep -').split('sleep ')[1]"
    ".trim().split(' ')[0].split(';')[0].split('&')[0].split(')')[0]"
)
_WAITS = (
    "(c.?lifecycle.?preStop.?sleep.hasValue() ? double(c.lifecycle.preStop.sleep.?seconds.orValue(0)) : "
    f"{_AFTER_SLEEP}.matches(r'^[0-9]+$') ? double({_AFTER_SLEEP}) : 0.0)"
)
"""Seconds that the hook of container ``c`` waits before its end."""


def _said_of_it(key: str) -> str:
    """An annotation of the pod or of what makes it, optional."""
    return f"variables.annotations[?'{key}'].or(object.?metadata.?annotations[?'{key}'])"


def _window(probe: str) -> str:
    """Seconds from the start of a container until ``probe`` gives up."""
    return (
        f"(double({probe}.?initialDelaySeconds.orValue(0)) + double({probe}.?periodSeconds.orValue(10)) * "
        f"double({probe}.?failureThreshold.orValue(3)))"
    )


def _is_number(optional: str) -> str:
    return f"{optional}.orValue('').matches(r'{_NUMBER}')"


def _like(name: str, form: re.Pattern[str]) -> str:
    return f"{name}.matches(r'(?i){form.pattern}')"


def _looks_secret(name: str, value: str) -> str:
    return (
        f"({_like(value, PRIVATE_KEY)} || ({_like(name, SECRET_NAME)} && !{_like(name, NOT_SECRET)} && "
        f"!({value}.lowerAscii() in {_list(sorted(FLAGS))})))"
    )


_ENV = "c.?env.orValue([])"
_NAME, _VALUE = "v.?name.orValue('')", "v.?value.orValue('')"
_GIVES_UP = "(c.?startupProbe.orValue({}) != {} ? c.startupProbe : c.?livenessProbe.orValue({}))"
_ON_SPOT = (
    " || ".join(f"variables.spec.?nodeSelector[?'{key}'].orValue('').lowerAscii() == '{value.lower()}'"
                for key, value in SPOT)
    + " || variables.spec.?tolerations.orValue([]).exists(t, t.?key.orValue('').contains('spot') || "
    + f"t.?key.orValue('').contains('preemptible') || t.?key.orValue('') in {_list(key for key, _ in SPOT)})"
)  # fmt: skip
_OF_THE_CLUSTER = (
    "object.?metadata.?name.orValue('').startsWith('system:') || (object.kind.startsWith('Cluster') && "
    f"object.?metadata.?name.orValue('') in {_list(BUILTIN)})"
)
_OF_THE_ROUTE = (
    "(r.?redirect.orValue({}) != {} || r.?directResponse.orValue({}) != {} || r.?delegate.orValue({}) != {})"
)
_NOTED = {key: f"(variables.annotations[?'{key}'].or(object.?metadata.?annotations[?'{key}']))" for key, _ in RUNBOOKS}
_RUNBOOK = (
    f"!({' || '.join(f'{each}.hasValue()' for each in _NOTED.values())}) || ("
    + " && ".join(f"{_NOTED[key]}.orValue('').trim().matches(r'^{form.pattern}$')" for key, form in RUNBOOKS)
    + ")"
)
_OF_PODS: Mapping[str, str] = {
    # Pod Security Standards, baseline
    "host-namespaces": "!variables.spec.?hostNetwork.orValue(false) && !variables.spec.?hostPID.orValue(false) && "
    "!variables.spec.?hostIPC.orValue(false)",
    "privileged": "variables.containers.all(c, !c.?securityContext.?privileged.orValue(false))",
    "capabilities-baseline": _added(ADDABLE),
    "host-path": "variables.volumes.all(v, !has(v.hostPath))",
    "host-ports": "variables.containers.all(c, c.?ports.orValue([]).all(p, p.?hostPort.orValue(0) == 0))",
    "apparmor": "variables.contexts.all(s, s.?appArmorProfile.?type.orValue('RuntimeDefault') in "
    "['RuntimeDefault', 'Localhost']) && variables.annotations.all(key, "
    f"!key.startsWith('{APPARMOR}') || variables.annotations[key] in ['', 'runtime/default'] || "
    "variables.annotations[key].startsWith('localhost/'))",
    "selinux": f"variables.contexts.all(s, s.?seLinuxOptions.?type.orValue('') in {_list(SELINUX_TYPES)} && "
    "s.?seLinuxOptions.?user.orValue('') == '' && s.?seLinuxOptions.?role.orValue('') == '')",
    "proc-mount": f"variables.inUserNamespace || {_UNMASKED}",
    "seccomp-unconfined": _CONFINED,
    "sysctls": "variables.spec.?securityContext.?sysctls.orValue([]).all(each, "
    f"each.?name.orValue('') in {_list(sorted(SAFE_SYSCTLS))})",
    "windows-host-process": "variables.contexts.all(s, !s.?windowsOptions.?hostProcess.orValue(false))",
    "probe-host": f"variables.containers.all(c, [{_ASKED}].all(asked, asked.?httpGet.?host.orValue('') == '' && "
    "asked.?tcpSocket.?host.orValue('') == ''))",
    # Pod Security Standards, restricted
    "privilege-escalation": "variables.isWindows || "
    "variables.containers.all(c, !c.?securityContext.?allowPrivilegeEscalation.orValue(true))",
    "capabilities-restricted": "variables.isWindows || (variables.containers.all(c, "
    "'ALL' in c.?securityContext.?capabilities.?drop.orValue([])) && " + _added(["NET_BIND_SERVICE"]) + ")",
    "volume-types": f"variables.volumes.all(v, v.all(key, key == 'name' || key in {_list(sorted(VOLUMES))}))",
    "run-as-non-root": "variables.inUserNamespace || (variables.spec.?securityContext.?runAsNonRoot.orValue(true) && "
    "variables.containers.all(c, c.?securityContext.?runAsNonRoot.orValue("
    "variables.spec.?securityContext.?runAsNonRoot.orValue(false))))",
    "run-as-user": "variables.inUserNamespace || variables.contexts.all(s, s.?runAsUser.orValue(1) != 0)",
    "seccomp": f"variables.isWindows || ({_CONFINED} && "
    "(variables.spec.?securityContext.?seccompProfile.?type.hasValue() || "
    "variables.containers.all(c, c.?securityContext.?seccompProfile.?type.hasValue())))",
    "proc-mount-restricted": _UNMASKED,
    # beyond them
    "read-only-root": "variables.isWindows || "
    "variables.containers.all(c, c.?securityContext.?readOnlyRootFilesystem.orValue(false))",
    "root-group": "variables.contexts.all(s, s.?runAsGroup.orValue(1) != 0)",
    "net-raw": "variables.containers.all(c, c.?securityContext.?capabilities.?drop.orValue([]).exists(name, "
    "name.upperAscii() in ['ALL', 'NET_RAW', 'CAP_ALL', 'CAP_NET_RAW']))",
    "runtime-socket": f"variables.volumes.all(v, !v.?hostPath.?path.orValue('').matches(r'({_any(SOCKETS)})/*$'))",
    "system-folder": "variables.volumes.all(v, !has(v.hostPath) || !has(v.hostPath.path) || "
    f"!v.hostPath.path.matches(r'^({_any(each for each in OF_THE_SYSTEM if each != '/')})?/*$'))",
    "writable-host-path": "variables.containers.all(c, c.?volumeMounts.orValue([]).all(m, "
    "m.?readOnly.orValue(false) || !(m.?name.orValue('') in variables.hostVolumes)))",
    "ssh-port": "variables.containers.all(c, c.?ports.orValue([]).all(p, p.?containerPort.orValue(0) != 22 || "
    "p.?protocol.orValue('TCP') != 'TCP'))",
    "privileged-port": "variables.containers.all(c, c.?ports.orValue([]).all(p, p.?containerPort.orValue(0) < 1 || "
    "p.containerPort > 1023))",
    "default-service-account": "!(variables.spec.?serviceAccountName.or(variables.spec.?serviceAccount)"
    ".orValue('default') in ['', 'default'])",
    "dns-options": "variables.spec.?dnsConfig.?options.orValue([]).exists(each, each.?name.orValue('') == 'ndots' && "
    "each.?value.orValue('') == '2')",
    # images
    "image-tag": _images(
        "(!c.image.matches(r'^[^@]*:latest(@|$)') && (c.image.matches(r'^[^@]*:[^:/@]+(@|$)') || "
        "c.image.matches(r'@.')))"
    ),
    "image-digest": _images("c.image.matches(r'^[^@]*@(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$')"),
    "helm-tiller": _images("!c.image.matches(r'^([^@:]|:[^@:/]*/)*tiller')"),
    # resources
    "cpu-requests": _set("requests", "cpu"),
    "cpu-limits": _set("limits", "cpu"),
    "memory-requests": _set("requests", "memory"),
    "memory-limits": _set("limits", "memory"),
    "ephemeral-storage": _set("limits", "ephemeral-storage"),
    "empty-dir-limit": "variables.volumes.all(v, !has(v.emptyDir) || v.emptyDir.?sizeLimit.orValue('') != '')",
    # probes
    "liveness-probe": f"variables.serving.all(c, {_probe('livenessProbe')})",
    "readiness-probe": f"variables.serving.all(c, {_probe('readinessProbe')})",
    "startup-probe": f"variables.serving.all(c, !({_probe('livenessProbe')}) || {_probe('startupProbe')})",
    "any-probe": f"variables.serving.all(c, {_probe('livenessProbe')} || {_probe('readinessProbe')} || "
    f"{_probe('startupProbe')})",
    "probes-differ": f"variables.containers.all(c, !({_probe('livenessProbe')}) || "
    "c.?livenessProbe != c.?readinessProbe)",
    # names, priority, secrets
    "default-namespace": "object.?metadata.?namespace.orValue('') != 'default'",
    "system-priority": f"!(variables.spec.?priorityClassName.orValue('') in {_list(SYSTEM_CLASSES)}) || "
    "object.?metadata.?namespace.orValue('') == 'kube-system'",
    "node-affinity": "variables.spec.?affinity.?nodeAffinity.orValue({}) != {}",
    "runbook": _RUNBOOK,
    "mesh-outside": "variables.ends || [variables.labels, variables.annotations].all(held, "
    f"held[?'{INJECT}'].orValue('') != 'false' && held[?'{MODE}'].orValue('') != 'none')",
    # starts, ends, stores
    "early-5xx": "variables.made || variables.listening.size() == 0 || ("
    f"variables.grace >= {LEAST_GRACE_SECONDS} && variables.listening.all(c, c.?lifecycle.?preStop.orValue({{}}) != "
    f"{{}} && {_WAITS} < variables.grace && {_probe('readinessProbe')}))",
    "drain": f"{_said_of_it(DRAIN)}.hasValue() ? {_is_number(_said_of_it(DRAIN))} && variables.containers.all(c, "
    f"{_WAITS} + double({_said_of_it(DRAIN)}.orValue('0')) <= variables.grace) : variables.made || "
    f"!variables.realtime || variables.grace >= {LEAST_REALTIME_GRACE_SECONDS}",
    "warm-up": f"(!{_said_of_it(START)}.hasValue() || {_is_number(_said_of_it(START))}) && "
    f"variables.serving.all(c, {_GIVES_UP} == {{}} || ({_GIVES_UP}.?periodSeconds.orValue(10) != 0 && "
    f"(!{_said_of_it(START)}.hasValue() || "
    f"{_window(_GIVES_UP)} >= double({_said_of_it(START)}.orValue('0')))))",
    "probe-port": "variables.containers.all(c, [c.?livenessProbe.orValue({}), c.?readinessProbe.orValue({}), "
    "c.?startupProbe.orValue({})].all(asked, [asked.?httpGet.?port, asked.?tcpSocket.?port, asked.?grpc.?port]"
    ".all(port, !port.hasValue() || c.?ports.orValue([]).exists(p, "
    "string(p.?containerPort.orValue(0)) == string(port.value()) || "
    "p.?name.orValue('') == string(port.value())))))",
    "connection-avalanche": f"variables.containers.all(c, {_ENV}.all(v, "
    f"!({_like(_NAME, DATABASE)} && {_like(_NAME, CONNECTS)})) || "
    f"{_ENV}.exists(v, {_like(_NAME, POOL)} || {_VALUE}.matches(r'{IN_URL.pattern}')))",
    "spot-money": f"variables.made || !({_ON_SPOT}) || variables.tier == 'batch' || "
    "(variables.ends && variables.tier != 'money')",
    "owner-mail": f"variables.made || object.?metadata.?annotations[?'email'].orValue('').matches(r'{EMAIL.pattern}')",
    "secret-in-env": f"variables.containers.all(c, {_ENV}.all(v, !{_looks_secret(_NAME, _VALUE)}))",
    "secret-env-name": f"variables.containers.all(c, {_ENV}.all(v, !{_NAME}.lowerAscii().contains('secret') || "
    f"({_VALUE} == '' && v.?valueFrom.orValue({{}}) == {{}})))",
    "secret-env-rotation": "variables.made || variables.ends || "
    "[variables.annotations, object.?metadata.?annotations.orValue({})].exists(held, held.exists(key, "
    "key.contains('checksum') || key.startsWith('reloader.stakater.com/') || key.startsWith('secret.reloader.') || "
    f"key.startsWith('configmap.reloader.'))) || variables.containers.all(c, {_FROM_SECRET})",
    "env-from": "variables.containers.all(c, c.?envFrom.orValue([]).size() < 2)",
    "secret-env": f"variables.containers.all(c, {_FROM_SECRET})",
    "duplicate-env": "variables.containers.all(c, c.?env.orValue([]).all(v, "
    "c.env.exists_one(other, other.?name.orValue('') == v.?name.orValue(''))))",
}
"""Rule -> what is asked of pods."""

_DEADLINE = "double(object.?spec.?progressDeadlineSeconds.orValue(600))"
_READY = "double(object.?spec.?minReadySeconds.orValue(0))"
_OF_OBJECTS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "pod-security-label": (
        ("Namespace",),
        "object.?metadata.?labels[?'pod-security.kubernetes.io/enforce'].orValue('') in ['baseline', 'restricted']",
    ),
    "pdb-max-unavailable": (
        ("PodDisruptionBudget",),
        "object.?spec.?maxUnavailable.orValue(1) != 0 && object.?spec.?maxUnavailable.orValue('1') != '0' && "
        "object.?spec.?maxUnavailable.orValue('1') != '0%'",
    ),
    "pdb-unhealthy": (
        ("PodDisruptionBudget",),
        "object.?spec.?unhealthyPodEvictionPolicy.orValue('') != ''",
    ),
    "hpa-least": (("HorizontalPodAutoscaler",), "object.?spec.?minReplicas.orValue(1) >= 2"),
    "hpa-least-three": (("HorizontalPodAutoscaler",), "object.?spec.?minReplicas.orValue(1) >= 3"),
    "scale-down": (
        ("HorizontalPodAutoscaler",),
        "object.?spec.?behavior.?scaleDown.?stabilizationWindowSeconds.orValue(60) >= 60 && "
        "object.?spec.?behavior.?scaleUp.?selectPolicy.orValue('') != 'Disabled'",
    ),
    "egress-anywhere": (
        ("NetworkPolicy",),
        "object.?spec.?egress.orValue([]).all(rule, (rule.?to.orValue([]).size() > 0 || "
        "rule.?ports.orValue([]).size() > 0) && rule.?to.orValue([]).all(peer, "
        f"!(peer.?ipBlock.?cidr.orValue('') in {_list(ANYWHERE)})))",
    ),
    "exposed-service": (
        ("Service",),
        "!(object.?spec.?type.orValue('') in ['NodePort', 'LoadBalancer'])",
    ),
    "node-port": (("Service",), "object.?spec.?type.orValue('') != 'NodePort'"),
    "external-ips": (("Service",), "object.?spec.?externalIPs.orValue([]).size() == 0"),
    "ingress-rate-limit": (("Ingress",), _annotated(LIMITS)),
    "ingress-body-size": (("Ingress",), _annotated(BODIES)),
    "ingress-hsts": (
        ("Ingress", "ConfigMap"),
        "object.kind == 'ConfigMap' ? object.?data.?hsts.orValue('').lowerAscii() != 'false' : "
        "(object.?spec.?ingressClassName.orValue('') + '/' + "
        "object.?metadata.?annotations[?'kubernetes.io/ingress.class'].orValue('')).contains('nginx') || "
        + _annotated(HSTS),
    ),
    "ingress-backend-tls": (
        ("Ingress",),
        "object.?metadata.?annotations.orValue({}).exists(key, "
        f"key.matches(r'{BACKENDS}') && (key.endsWith('/proxy-ssl-secret') || "
        f"object.metadata.annotations[key] in {_list(ENCRYPTED)}))",
    ),
    "ingress-host": (("Ingress",), "object.?spec.?rules.orValue([]).all(rule, rule.?host.orValue('') != '')"),
    "ingress-wildcard": (
        ("Ingress",),
        "object.?spec.?rules.orValue([]).all(rule, !rule.?host.orValue('').startsWith('*'))",
    ),
    "ingress-tls": (
        ("Ingress",),
        "object.?spec.?tls.orValue([]).size() > 0 && (object.spec.tls.all(t, t.?hosts.orValue([]).size() == 0) || "
        "object.?spec.?rules.orValue([]).all(rule, rule.?host.orValue('') == '' || object.spec.tls.exists(t, "
        "t.?hosts.orValue([]).exists(host, host == rule.host || (rule.host.contains('.') && "
        "host == '*.' + rule.host.split('.', 2)[1])))))",
    ),
    "rolling-update": (
        ("Deployment",),
        "object.?spec.?strategy.?type.orValue('RollingUpdate') in ['Rolling', 'RollingUpdate'] || "
        "object.?spec.?replicas.orValue(1) == 0",
    ),
    "three-replicas": (("Deployment",), "object.?spec.?replicas.orValue(1) >= 3"),
    "topology-spread": (
        ("Deployment", "ReplicaSet", "ReplicationController", "StatefulSet"),
        "object.?spec.?template.orValue({}) == {} || "
        "object.?spec.?template.?spec.?topologySpreadConstraints.orValue([]).size() > 0",
    ),
    "rollout-timing": (
        ("Deployment",),
        f"{_DEADLINE} > {_READY} && object.?spec.?template.?spec.?containers.orValue([]).all(c, "
        f"c.?startupProbe.orValue({{}}) == {{}} || {_DEADLINE} > {_window('c.startupProbe')} + {_READY}) && "
        "(object.?spec.?strategy.?type.orValue('RollingUpdate') != 'RollingUpdate' || "
        "!string(object.?spec.?strategy.?rollingUpdate.?maxUnavailable.orValue(0))"
        ".matches(r'^([5-9][0-9]|[0-9]{3,})%$'))",
    ),
    "job-ttl": (
        ("Job", "CronJob"),
        "object.kind == 'Job' ? object.?spec.?ttlSecondsAfterFinished.hasValue() || "
        "object.?metadata.?ownerReferences.orValue([]).exists(owner, owner.kind == 'CronJob') : "
        "!object.?spec.?jobTemplate.?spec.?ttlSecondsAfterFinished.hasValue()",
    ),
    "cron-deadline": (("CronJob",), "object.?spec.?startingDeadlineSeconds.hasValue()"),
    "storage-class": (
        ("PersistentVolumeClaim", "StatefulSet"),
        "object.kind == 'StatefulSet' ? object.?spec.?volumeClaimTemplates.orValue([]).all(claim, "
        "claim.?spec.?storageClassName.orValue('') != '') : object.?spec.?storageClassName.orValue('') != ''",
    ),
    "hpa-range": (
        ("HorizontalPodAutoscaler", "ScaledObject"),
        "object.kind == 'ScaledObject' ? !object.?spec.?maxReplicaCount.hasValue() || "
        "object.spec.maxReplicaCount > object.spec.?minReplicaCount.orValue(0) : "
        "!object.?spec.?maxReplicas.hasValue() || object.spec.maxReplicas > object.spec.?minReplicas.orValue(1)",
    ),
    "keda-bounds": (
        ("ScaledObject",),
        " && ".join(
            f"object.?spec.?{key}.hasValue()"
            for key in ("minReplicaCount", "maxReplicaCount", "fallback", "cooldownPeriod")
        ),
    ),
    "secret-in-config-map": (
        ("ConfigMap",),
        f"object.?data.orValue({{}}).all(key, !{_looks_secret('key', 'object.data[key]')})",
    ),
    "security-context-constraints": (
        ("SecurityContextConstraints",),
        "!object.?allowPrivilegedContainer.orValue(false)",
    ),
    "secret-refresh": (
        ("ExternalSecret",),
        "object.?spec.?refreshPolicy.orValue('') != 'CreatedOnce' && "
        "!(string(object.?spec.?refreshInterval.orValue('1h')) in ['0', '0s', '0m', '0h'])",
    ),
    "rbac-wildcard": (
        ("Role", "ClusterRole"),
        f"{_OF_THE_CLUSTER} || object.?rules.orValue([]).all(rule, !('*' in rule.?resources.orValue([])) && "
        "!('*' in rule.?verbs.orValue([])))",
    ),
    "rbac-exec": (
        ("Role", "ClusterRole"),
        f"{_OF_THE_CLUSTER} || object.?rules.orValue([]).all(rule, !rule.?resources.orValue([]).exists(each, "
        "each in ['*', 'pods/*', 'pods/attach', 'pods/exec']) || !rule.?verbs.orValue([]).exists(each, "
        "each in ['*', 'create', 'get']))",
    ),
    "mesh-no-timeout": (
        ("VirtualService", "HTTPRoute", "GRPCRoute"),
        f"object.kind == 'VirtualService' ? object.?spec.?http.orValue([]).all(r, {_OF_THE_ROUTE} || "
        f"r.?timeout.orValue('').matches(r'{_DURATION}')) : object.?spec.?rules.orValue([]).all(r, "
        "r.?filters.orValue([]).exists(f, f.?type.orValue('') == 'RequestRedirect') || "
        f"r.?timeouts.?request.orValue('').matches(r'{_DURATION}'))",
    ),
    "mesh-no-limits": (
        ("DestinationRule",),
        " && ".join(
            "([object.?spec.?trafficPolicy.orValue({})] + object.?spec.?subsets.orValue([])"
            f".map(s, s.?trafficPolicy.orValue({{}}))).exists(policy, policy.?{key}.orValue({{}}) != {{}})"
            for key in ("connectionPool", "outlierDetection")
        ),
    ),
    "mesh-mtls": (
        ("PeerAuthentication", "DestinationRule"),
        "object.kind == 'DestinationRule' ? object.?spec.?trafficPolicy.?tls.?mode.orValue('') != 'DISABLE' : "
        "!(object.?spec.?mtls.?mode.orValue('') in ['PERMISSIVE', 'DISABLE'])",
    ),
    "mesh-anybody": (
        ("AuthorizationPolicy",),
        "object.?spec.?action.orValue('ALLOW') != 'ALLOW' || object.?spec.?rules.orValue([]).all(rule, "
        "rule.?from.orValue([]).size() > 0 || rule.?to.orValue([]).size() > 0 || rule.?when.orValue([]).size() > 0)",
    ),
    "database-backup": (
        ("Cluster",),
        "(object.?spec.?plugins.orValue([]).exists(plugin, plugin.?isWALArchiver.orValue(false) && "
        "plugin.?enabled.orValue(true)) || (object.?spec.?backup.?barmanObjectStore.orValue({}) != {} && "
        "object.?spec.?backup.?retentionPolicy.orValue('') != '')) && object.?spec.?instances.orValue(1) >= 2",
    ),
    "ingress-snippet": (
        ("Ingress",),
        "object.?metadata.?annotations.orValue({}).all(key, !key.endsWith('-snippet') || !key.contains('ingress'))",
    ),
}
"""Rule -> the kinds it asks, and what."""

_SETTINGS: Mapping[str, Callable[[Settings], str]] = {
    "image-registry": lambda settings: (
        _images(f"{_list(_folders(settings))}.exists(prefix, c.image.startsWith(prefix))")
        if settings.registries
        else ""
    ),
    "required-labels": lambda settings: " && ".join(
        f"(variables.made || object.?metadata.?labels[?'{_quoted(each)}'].orValue('') != '')"
        for each in settings.labels
    ),
    "priority-class": lambda settings: (
        f"variables.spec.?priorityClassName.orValue('') in {_list(('', *settings.priority_classes))}"
        if settings.priority_classes
        else "variables.spec.?priorityClassName.orValue('') != ''"
    ),
}
"""Rule -> what is asked of pods, by what people decided; "" where nothing was."""

_ASKED = "the API server asks it already"
_FILLED = "the API server fills the field itself, so that it is always as it should be or never"
_CANNOT: Mapping[str, str] = {
    "duplicate-key": "it is about the text, of which the API server no longer knows",
    "waiver": "it is about this checker's own exceptions",
    "removed-api": "the API server that serves no such version answers by itself",
    "schema": _ASKED,
    "schema-known": _ASKED,
    "selector": _ASKED,
    "target-port": _ASKED,
    "instance-label": "pods that a controller makes are called otherwise than what their labels say",
    "namespace-named": _FILLED,
    "service-account-field": _FILLED,
    "restart-policy": _FILLED,
    "pull-policy": _FILLED,
    "secret-in-git": "it is about Git; a Secret in the cluster is where it belongs",
}
"""Rule on single objects -> why admission cannot ask it."""
