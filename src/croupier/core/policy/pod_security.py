"""The Pod Security Standards of Kubernetes: baseline, then restricted (kubernetes.io/docs/concepts/security).

As v1.37 has them, or as an older minor version had them where ``Settings.standard`` says so: a cluster, or the label of
a namespace, may hold pods against another one.
"""

from __future__ import annotations

from collections.abc import Iterator

from croupier.core.policy.objects import Pod, at, items, listed, mapping, text
from croupier.core.policy.rule import Hit, Level, pod_rule

BASELINE = "S10.1; Pod Security Standards v1.37, baseline"
RESTRICTED = "S10.1; Pod Security Standards v1.37, restricted"
ADDABLE = frozenset(
    (
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    )
)  # fmt: skip
SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
_SELINUX_LATER = {"container_engine_t": 31}
"""Type -> the minor version of the standards that allows it first."""
SAFE_SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_notsent_lowat", "net.ipv4.tcp_rmem", "net.ipv4.tcp_slow_start_after_idle",
        "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
    )
)  # fmt: skip
_SYSCTLS_LATER = {
    "net.ipv4.ip_local_reserved_ports": 27,
    "net.ipv4.tcp_keepalive_time": 29,
    "net.ipv4.tcp_fin_timeout": 29,
    "net.ipv4.tcp_keepalive_intvl": 29,
    "net.ipv4.tcp_keepalive_probes": 29,
    "net.ipv4.tcp_rmem": 32,
    "net.ipv4.tcp_wmem": 32,
    "net.ipv4.tcp_slow_start_after_idle": 37,
    "net.ipv4.tcp_notsent_lowat": 37,
}
"""Sysctl -> the minor version of the standards that allows it first."""
VOLUMES = frozenset(
    ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret")
)
ASKING = (
    ("livenessProbe",), ("readinessProbe",), ("startupProbe",), ("lifecycle", "postStart"), ("lifecycle", "preStop"),
)  # fmt: skip
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"


def _since(pod: Pod, minor: int) -> bool:
    """Whether the standards that ``pod`` is held against are those of v1.``minor`` or later."""
    return pod.owner.settings.standard >= minor


def _in_user_namespace(pod: Pod) -> bool:
    """Whether the pod is excused for having users of its own, as it is since v1.35."""
    return pod.spec.get("hostUsers") is False and _since(pod, 35)


def _is_exempt(pod: Pod) -> bool:
    """Whether the pod is excused for being one of Windows, as it is since v1.25."""
    return pod.is_windows and _since(pod, 25)


# --- baseline ---------------------------------------------------------------------------------------------------------


@pod_rule(
    "host-namespaces",
    "The pod shares no namespace of its node",
    level=Level.ERROR,
    source=BASELINE,
    why="With the node's network, processes or IPC a pod reads and stops what other tenants run there.",
    fix="Remove hostNetwork, hostPID and hostIPC.",
    bad="hostNetwork: true",
    good="containers: [{name: app, image: registry.example/bets}]",
)
def host_namespaces(pod: Pod) -> Iterator[Hit]:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.spec.get(key) is True:
            yield Hit((*pod.path, key), f"{key} gives the pod a namespace of its node")


@pod_rule(
    "privileged",
    "No container is privileged",
    level=Level.ERROR,
    source=f"S10.2; {BASELINE}",
    why="A privileged container is root on the node: it reads every secret of every pod that runs there.",
    fix="Remove privileged: true; add the one capability that is needed, if any.",
    bad="containers: [{name: app, image: registry.example/bets, securityContext: {privileged: true}}]",
    good="containers: [{name: app, image: registry.example/bets, securityContext: {privileged: false}}]",
)
def privileged(pod: Pod) -> Iterator[Hit]:
    for each in pod.containers:
        if each.security.get("privileged") is True:
            yield Hit((*each.path, "securityContext", "privileged"), f"{each.called} is privileged")


