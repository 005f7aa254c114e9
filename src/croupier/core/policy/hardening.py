"""What a pod may do to its node and to others, beyond the Pod Security Standards (S3.9, S10)."""

from __future__ import annotations

from collections.abc import Iterator

from croupier.core.policy.objects import Object, Pod, at, items, listed, mapping, text
from croupier.core.policy.rule import Found, Hit, Level, bundle_rule, object_rule, pod_rule
from croupier.core.policy.world import World

SOCKETS = ("docker.sock", "containerd.sock", "crio.sock", "cri-dockerd.sock", "dockershim.sock", "podman.sock")
OF_THE_SYSTEM = ("/", "/boot", "/dev", "/etc", "/lib", "/proc", "/sys", "/usr")
TOKEN_FIX = "Set automountServiceAccountToken: false; mount a projected token where one is needed."


def _host_paths(pod: Pod) -> Iterator[tuple[int, str, str]]:
    """(index, name, path on the node) of volumes that are folders of the node."""
    for index, volume in items(pod.spec.get("volumes")):
        path = at(volume, "hostPath", "path")
        if type(path) is str:
            yield index, text(volume.get("name")), path


@pod_rule(
    "read-only-root",
    "The root file system is read-only",
    level=Level.ERROR,
    source="S3.9",
    why="Who breaks in cannot leave a program behind, and nothing is written where it is lost with the container.",
    fix="Set readOnlyRootFilesystem: true; mount an emptyDir where the program writes.",
    bad="containers: [{name: app, image: registry.example/bets}]",
    good="containers: [{name: app, image: registry.example/bets, securityContext: {readOnlyRootFilesystem: true}}]",
)
def read_only_root(pod: Pod) -> Iterator[Hit]:
    for each in pod.containers:
        if each.security.get("readOnlyRootFilesystem") is not True and not pod.is_windows:
            yield Hit(
                (*each.path, "securityContext", "readOnlyRootFilesystem"),
                f"{each.called} may write to its root",
            )


@pod_rule(
    "root-group",
    "Nothing runs with the root group",
    level=Level.WARNING,
    source="S3.10",
    why="Files that group 0 may write are often root's own.",
    fix="Remove runAsGroup: 0.",
    bad="securityContext: {runAsGroup: 0}",
    good="securityContext: {runAsGroup: 10001}",
)
def root_group(pod: Pod) -> Iterator[Hit]:
    for what, path, context in pod.contexts:
        group = context.get("runAsGroup")
        if group == 0 and group is not False:
            yield Hit((*path, "runAsGroup"), f"{what} runs with group 0")


@pod_rule(
    "net-raw",
    "No container may forge packets",
    level=Level.WARNING,
    source="S3.12",
    why="With NET_RAW, which containers have unless they drop it, a pod can pretend to be another one.",
    fix="Set capabilities.drop: [ALL], or NET_RAW at least.",
    bad="containers: [{name: app, image: registry.example/bets}]",
    good="containers: [{name: app, image: registry.example/bets, securityContext: {capabilities: {drop: [NET_RAW]}}}]",
    usual=False,
)
def net_raw(pod: Pod) -> Iterator[Hit]:
    for each in pod.containers:
        dropped = {
            text(name).upper().removeprefix("CAP_") for name in listed(at(each.security, "capabilities", "drop"))
        }
        if not dropped & {"ALL", "NET_RAW"}:
            path = (*each.path, "securityContext", "capabilities", "drop")
            yield Hit(path, f"{each.called} keeps NET_RAW")


@pod_rule(
    "runtime-socket",
    "No pod talks to the container runtime",
    level=Level.ERROR,
    source="S10.2",
    why="Who can write to the socket of the runtime can start a privileged container.",
    fix="Remove the volume.",
    bad="volumes: [{name: sock, hostPath: {path: /var/run/docker.sock}}]",
    good="volumes: [{name: sock, emptyDir: {}}]",
)
def runtime_socket(pod: Pod) -> Iterator[Hit]:
    for index, name, path in _host_paths(pod):
        if path.rstrip("/").endswith(SOCKETS):
            yield Hit((*pod.path, "volumes", index, "hostPath", "path"), f"volume {name} is the socket {path}")


