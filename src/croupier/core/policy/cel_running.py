"""Rules in CEL: how pods start, end, scale and keep apart, and what they keep; see ``cel.py``."""

from __future__ import annotations

from collections.abc import Mapping

from croupier.core.policy.availability import SYSTEM_CLASSES
from croupier.core.policy.budgets import CONNECTS, DATABASE, IN_URL, POOL
from croupier.core.policy.cel_words import ENV, FROM_SECRET, NAME, VALUE, like, words
from croupier.core.policy.facts import DRAIN, SPOT, START
from croupier.core.policy.rollout import LEAST_GRACE_SECONDS, LEAST_REALTIME_GRACE_SECONDS
from croupier.core.policy.scaling import ASKS_NOBODY
from croupier.core.policy.watching import RUNBOOKS
from croupier.core.policy.world import NOT_SCALED, SCALERS


def _set(part: str, resource: str) -> str:
    either = f"c.?resources.?{part}[?'{resource}'].hasValue()"
    if part == "requests":
        either += f" || c.?resources.?limits[?'{resource}'].hasValue()"
    return f"variables.kept.all(c, {either})"


def _memory(part: str) -> str:
    return f"string(c.?resources.?{part}.?memory.orValue(''))"


def _probe(name: str) -> str:
    return f"c.?{name}.orValue({{}}) != {{}}"


def _asks_nobody(kinds: tuple[str, ...]) -> str:
    return (
        "(object.?spec.?triggers.orValue([]).size() > 0 && object.?spec.?triggers.orValue([])"
        f".all(trigger, trigger.?type.orValue('') in {words(kinds)}))"
    )


_BEHAVIOR = (
    "(object.kind == 'ScaledObject' ? object.?spec.?advanced.?horizontalPodAutoscalerConfig.?behavior.orValue({}) : "
    "object.?spec.?behavior.orValue({}))"
)
_NOT_SCALED = f"object.?metadata.?annotations[?'{NOT_SCALED}'].orValue('') == 'true'"
_NUMBER = "^[0-9]+([.][0-9]+)?$"
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