@pod_rule(
    "capabilities-baseline",
    "No container adds a capability beyond the usual ones",
    level=Level.ERROR,
    source=f"S3.12; {BASELINE}",
    why="Capabilities such as NET_RAW or SYS_ADMIN let a broken process out of its container.",
    fix="Remove the capability from capabilities.add.",
    bad="containers: [{name: app, image: registry.example/bets, securityContext: {capabilities: {add: [NET_ADMIN]}}}]",
    good="containers: [{name: app, image: registry.example/bets, securityContext: {capabilities: {add: [CHOWN]}}}]",
)
def capabilities_baseline(pod: Pod) -> Iterator[Hit]:
    yield from _added(pod, ADDABLE)


def _added(pod: Pod, allowed: frozenset[str]) -> Iterator[Hit]:
    for each in pod.containers:
        for index, name in enumerate(listed(at(each.security, "capabilities", "add"))):
            if text(name) not in allowed:
                path = (*each.path, "securityContext", "capabilities", "add", index)
                yield Hit(path, f"{each.called} adds the capability {name}")


@pod_rule(
    "host-path",
    "No volume is a folder of the node",
    level=Level.ERROR,
    source=BASELINE,
    why="A folder of the node shows a pod what is not its own, and writing there outlives the pod.",
    fix="Use a persistent volume claim, an emptyDir or a projected volume.",
    bad="volumes: [{name: logs, hostPath: {path: /var/log}}]",
    good="volumes: [{name: logs, emptyDir: {}}]",
)
def host_path(pod: Pod) -> Iterator[Hit]:
    for index, volume in items(pod.spec.get("volumes")):
        found = volume.get("hostPath")
        if found is not None:
            path = (*pod.path, "volumes", index, "hostPath")
            yield Hit(path, f"volume {text(volume.get('name'))} is {text(at(found, 'path')) or 'a path'} of the node")


@pod_rule(
    "host-ports",
    "No container takes a port of its node",
    level=Level.ERROR,
    source=BASELINE,
    why="A port of the node goes past every NetworkPolicy, and only one such pod fits on a node.",
    fix="Remove hostPort; a Service reaches the pod.",
    bad="containers: [{name: app, image: registry.example/bets, ports: [{containerPort: 8080, hostPort: 80}]}]",
    good="containers: [{name: app, image: registry.example/bets, ports: [{containerPort: 8080}]}]",
)
def host_ports(pod: Pod) -> Iterator[Hit]:
    for each in pod.containers:
        for index, port in items(each.value.get("ports")):
            number = port.get("hostPort")
            if number:
                yield Hit((*each.path, "ports", index, "hostPort"), f"{each.called} takes port {number} of its node")


@pod_rule(
    "apparmor",
    "AppArmor is not switched off",
    level=Level.ERROR,
    source=f"S3.11; {BASELINE}",
    why="Without its profile nothing keeps a broken process from mounts and files that containers never need.",
    fix="Remove the profile, or use RuntimeDefault or a Localhost profile.",
    bad="securityContext: {appArmorProfile: {type: Unconfined}}",
    good="securityContext: {appArmorProfile: {type: RuntimeDefault}}",
)
def apparmor(pod: Pod) -> Iterator[Hit]:
    for what, path, context in pod.contexts:
        kind = at(context, "appArmorProfile", "type")
        if kind is not None and kind not in ("RuntimeDefault", "Localhost"):
            yield Hit((*path, "appArmorProfile", "type"), f"{what} runs without AppArmor ({kind})")
    for key, value in pod.annotations.items():
        profile = text(value)
        if key.startswith(APPARMOR) and profile not in ("", "runtime/default") and not profile.startswith("localhost/"):
            path = (*(pod.meta or ()), "annotations", key)
            yield Hit(path, f"container {key.removeprefix(APPARMOR)} runs without AppArmor ({profile})")


@pod_rule(
    "selinux",
    "SELinux options stay within what containers get",
    level=Level.ERROR,
    source=f"S3.11; {BASELINE}",
    why="A type of its own, a user or a role takes a container out of the confinement of all others.",
    fix="Remove seLinuxOptions.user and role; use a type for containers.",
    bad="securityContext: {seLinuxOptions: {type: spc_t}}",
    good="securityContext: {seLinuxOptions: {type: container_t}}",
)
def selinux(pod: Pod) -> Iterator[Hit]:
    for what, path, context in pod.contexts:
        options = mapping(context.get("seLinuxOptions"))
        kind = options.get("type", "")
        if kind not in SELINUX_TYPES or not _since(pod, _SELINUX_LATER.get(kind, 0)):
            yield Hit((*path, "seLinuxOptions", "type"), f"{what} asks for the SELinux type {options['type']}")
        for key in ("user", "role"):
            if options.get(key):
                yield Hit((*path, "seLinuxOptions", key), f"{what} asks for the SELinux {key} {options[key]}")