@pod_rule(
    "system-folder",
    "No pod sees a system folder of its node",
    level=Level.ERROR,
    source="S10.2",
    why="There are the node's passwords, devices and programs.",
    fix="Remove the volume, or mount the one file that is needed, read-only.",
    bad="volumes: [{name: etc, hostPath: {path: /etc}}]",
    good="volumes: [{name: etc, emptyDir: {}}]",
)
def system_folder(pod: Pod) -> Iterator[Hit]:
    for index, name, path in _host_paths(pod):
        if (path.rstrip("/") or "/") in OF_THE_SYSTEM:
            yield Hit((*pod.path, "volumes", index, "hostPath", "path"), f"volume {name} is {path} of the node")


@pod_rule(
    "writable-host-path",
    "What is mounted of the node is read-only",
    level=Level.ERROR,
    source="S10.2",
    why="Writing to the node outlives the pod and reaches every other pod there.",
    fix="Set readOnly: true on the mount.",
    bad="volumes: [{name: d, hostPath: {path: /data}}]\n"
    "containers: [{name: app, image: registry.example/bets, volumeMounts: [{name: d, mountPath: /d}]}]",
    good="volumes: [{name: d, hostPath: {path: /data}}]\n"
    "containers: [{name: app, image: registry.example/bets, volumeMounts: [{name: d, mountPath: /d, readOnly: true}]}]",
)
def writable_host_path(pod: Pod) -> Iterator[Hit]:
    held = {name for _, name, _ in _host_paths(pod)}
    for each in pod.containers:
        for index, mount in items(each.value.get("volumeMounts")):
            name = text(mount.get("name"))
            if name in held and mount.get("readOnly") is not True:
                yield Hit((*each.path, "volumeMounts", index), f"{each.called} may write to {name} of the node")


@pod_rule(
    "ssh-port",
    "Nobody logs in to a container over SSH",
    level=Level.WARNING,
    source="S3.2",
    why="An SSH server in an image is a way in that no one audits.",
    fix="Remove the port and the server; kubectl exec is audited.",
    bad="containers: [{name: app, image: registry.example/bets, ports: [{containerPort: 22}]}]",
    good="containers: [{name: app, image: registry.example/bets, ports: [{containerPort: 8080}]}]",
)
def ssh_port(pod: Pod) -> Iterator[Hit]:
    for each in pod.containers:
        for index, held in items(each.value.get("ports")):
            if held.get("containerPort") == 22 and held.get("protocol", "TCP") == "TCP":
                yield Hit((*each.path, "ports", index), f"{each.called} listens on port 22")


@pod_rule(
    "privileged-port",
    "Containers listen above port 1023",
    level=Level.NOTE,
    source="S3.12",
    why="Lower ports need root or a capability in many runtimes.",
    fix="Listen on a port above 1023; the Service may still offer 80.",
    bad="containers: [{name: app, image: registry.example/bets, ports: [{containerPort: 80}]}]",
    good="containers: [{name: app, image: registry.example/bets, ports: [{containerPort: 8080}]}]",
    usual=False,
)
def privileged_port(pod: Pod) -> Iterator[Hit]:
    for each in pod.containers:
        for index, port in items(each.value.get("ports")):
            number = port.get("containerPort")
            if type(number) is int and 0 < number < 1024:
                yield Hit((*each.path, "ports", index), f"{each.called} listens on port {number}")


