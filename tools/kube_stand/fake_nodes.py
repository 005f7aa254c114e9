"""Nodes that KWOK simulates, for many pods at no cost. Their pods have addresses where nothing answers."""

from __future__ import annotations

from typing import Any

from tools.kube_stand import api
from tools.kube_stand.places import FAKE_POD_CIDR, KUBECONFIG, Cache
from tools.kube_stand.programs import start, wait_until

_MARK = "kwok.x-k8s.io/node"
_SIZE = {"cpu": "32", "memory": "256Gi", "pods": "110"}


def start_fake_nodes(count: int, *, tainted: bool) -> None:
    """Start KWOK and make ``count`` nodes. ``tainted``: only pods that tolerate that the node is fake go there."""
    cache = Cache.of_user()
    stages = (f"--config={file}" for file in sorted((cache.share / "kwok-stages").glob("*.yaml")))
    start(
        "kwok",
        cache.program("kwok"),
        f"--kubeconfig={KUBECONFIG}",
        f"--manage-nodes-with-annotation-selector={_MARK}=fake",
        "--node-lease-duration-seconds=40",
        "--node-ip=10.255.0.1",
        f"--cidr={FAKE_POD_CIDR}",
        *stages,
    )
    api.apply(*(_node(f"fake-{number}", tainted=tainted) for number in range(count)))
    wait_until(f"{count} fake nodes", lambda: api.ready_nodes("type=kwok") >= count, "kwok")


def _node(name: str, *, tainted: bool) -> dict[str, Any]:
    labels = {"type": "kwok", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    taints = [{"key": _MARK, "value": "fake", "effect": "NoSchedule"}] if tainted else []
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "annotations": {_MARK: "fake"}},
        "spec": {"taints": taints},
        "status": {"allocatable": _SIZE, "capacity": _SIZE},
    }