@pod_rule(
    "proc-mount",
    "Nothing unmasks /proc outside a user namespace",
    level=Level.ERROR,
    source=BASELINE,
    why="Masked parts of /proc hold memory and settings of the node.",
    fix="Remove procMount, or run the pod in a user namespace (hostUsers: false).",
    bad="containers: [{name: app, image: registry.example/bets, securityContext: {procMount: Unmasked}}]",
    good="containers: [{name: app, image: registry.example/bets, securityContext: {procMount: Default}}]",
)
def proc_mount(pod: Pod) -> Iterator[Hit]:
    if not _in_user_namespace(pod):
        yield from _unmasked(pod)


def _unmasked(pod: Pod) -> Iterator[Hit]:
    for each in pod.containers:
        mount = each.security.get("procMount")
        if mount not in (None, "Default"):
            yield Hit((*each.path, "securityContext", "procMount"), f"{each.called} mounts /proc {mount}")


@pod_rule(
    "seccomp-unconfined",
    "seccomp is not switched off",
    level=Level.ERROR,
    source=f"S3.11; {BASELINE}",
    why="Without seccomp every system call of the kernel is open to a broken process.",
    fix="Use RuntimeDefault.",
    bad="securityContext: {seccompProfile: {type: Unconfined}}",
    good="securityContext: {seccompProfile: {type: RuntimeDefault}}",
)
def seccomp_unconfined(pod: Pod) -> Iterator[Hit]:
    yield from _unconfined(pod)


def _unconfined(pod: Pod) -> Iterator[Hit]:
    if not _since(pod, 19):
        yield from _unconfined_by_annotation(pod)
        return
    for what, path, context in pod.contexts:
        kind = at(context, "seccompProfile", "type")
        if kind is not None and kind not in ("RuntimeDefault", "Localhost"):
            yield Hit((*path, "seccompProfile", "type"), f"{what} runs without seccomp ({kind})")


def _unconfined_by_annotation(pod: Pod) -> Iterator[Hit]:
    """Before v1.19 seccomp had no field."""
    asked = {_SECCOMP_POD: "the pod"} | {f"{_SECCOMP_CONTAINER}{each.name}": each.called for each in pod.containers}
    for key, what in asked.items():
        value = pod.annotations.get(key)
        if value is not None and not _confines(text(value)):
            yield Hit((*(pod.meta or ()), "annotations", key), f"{what} runs without seccomp ({value})")


def _confines(profile: str) -> bool:
    return profile in ("runtime/default", "docker/default") or profile.startswith("localhost/")


@pod_rule(
    "sysctls",
    "Only sysctls that stay in the pod are set",
    level=Level.ERROR,
    source=BASELINE,
    why="Other sysctls change the node for everybody on it, or let one pod starve the rest.",
    fix="Remove the sysctl; tune nodes where nodes are made.",
    bad='securityContext: {sysctls: [{name: kernel.msgmax, value: "65536"}]}\n'
    "containers: [{name: app, image: registry.example/bets}]",
    good='securityContext: {sysctls: [{name: net.ipv4.tcp_syncookies, value: "1"}]}\n'
    "containers: [{name: app, image: registry.example/bets}]",
)
def sysctls(pod: Pod) -> Iterator[Hit]:
    for index, each in items(pod.security.get("sysctls")):
        name = each.get("name")
        if text(name) not in SAFE_SYSCTLS or not _since(pod, _SYSCTLS_LATER.get(text(name), 0)):
            yield Hit(
                (*pod.path, "securityContext", "sysctls", index, "name"), f"the sysctl {name} reaches beyond the pod"
            )


