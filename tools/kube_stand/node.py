"""The real node: containerd, kubelet and kube-proxy in mount, pid, ipc and uts namespaces of their own, and DNS.

``start_node`` runs outside; ``main`` is process 1 of the pid namespace, so that killing it ends every pod at once.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tools.kube_stand import api, cgroups
from tools.kube_stand.errors import StandError
from tools.kube_stand.places import (
    CONFIG,
    CONTAINERD,
    DATA,
    DOMAIN,
    KUBECONFIG,
    LOGS,
    NODE,
    NODE_DATA,
    NODE_IP,
    PKI,
    POD_CIDR,
    Cache,
)
from tools.kube_stand.programs import Word, run, start, wait_until

PAUSE_IMAGE = "croupier.local/pause:1"
_CNI_PROGRAMS = "/usr/lib/cni"
"""Where Debian's containernetworking-plugins puts them."""
_SYSCTLS = {"vm/overcommit_memory": "1", "kernel/panic": "10", "kernel/panic_on_oops": "1"}
_CONTAINERD_SECONDS = 30.0
_NAMESPACES = (
    "--mount",
    "--propagation",
    "private",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--ipc",
    "--uts",
)

_CONTAINERD_CONFIG = f"""\
version = 2
[grpc]
address = "{CONTAINERD}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{_CNI_PROGRAMS}"
conf_dir = "{NODE_DATA}/cni"
[plugins."io.containerd.internal.v1.opt"]
path = "/var/lib/containerd/opt"
"""

_COREDNS_CONFIG = f"""\
.:53 {{
 errors
 ready 127.0.0.1:8181
 cache 5
 kubernetes {DOMAIN} {{
  kubeconfig {KUBECONFIG}
 }}
}}
"""


def start_node(extra: dict[str, list[str]]) -> None:
    """Start the node and wait until it is ready. ``extra``: program → flags to add."""
    for folder in ("lib", "log", "cni"):
        (NODE_DATA / folder).mkdir(parents=True)
    (NODE_DATA / "resolv.conf").write_text("")
    (NODE_DATA / "containerd.toml").write_text(_CONTAINERD_CONFIG)
    (NODE_DATA / "cni/10-stand.conflist").write_text(json.dumps(_cni()))
    (NODE_DATA / "kubelet.json").write_text(json.dumps(_kubelet(cgroups.make())))
    (NODE_DATA / "kube-proxy.json").write_text(json.dumps(_kube_proxy()))
    (DATA / "Corefile").write_text(_COREDNS_CONFIG)
    flags = (f"--arg={program}:{flag}" for program, flags in extra.items() for flag in flags)
    start("node", "unshare", *_NAMESPACES, sys.executable, "-m", "tools.kube_stand", "node-main", *flags)
    start("coredns", Cache.of_user().program("coredns"), "-conf", DATA / "Corefile")
    wait_until("node", lambda: api.ready_nodes(f"kubernetes.io/hostname={NODE}"), "node", "coredns")


def load_images(archives: Iterable[Path]) -> None:
    """Load OCI archives into the node. Pods use their tags with ``imagePullPolicy: Never``."""
    for archive in archives:
        run("ctr", "-a", CONTAINERD, "-n", "k8s.io", "images", "import", archive)


def main(extra: dict[str, list[str]]) -> None:
    """Run the node until a part of it ends; orphans are reaped here.

    Raises:
        StandError: always, when a part has ended.
    """
    _prepare_mounts()
    socket.sethostname(NODE)
    parts: dict[int, str] = {}

    def begin(name: str, *words: Word) -> None:
        argv = [*map(str, words), *extra.get(name, [])]
        with (LOGS / f"{name}.log").open("ab") as log:
            parts[subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log).pid] = name

    cache = Cache.of_user()
    begin("containerd", "containerd", "--config", NODE_DATA / "containerd.toml")
    _wait_for_containerd()
    load_images([cache.share / "pause.tar"])
    begin(
        "kubelet",
        cache.program("kubelet"),
        f"--config={NODE_DATA}/kubelet.json",
        f"--kubeconfig={CONFIG}/kubelet.kubeconfig",
        f"--hostname-override={NODE}",
        f"--node-ip={NODE_IP}",
    )
    begin("kube-proxy", cache.program("kube-proxy"), f"--config={NODE_DATA}/kube-proxy.json")
    while True:
        pid, status = os.wait()
        if pid in parts:
            raise StandError(f"{parts[pid]} ended with status {status}", f"its log: {LOGS}/{parts[pid]}.log")


def _prepare_mounts() -> None:
    """What the node keeps goes to the data folder.

    The kubelet insists on three settings of the kernel: it is shown files that say so, the machine's stay as they are.
    """
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    for folder in ("lib", "log"):
        run("mount", "--bind", NODE_DATA / folder, f"/var/{folder}")
    for setting, value in _SYSCTLS.items():
        shown = Path("/run", setting.replace("/", "."))
        shown.write_text(f"{value}\n")
        run("mount", "--bind", shown, f"/proc/sys/{setting}")


def _wait_for_containerd() -> None:
    deadline = time.monotonic() + _CONTAINERD_SECONDS
    while subprocess.run(["ctr", "-a", CONTAINERD, "version"], capture_output=True, check=False).returncode:
        if time.monotonic() > deadline:
            raise StandError("containerd does not answer", f"its log: {LOGS}/containerd.log")
        time.sleep(0.05)


def _cni() -> dict[str, object]:
    addresses = {
        "type": "host-local",
        "dataDir": "/run/cni-addresses",
        "ranges": [[{"subnet": POD_CIDR}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {"cniVersion": "0.4.0", "name": "stand", "plugins": [{"type": "ptp", "ipam": addresses}]}


def _kubelet(cgroup: str) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "oomScoreAdj": 0,
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,
        "containerRuntimeEndpoint": f"unix://{CONTAINERD}",
        "tlsCertFile": f"{PKI}/kubelet.crt",
        "tlsPrivateKeyFile": f"{PKI}/kubelet.key",
        "authentication": {"x509": {"clientCAFile": f"{PKI}/ca.crt"}, "anonymous": {"enabled": False}},
        "clusterDomain": DOMAIN,
        "clusterDNS": [NODE_IP],
        "resolvConf": f"{NODE_DATA}/resolv.conf",
        "volumePluginDir": f"{NODE_DATA}/flexvolume",
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "200Mi", "nodefs.available": "1%"},
    }


def _kube_proxy() -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": f"{CONFIG}/proxy.kubeconfig"},
        "hostnameOverride": NODE,
        "clusterCIDR": POD_CIDR,
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "nftables": {"minSyncPeriod": "100ms"},
        "oomScoreAdj": 0,
    }
