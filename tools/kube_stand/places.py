"""Folders, names, addresses and ports. All but the cache are fixed: there is one stand on a machine at a time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

DATA = Path("/var/cache/croupier-kube-stand")
"""Data, logs and keys of the stand that runs; gone after ``down``. Fixed: ``down`` finds what any ``up`` left."""
PKI = DATA / "pki"
CONFIG = DATA / "config"
PIDS = DATA / "pids"
LOGS = DATA / "logs"
NODE_DATA = DATA / "node"
KUBECONFIG = CONFIG / "admin.kubeconfig"
CONTAINERD = NODE_DATA / "containerd.sock"
RESOLV_CONF = DATA / "resolv.conf"
LOCK = Path("/run/lock/croupier-kube-stand.lock")

CONTEXT = "kube-stand"
NETNS = "kstand"
NETNS_FILE = Path("/run/netns", NETNS)
CGROUP = "croupier-kube-stand"

NODE = "node1"
NODE_IP = "10.88.0.1"
POD_CIDR = "10.244.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"
API_SERVICE_IP = "10.96.0.1"
FAKE_POD_CIDR = "10.254.0.0/16"
DOMAIN = "cluster.local"

API_PORT = 16443
WEB_PORT = 18080
"""Of the gateway, inside and outside."""
ETCD_PORT = 12379

MARK = "CROUPIER_KUBE_STAND"
"""Environment variable of every program of the stand: by it ``down`` finds those whose pid file is lost."""


@dataclass(frozen=True)
class Cache:
    """What is built once: a folder of the user's."""

    root: Path

    @classmethod
    def of_user(cls) -> Cache:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cls(base / "croupier" / "kube-stand")

    @property
    def programs(self) -> Path:
        return self.root / "bin"

    @property
    def share(self) -> Path:
        """Data files of the programs, image layers and images."""
        return self.root / "share"

    @property
    def build(self) -> Path:
        """Go modules that name what is built; can be deleted."""
        return self.root / "build"

    def program(self, name: str) -> Path:
        return self.programs / name