@bundle_rule(
    "service-account-token",
    "Pods get no token for the API server unasked",
    level=Level.WARNING,
    source="S10.13",
    why="A token in every pod is a key to the API server for whoever breaks into one.",
    fix=TOKEN_FIX,
    bad="""
        apiVersion: v1
        kind: Pod
        metadata: {name: bets, namespace: casino}
        spec: {serviceAccountName: bets, containers: [{name: app, image: registry.example/bets}]}
        """,
    good="""
        apiVersion: v1
        kind: Pod
        metadata: {name: bets, namespace: casino}
        spec: {serviceAccountName: bets, containers: [{name: app, image: registry.example/bets}]}
        ---
        apiVersion: v1
        kind: ServiceAccount
        metadata: {name: bets, namespace: casino}
        automountServiceAccountToken: false
        """,
)
def service_account_token(world: World) -> Iterator[Found]:
    for pod in world.pods:
        own = pod.spec.get("automountServiceAccountToken")
        if own is False:
            continue
        account = world.named(
            "ServiceAccount", pod.owner.namespace, text(pod.spec.get("serviceAccountName")) or "default"
        )
        if own is None and account is not None and account.value.get("automountServiceAccountToken") is False:
            continue
        yield Found(pod.owner, (*pod.path, "automountServiceAccountToken"), "the pod gets a token for the API server")


@pod_rule(
    "default-service-account",
    "Every pod has a service account of its own",
    level=Level.WARNING,
    source="S10.13",
    why="What is granted to the account default is granted to every pod that forgot to name one.",
    fix="Name a service account of the service's own.",
    bad="containers: [{name: app, image: registry.example/bets}]",
    good="serviceAccountName: bets",
)
def default_service_account(pod: Pod) -> Iterator[Hit]:
    if pod.spec.get("serviceAccountName", pod.spec.get("serviceAccount")) in (None, "", "default"):
        yield Hit((*pod.path, "serviceAccountName"), "the pod runs as the service account default")


@pod_rule(
    "service-account-field",
    "The service account is named by serviceAccountName",
    level=Level.NOTE,
    source="S15.2; Kubernetes API, deprecated field",
    why="serviceAccount is deprecated, and the two may differ.",
    fix="Replace serviceAccount by serviceAccountName.",
    bad="serviceAccount: bets",
    good="serviceAccountName: bets",
)
def service_account_field(pod: Pod) -> Iterator[Hit]:
    if pod.spec.get("serviceAccount"):
        yield Hit((*pod.path, "serviceAccount"), "serviceAccount is deprecated")


@pod_rule(
    "dns-options",
    "Names are resolved without needless questions",
    level=Level.NOTE,
    source="S1.1",
    why="With five dots asked for, every call to a provider begins with four questions that nobody can answer.",
    fix="Set dnsConfig.options: [{name: ndots, value: '2'}].",
    bad="containers: [{name: app, image: registry.example/bets}]",
    good="dnsConfig: {options: [{name: ndots, value: '2'}]}",
    usual=False,
)
def dns_options(pod: Pod) -> Iterator[Hit]:
    options = listed(at(pod.spec, "dnsConfig", "options"))
    if not any(mapping(each).get("name") == "ndots" and mapping(each).get("value") == "2" for each in options):
        yield Hit((*pod.path, "dnsConfig"), "ndots is not 2")


@object_rule(
    "security-context-constraints",
    "No SecurityContextConstraints allow privileged containers",
    level=Level.ERROR,
    source="S10.2",
    why="On OpenShift they decide who may run a privileged container.",
    fix="Set allowPrivilegedContainer: false.",
    kinds=("SecurityContextConstraints",),
    bad="""
        apiVersion: security.openshift.io/v1
        kind: SecurityContextConstraints
        metadata: {name: bets}
        allowPrivilegedContainer: true
        """,
    good="""
        apiVersion: security.openshift.io/v1
        kind: SecurityContextConstraints
        metadata: {name: bets}
        allowPrivilegedContainer: false
        """,
)
def security_context_constraints(each: Object) -> Iterator[Hit]:
    if each.value.get("allowPrivilegedContainer") is True:
        yield Hit(("allowPrivilegedContainer",), "privileged containers are allowed")


RULES = (
    read_only_root, root_group, net_raw, runtime_socket, system_folder, writable_host_path, ssh_port, privileged_port,
    service_account_token, default_service_account, service_account_field, dns_options, security_context_constraints,
)  # fmt: skip