_GIVES_UP = "(c.?startupProbe.orValue({}) != {} ? c.startupProbe : c.?livenessProbe.orValue({}))"
_ON_SPOT = (
    " || ".join(f"variables.spec.?nodeSelector[?'{key}'].orValue('').lowerAscii() == '{value.lower()}'"
                for key, value in SPOT)
    + " || variables.spec.?tolerations.orValue([]).exists(t, t.?key.orValue('').contains('spot') || "
    + f"t.?key.orValue('').contains('preemptible') || t.?key.orValue('') in {words(key for key, _ in SPOT)})"
)  # fmt: skip
_NOTED = {key: f"(variables.annotations[?'{key}'].or(object.?metadata.?annotations[?'{key}']))" for key, _ in RUNBOOKS}
_RUNBOOK = (
    f"!({' || '.join(f'{each}.hasValue()' for each in _NOTED.values())}) || ("
    + " && ".join(f"{_NOTED[key]}.orValue('').trim().matches(r'^{form.pattern}$')" for key, form in RUNBOOKS)
    + ")"
)
_TAKEN = (
    "t.?labelSelector.hasValue() && t.labelSelector.?matchLabels.orValue({}).all(key, key in variables.labels && "
    "variables.labels[key] == t.labelSelector.matchLabels[key]) && "
    "t.labelSelector.?matchExpressions.orValue([]).all(e, e.?operator.orValue('') == 'In' ? "
    "e.key in variables.labels && variables.labels[e.key] in e.?values.orValue([]) : "
    "e.?operator.orValue('') == 'NotIn' ? "
    "!(e.key in variables.labels) || !(variables.labels[e.key] in e.?values.orValue([])) : "
    "e.?operator.orValue('') == 'Exists' ? e.key in variables.labels : "
    "e.?operator.orValue('') == 'DoesNotExist' && !(e.key in variables.labels))"
)
"""Term ``t`` of an affinity takes pods of the same kind."""
_NEEDED, _WISHED = "requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution"
_KEEPS_APART = (
    f"(variables.spec.?affinity.?podAntiAffinity.?{_NEEDED}.orValue([]) + "
    f"variables.spec.?affinity.?podAntiAffinity.?{_WISHED}.orValue([]).map(p, p.?podAffinityTerm.orValue({{}})))"
    f".exists(t, {_TAKEN} && t.?topologyKey.orValue('') != '' && (t.?namespaces.orValue([]).size() == 0 || "
    "object.?metadata.?namespace.orValue('') in t.namespaces))"
)
_SEVERAL = ("Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "Rollout")
_DEADLINE = "double(object.?spec.?progressDeadlineSeconds.orValue(600))"
_READY = "double(object.?spec.?minReadySeconds.orValue(0))"
OF_PODS: Mapping[str, str] = {
    # resources.py
    "cpu-requests": _set("requests", "cpu"),
    "cpu-limits": _set("limits", "cpu"),
    "memory-requests": _set("requests", "memory"),
    "memory-limits": _set("limits", "memory"),
    "memory-ratio": f"variables.containers.all(c, !isQuantity({_memory('requests')}) || "
    f"!isQuantity({_memory('limits')}) || [quantity({_memory('requests')}).asApproximateFloat()].all(asked, "
    f"asked == 0.0 || quantity({_memory('limits')}).asApproximateFloat() <= 2.0 * asked))",
    "empty-dir-limit": "variables.volumes.all(v, !has(v.emptyDir) || v.emptyDir.?sizeLimit.orValue('') != '')",
    "ephemeral-storage": _set("limits", "ephemeral-storage"),
    # probes.py
    "liveness-probe": f"variables.serving.all(c, {_probe('livenessProbe')})",
    "readiness-probe": f"variables.serving.all(c, {_probe('readinessProbe')})",
    "startup-probe": f"variables.serving.all(c, !({_probe('livenessProbe')}) || {_probe('startupProbe')})",
    "any-probe": f"variables.serving.all(c, {_probe('livenessProbe')} || {_probe('readinessProbe')} || "
    f"{_probe('startupProbe')})",
    "probes-differ": f"variables.containers.all(c, !({_probe('livenessProbe')}) || "
    "c.?livenessProbe != c.?readinessProbe)",
    "probe-port": "variables.containers.all(c, [c.?livenessProbe.orValue({}), c.?readinessProbe.orValue({}), "
    "c.?startupProbe.orValue({})].all(asked, [asked.?httpGet.?port, asked.?tcpSocket.?port, asked.?grpc.?port]"
    ".all(port, !port.hasValue() || c.?ports.orValue([]).exists(p, "
    "string(p.?containerPort.orValue(0)) == string(port.value()) || "
    "p.?name.orValue('') == string(port.value())))))",
    # availability.py
    "system-priority": f"!(variables.spec.?priorityClassName.orValue('') in {words(SYSTEM_CLASSES)}) || "
    "object.?metadata.?namespace.orValue('') == 'kube-system'",
    "node-affinity": "variables.spec.?affinity.?nodeAffinity.orValue({}) != {}",
    # rollout.py
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
    # budgets.py
    "connection-avalanche": f"variables.containers.all(c, {ENV}.all(v, "
    f"!({like(NAME, DATABASE)} && {like(NAME, CONNECTS)})) || "
    f"{ENV}.exists(v, {like(NAME, POOL)} || {VALUE}.matches(r'{IN_URL.pattern}')))",
    # rotation.py
    "secret-env-rotation": "variables.made || variables.ends || "
    "[variables.annotations, object.?metadata.?annotations.orValue({})].exists(held, held.exists(key, "
    "key.contains('checksum') || key.startsWith('reloader.stakater.com/') || key.startsWith('secret.reloader.') || "
    f"key.startsWith('configmap.reloader.'))) || variables.containers.all(c, {FROM_SECRET})",
    # placement.py
    "spot-money": f"variables.made || !({_ON_SPOT}) || variables.tier == 'batch' || "
    "(variables.ends && variables.tier != 'money')",
    # watching.py
    "runbook": _RUNBOOK,
}
"""Rule -> what is asked of pods."""
OF_OBJECTS: Mapping[str, tuple[tuple[str, ...], str]] = {
    # availability.py
    "pdb-max-unavailable": (
        ("PodDisruptionBudget",),
        "object.?spec.?maxUnavailable.orValue(1) != 0 && object.?spec.?maxUnavailable.orValue('1') != '0' && "
        "object.?spec.?maxUnavailable.orValue('1') != '0%'",
    ),
    "pdb-unhealthy": (
        ("PodDisruptionBudget",),
        "object.?spec.?unhealthyPodEvictionPolicy.orValue('') != ''",
    ),
    "rolling-update": (
        ("Deployment",),
        "object.?spec.?strategy.?type.orValue('RollingUpdate') in ['Rolling', 'RollingUpdate'] || "
        "object.?spec.?replicas.orValue(1) == 0",
    ),
    "three-replicas": (("Deployment",), "object.?spec.?replicas.orValue(1) >= 3"),
    "hpa-range": (
        SCALERS,
        "object.kind == 'HTTPScaledObject' ? !object.?spec.?replicas.?max.hasValue() || "
        "object.spec.replicas.max > object.spec.replicas.?min.orValue(0) : "
        "object.kind == 'ScaledObject' ? !object.?spec.?maxReplicaCount.hasValue() || "
        "object.spec.maxReplicaCount > object.spec.?minReplicaCount.orValue(0) : "
        "!object.?spec.?maxReplicas.hasValue() || object.spec.maxReplicas > object.spec.?minReplicas.orValue(1)",
    ),
    "hpa-least": (("HorizontalPodAutoscaler",), "object.?spec.?minReplicas.orValue(1) >= 2"),
    "hpa-least-three": (("HorizontalPodAutoscaler",), "object.?spec.?minReplicas.orValue(1) >= 3"),
    "anti-affinity": (
        _SEVERAL,
        f"object.?spec.?replicas.orValue(1) <= 1 || object.?spec.?template.orValue({{}}) == {{}} || {_KEEPS_APART}",
    ),
    "topology-spread": (
        _SEVERAL,
        "object.?spec.?template.orValue({}) == {} || "
        "object.?spec.?template.?spec.?topologySpreadConstraints.orValue([]).size() > 0",
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
    # rollout.py
    "rollout-timing": (
        ("Deployment",),
        f"{_DEADLINE} > {_READY} && object.?spec.?template.?spec.?containers.orValue([]).all(c, "
        f"c.?startupProbe.orValue({{}}) == {{}} || {_DEADLINE} > {_window('c.startupProbe')} + {_READY}) && "
        "(object.?spec.?strategy.?type.orValue('RollingUpdate') != 'RollingUpdate' || "
        "!string(object.?spec.?strategy.?rollingUpdate.?maxUnavailable.orValue(0))"
        ".matches(r'^([5-9][0-9]|[0-9]{3,})%$'))",
    ),
    # scaling.py
    "scale-down": (
        SCALERS,
        f"object.kind == 'HTTPScaledObject' ? {_NOT_SCALED} || object.?spec.?scaledownPeriod.orValue(60) >= 60 || "
        "object.?spec.?replicas.?min.orValue(0) != 0 : "
        f"({_asks_nobody(('cron',))} || {_BEHAVIOR}.?scaleDown.?stabilizationWindowSeconds.orValue(60) >= 60) && "
        f"{_BEHAVIOR}.?scaleUp.?selectPolicy.orValue('') != 'Disabled'",
    ),
    "keda-bounds": (
        ("ScaledObject", "HTTPScaledObject"),
        f"object.kind == 'HTTPScaledObject' ? {_NOT_SCALED} || (object.?spec.?replicas.?min.hasValue() && "
        "object.?spec.?replicas.?max.hasValue() && object.?spec.?scaledownPeriod.hasValue()) : "
        + " && ".join(
            f"object.?spec.?{key}.hasValue()" for key in ("minReplicaCount", "maxReplicaCount", "cooldownPeriod")
        )
        + f" && (object.?spec.?fallback.hasValue() || {_asks_nobody(ASKS_NOBODY)})",
    ),
    # rotation.py
    "secret-refresh": (
        ("ExternalSecret",),
        "object.?spec.?refreshPolicy.orValue('') != 'CreatedOnce' && "
        "!(string(object.?spec.?refreshInterval.orValue('1h')) in ['0', '0s', '0m', '0h'])",
    ),
    "database-backup": (
        ("Cluster",),
        "(object.?spec.?plugins.orValue([]).exists(plugin, plugin.?isWALArchiver.orValue(false) && "
        "plugin.?enabled.orValue(true)) || (object.?spec.?backup.?barmanObjectStore.orValue({}) != {} && "
        "object.?spec.?backup.?retentionPolicy.orValue('') != '')) && object.?spec.?instances.orValue(1) >= 2",
    ),
}
"""Rule -> the kinds it asks, and what."""