@pod_rule(
    "windows-host-process",
    "No pod is a host process on Windows",
    level=Level.ERROR,
    source=BASELINE,
    why="A host process is an administrator of its Windows node.",
    fix="Remove windowsOptions.hostProcess.",
    bad="hostNetwork: true\nsecurityContext: {windowsOptions: {hostProcess: true}}",
    good="securityContext: {windowsOptions: {hostProcess: false}}",
)
def windows_host_process(pod: Pod) -> Iterator[Hit]:
    for what, path, context in pod.contexts:
        if at(context, "windowsOptions", "hostProcess") is True:
            yield Hit((*path, "windowsOptions", "hostProcess"), f"{what} is a process of the node")


@pod_rule(
    "probe-host",
    "Probes and hooks ask the pod itself",
    level=Level.ERROR,
    source=f"{BASELINE} (since v1.34)",
    why="With a host of its own a probe makes the kubelet call any address that the kubelet can reach.",
    fix="Remove host; the pod's own address is asked.",
    bad="containers: [{name: app, image: registry.example/bets, "
    "livenessProbe: {httpGet: {host: 10.0.0.1, path: /, port: 80}}}]",
    good="containers: [{name: app, image: registry.example/bets, livenessProbe: {httpGet: {path: /, port: 80}}}]",
)
def probe_host(pod: Pod) -> Iterator[Hit]:
    if not _since(pod, 34):
        return
    for each in pod.containers:
        for holder in ASKING:
            for action in ("httpGet", "tcpSocket"):
                host = at(each.value, *holder, action, "host")
                if host:
                    yield Hit((*each.path, *holder, action, "host"), f"{holder[-1]} of {each.called} asks {host}")


# --- restricted -------------------------------------------------------------------------------------------------------


@pod_rule(
    "privilege-escalation",
    "No process gains more privileges than it was started with",
    level=Level.ERROR,
    source=f"S10.3; {RESTRICTED}",
    why="A set-uid program in the image would make an ordinary process root.",
    fix="Set allowPrivilegeEscalation: false.",
    bad="containers: [{name: app, image: registry.example/bets}]",
    good="containers: [{name: app, image: registry.example/bets, securityContext: {allowPrivilegeEscalation: false}}]",
)
def privilege_escalation(pod: Pod) -> Iterator[Hit]:
    if _is_exempt(pod) or not _since(pod, 8):
        return
    for each in pod.containers:
        if each.security.get("allowPrivilegeEscalation") is not False:
            path = (*each.path, "securityContext", "allowPrivilegeEscalation")
            yield Hit(path, f"{each.called} does not set allowPrivilegeEscalation: false")


@pod_rule(
    "capabilities-restricted",
    "Containers drop all capabilities",
    level=Level.ERROR,
    source=f"S3.12; {RESTRICTED}",
    why="What a container cannot do, nobody who breaks into it can do.",
    fix="Set capabilities.drop: [ALL]; add back NET_BIND_SERVICE at most.",
    bad="containers: [{name: app, image: registry.example/bets}]",
    good="containers: [{name: app, image: registry.example/bets, securityContext: {capabilities: {drop: [ALL]}}}]",
)
def capabilities_restricted(pod: Pod) -> Iterator[Hit]:
    if not _since(pod, 22):
        yield from _added(pod, ADDABLE)
        return
    if _is_exempt(pod):
        return
    for each in pod.containers:
        if "ALL" not in listed(at(each.security, "capabilities", "drop")):
            yield Hit((*each.path, "securityContext", "capabilities", "drop"), f"{each.called} does not drop ALL")
    yield from _added(pod, frozenset(("NET_BIND_SERVICE",)))


@pod_rule(
    "volume-types",
    "Volumes are of kinds that stay in the pod",
    level=Level.ERROR,
    source=RESTRICTED,
    why="Other kinds of volumes mount disks and shares past the storage classes that are looked after.",
    fix="Use a persistent volume claim.",
    bad="volumes: [{name: d, nfs: {server: nfs.example, path: /}}]",
    good="volumes: [{name: d, persistentVolumeClaim: {claimName: d}}]",
)
def volume_types(pod: Pod) -> Iterator[Hit]:
    for index, volume in items(pod.spec.get("volumes")):
        for key in volume:
            if key != "name" and key not in VOLUMES:
                yield Hit((*pod.path, "volumes", index, key), f"volume {text(volume.get('name'))} is of type {key}")


