"""Rules in CEL: what pods may do, whose images they run, their names, secrets and rights; see ``cel.py``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from croupier.core.policy.cel_words import ENV, FROM_SECRET, NAME, VALUE, like, words
from croupier.core.policy.hardening import OF_THE_SYSTEM, SOCKETS
from croupier.core.policy.hygiene import EMAIL
from croupier.core.policy.pod_security import ADDABLE, APPARMOR, SAFE_SYSCTLS, SELINUX_TYPES, VOLUMES
from croupier.core.policy.rbac import BECOMES, BUILTIN, TOKENS
from croupier.model.secret_look import FLAGS, IN_ADDRESS, NOT_SECRET, PRIVATE_KEY, SECRET_NAME


def _any(words: Iterable[str]) -> str:
    return "|".join(re.escape(each) for each in words)


def _added(allowed: Iterable[str]) -> str:
    return (
        "variables.containers.all(c, c.?securityContext.?capabilities.?add.orValue([])"
        f".all(name, name in {words(sorted(allowed))}))"
    )


def of_images(test: str) -> str:
    """``test`` holds of the image of each container ``c`` that names one."""
    return f"variables.containers.all(c, c.?image.orValue('') == '' || {test})"


def _looks_secret(name: str, value: str) -> str:
    return (
        f"({like(value, PRIVATE_KEY)} || {like(value, IN_ADDRESS)} || ({like(name, SECRET_NAME)} && "
        f"!{like(name, NOT_SECRET)} && !({value}.lowerAscii() in {words(sorted(FLAGS))})))"
    )


_CONFINED = (
    "variables.contexts.all(s, s.?seccompProfile.?type.orValue('RuntimeDefault') in ['RuntimeDefault', 'Localhost'])"
)
_UNMASKED = "variables.containers.all(c, c.?securityContext.?procMount.orValue('Default') == 'Default')"
_ASKED = ", ".join(
    f"c.?{each}.orValue({{}})"
    for each in ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle.?postStart", "lifecycle.?preStop")
)
_OF_THE_CLUSTER = (
    "object.?metadata.?name.orValue('').startsWith('system:') || (object.kind.startsWith('Cluster') && "
    f"object.?metadata.?name.orValue('') in {words(BUILTIN)})"
)
OF_PODS: Mapping[str, str] = {
    # hygiene.py
    "default-namespace": "object.?metadata.?namespace.orValue('') != 'default'",
    "owner-mail": f"variables.made || object.?metadata.?annotations[?'email'].orValue('').matches(r'{EMAIL.pattern}')",
    # pod_security.py
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
    "selinux": f"variables.contexts.all(s, s.?seLinuxOptions.?type.orValue('') in {words(SELINUX_TYPES)} && "
    "s.?seLinuxOptions.?user.orValue('') == '' && s.?seLinuxOptions.?role.orValue('') == '')",
    "proc-mount": f"variables.inUserNamespace || {_UNMASKED}",
    "seccomp-unconfined": _CONFINED,
    "sysctls": "variables.spec.?securityContext.?sysctls.orValue([]).all(each, "
    f"each.?name.orValue('') in {words(sorted(SAFE_SYSCTLS))})",
    "windows-host-process": "variables.contexts.all(s, !s.?windowsOptions.?hostProcess.orValue(false))",
    "probe-host": f"variables.containers.all(c, [{_ASKED}].all(asked, asked.?httpGet.?host.orValue('') == '' && "
    "asked.?tcpSocket.?host.orValue('') == ''))",
    "privilege-escalation": "variables.isWindows || "
    "variables.containers.all(c, !c.?securityContext.?allowPrivilegeEscalation.orValue(true))",
    "capabilities-restricted": "variables.isWindows || (variables.containers.all(c, "
    "'ALL' in c.?securityContext.?capabilities.?drop.orValue([])) && " + _added(["NET_BIND_SERVICE"]) + ")",
    "volume-types": f"variables.volumes.all(v, v.all(key, key == 'name' || key in {words(sorted(VOLUMES))}))",
    "run-as-non-root": "variables.inUserNamespace || (variables.spec.?securityContext.?runAsNonRoot.orValue(true) && "
    "variables.containers.all(c, c.?securityContext.?runAsNonRoot.orValue("
    "variables.spec.?securityContext.?runAsNonRoot.orValue(false))))",
    "run-as-user": "variables.inUserNamespace || variables.contexts.all(s, s.?runAsUser.orValue(1) != 0)",
    "seccomp": f"variables.isWindows || ({_CONFINED} && "
    "(variables.spec.?securityContext.?seccompProfile.?type.hasValue() || "
    "variables.containers.all(c, c.?securityContext.?seccompProfile.?type.hasValue())))",
    "proc-mount-restricted": _UNMASKED,
    # hardening.py
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
    # images.py
    "image-tag": of_images(
        "(!c.image.matches(r'^[^@]*:latest(@|$)') && (c.image.matches(r'^[^@]*:[^:/@]+(@|$)') || "
        "c.image.matches(r'@.')))"
    ),
    "image-digest": of_images("c.image.matches(r'^[^@]*@(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$')"),
    "helm-tiller": of_images("!c.image.matches(r'^([^@:]|:[^@:/]*/)*tiller')"),
    # secrets.py
    "secret-in-env": f"variables.containers.all(c, {ENV}.all(v, !{_looks_secret(NAME, VALUE)}))",
    "secret-env-name": f"variables.containers.all(c, {ENV}.all(v, !{NAME}.lowerAscii().contains('secret') || "
    f"({VALUE} == '' && v.?valueFrom.orValue({{}}) == {{}})))",
    "secret-env": f"variables.containers.all(c, {FROM_SECRET})",
    "env-from": "variables.containers.all(c, c.?envFrom.orValue([]).size() < 2)",
    "duplicate-env": "variables.containers.all(c, c.?env.orValue([]).all(v, "
    "c.env.exists_one(other, other.?name.orValue('') == v.?name.orValue(''))))",
}
"""Rule -> what is asked of pods."""
OF_OBJECTS: Mapping[str, tuple[tuple[str, ...], str]] = {
    # hygiene.py
    "pod-security-label": (
        ("Namespace",),
        "object.?metadata.?labels[?'pod-security.kubernetes.io/enforce'].orValue('') in ['baseline', 'restricted']",
    ),
    # hardening.py
    "security-context-constraints": (
        ("SecurityContextConstraints",),
        "!object.?allowPrivilegedContainer.orValue(false)",
    ),
    # secrets.py
    "secret-in-config-map": (
        ("ConfigMap",),
        f"object.?data.orValue({{}}).all(key, !{_looks_secret('key', 'object.data[key]')})",
    ),
    # rbac.py
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
    "rbac-escalate": (
        ("Role", "ClusterRole"),
        f"{_OF_THE_CLUSTER} || object.?rules.orValue([]).all(rule, !rule.?verbs.orValue([]).exists(each, "
        f"each in {words(BECOMES)}) && (!('{TOKENS}' in rule.?resources.orValue([])) || "
        "!rule.?verbs.orValue([]).exists(each, each in ['*', 'create'])))",
    ),
}
"""Rule -> the kinds it asks, and what."""
