"""Words in which rules are said in CEL, and the variables that expressions see."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from croupier.core.policy.facts import PREFIX, REALTIME, ROOM, RUNS_TO_COMPLETION
from croupier.errors import UnknownName


def words(found: Iterable[str]) -> str:
    """A list of words."""
    return "[" + ", ".join(f"'{quoted(each)}'" for each in found) + "]"


def quoted(word: str) -> str:
    """What stands between two quotes."""
    return word.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")


def _told(key: str) -> str:
    """What labels say of ``key``, the pod's first, with or without the prefix."""
    return (
        f"variables.told.map(held, held[?'{key}'].orValue('') != '' ? held['{key}'] : "
        f"held[?'{PREFIX}{key}'].orValue('')).filter(value, value != '')"
    )


VARIABLES: Mapping[str, str] = {
    "template": "object.kind == 'Pod' ? object : object.kind == 'CronJob' ? "
    "object.?spec.?jobTemplate.?spec.?template.orValue({}) : object.?spec.?template.orValue({})",
    "spec": "variables.template.?spec.orValue({})",
    "containers": "variables.spec.?containers.orValue([]) + variables.spec.?initContainers.orValue([]) + "
    "variables.spec.?ephemeralContainers.orValue([])",
    "kept": "variables.spec.?containers.orValue([]) + variables.spec.?initContainers.orValue([])",
    "ends": "object.kind in ['Job', 'CronJob'] || (object.kind == 'Pod' && "
    f"object.?metadata.?ownerReferences.orValue([]).exists(owner, owner.kind in {words(sorted(RUNS_TO_COMPLETION))}))",
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
    "traffics": _told("traffic"),
    "realtime": f"variables.tier in {words(REALTIME)} || variables.layer in {words(REALTIME)} || "
    f"(variables.traffics.size() > 0 && variables.traffics[0] in {words(REALTIME)}) || "
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


def like(name: str, form: re.Pattern[str]) -> str:
    """``name`` matches ``form``, in capitals or small letters."""
    return f"{name}.matches(r'(?i){form.pattern}')"


ENV = "c.?env.orValue([])"
NAME, VALUE = "v.?name.orValue('')", "v.?value.orValue('')"
"""Variables of the environment of container ``c``; name and value of one of them, ``v``."""
FROM_SECRET = (
    "c.?env.orValue([]).all(v, !has(v.valueFrom) || !has(v.valueFrom.secretKeyRef)) && "
    "c.?envFrom.orValue([]).all(source, !has(source.secretRef))"
)
"""Container ``c`` takes no variable of its environment from a Secret."""