@pod_rule(
    "run-as-non-root",
    "Containers must not run as root",
    level=Level.ERROR,
    source=f"S3.10, S10.3; {RESTRICTED}",
    why="Root in a container is one kernel fault away from root on the node.",
    fix="Set runAsNonRoot: true for the pod, and build the image for an ordinary user.",
    bad="containers: [{name: app, image: registry.example/bets}]",
    good="securityContext: {runAsNonRoot: true}",
)
def run_as_non_root(pod: Pod) -> Iterator[Hit]:
    if _in_user_namespace(pod):
        return
    whole = pod.security.get("runAsNonRoot")
    for each in pod.containers:
        own = each.security.get("runAsNonRoot")
        if own is False or (own is None and whole is False):
            place = each.path if own is False else pod.path
            yield Hit((*place, "securityContext", "runAsNonRoot"), f"{each.called} may run as root")
        elif own is None and whole is not True:
            yield Hit((*each.path, "securityContext", "runAsNonRoot"), f"{each.called} does not set runAsNonRoot: true")
    if whole is False and all(each.security.get("runAsNonRoot") is True for each in pod.containers):
        yield Hit((*pod.path, "securityContext", "runAsNonRoot"), "the pod may run as root")


@pod_rule(
    "run-as-user",
    "Nothing runs as user 0",
    level=Level.ERROR,
    source=f"S3.10; {RESTRICTED}",
    why="User 0 is root, whatever else is set.",
    fix="Remove runAsUser: 0, or give the number of an ordinary user.",
    bad="securityContext: {runAsUser: 0}",
    good="securityContext: {runAsUser: 10001}",
)
def run_as_user(pod: Pod) -> Iterator[Hit]:
    if _in_user_namespace(pod) or not _since(pod, 23):
        return
    for what, path, context in pod.contexts:
        user = context.get("runAsUser")
        if user == 0 and user is not False:
            yield Hit((*path, "runAsUser"), f"{what} runs as user 0")


@pod_rule(
    "seccomp",
    "A seccomp profile is set",
    level=Level.ERROR,
    source=f"S3.11; {RESTRICTED}",
    why="Unless a profile is named, many clusters run containers with every system call open.",
    fix="Set seccompProfile.type: RuntimeDefault for the pod.",
    bad="containers: [{name: app, image: registry.example/bets}]",
    good="securityContext: {seccompProfile: {type: RuntimeDefault}}",
)
def seccomp(pod: Pod) -> Iterator[Hit]:
    if _is_exempt(pod):
        return
    yield from _unconfined(pod)
    if not _since(pod, 19) or at(pod.security, "seccompProfile", "type") is not None:
        return
    for each in pod.containers:
        if at(each.security, "seccompProfile", "type") is None:
            yield Hit((*each.path, "securityContext", "seccompProfile"), f"{each.called} has no seccomp profile")


@pod_rule(
    "proc-mount-restricted",
    "Nothing unmasks /proc",
    level=Level.ERROR,
    source=f"{RESTRICTED} (since v1.35)",
    why="Masked parts of /proc hold memory and settings of the node; a user namespace hides them only in part.",
    fix="Remove procMount.",
    bad="hostUsers: false\n"
    "containers: [{name: app, image: registry.example/bets, securityContext: {procMount: Unmasked}}]",
    good="containers: [{name: app, image: registry.example/bets, securityContext: {procMount: Default}}]",
)
def proc_mount_restricted(pod: Pod) -> Iterator[Hit]:
    yield from _unmasked(pod)


BASELINE_RULES = (
    host_namespaces, privileged, capabilities_baseline, host_path, host_ports, apparmor, selinux, proc_mount,
    seccomp_unconfined, sysctls, windows_host_process, probe_host,
)  # fmt: skip
RESTRICTED_RULES = (
    privilege_escalation, capabilities_restricted, volume_types, run_as_non_root, run_as_user, seccomp,
    proc_mount_restricted,
)  # fmt: skip
RULES = (*BASELINE_RULES, *RESTRICTED_RULES)
OVERRIDES = {
    capabilities_restricted.id: capabilities_baseline.id,
    volume_types.id: host_path.id,
    seccomp.id: seccomp_unconfined.id,
    proc_mount_restricted.id: proc_mount.id,
}
"""Stricter rule -> the one that says nothing more beside it."""
