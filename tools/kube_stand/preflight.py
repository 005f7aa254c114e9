"""What the machine must have, told all at once with the remedy."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from tools.kube_stand import cgroups
from tools.kube_stand.errors import StandError
from tools.kube_stand.places import API_PORT, WEB_PORT

_PACKAGES = {
    "containerd": ("containerd",),
    "runc": ("runc",),
    "containernetworking-plugins": ("/usr/lib/cni/ptp", "/usr/lib/cni/host-local"),
    "nftables": ("nft",),
    "iptables": ("iptables",),
    "conntrack": ("conntrack",),
    "socat": ("socat",),
    "iproute2": ("ip",),
    "util-linux": ("nsenter", "unshare"),
    "python3": ("/usr/bin/python3",),
}
"""Debian package → programs that must be there. ``/usr/bin/python3`` goes into images."""

_MACHINES = ("x86_64", "aarch64")


def missing_packages() -> list[str]:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return [
        package
        for package, programs in _PACKAGES.items()
        if not all(shutil.which(program, path=path) for program in programs)
    ]


def check_build() -> None:
    """Raises StandError when this machine cannot build."""
    _refuse(
        [
            *_machine_problems(),
            *([] if shutil.which("go") else [("Go is missing", "install Go 1.26 or newer from https://go.dev/dl")]),
        ]
    )


def check_run() -> None:
    """Raises StandError when this machine cannot run a stand."""
    _refuse([*_machine_problems(), *_port_problems()])


def _refuse(problems: list[tuple[str, str]]) -> None:
    if problems:
        told = "\n".join(f"- {problem}: {remedy}" for problem, remedy in problems)
        raise StandError(f"this machine cannot run the cluster for tests:\n{told}")


def _machine_problems() -> Iterator[tuple[str, str]]:
    if platform.system() != "Linux" or platform.machine() not in _MACHINES:
        yield f"{platform.system()} {platform.machine()}", "use Linux on x86_64 or aarch64"
        return
    if os.geteuid() != 0:
        yield "not root", "run as root (namespaces, mounts and cgroups are made)"
    if packages := missing_packages():
        yield "Debian packages are missing", f"apt-get install {' '.join(packages)}"
    if not cgroups.is_version_1():
        yield (
            "no cgroup v1 under /sys/fs/cgroup",
            (
                "boot with systemd.unified_cgroup_hierarchy=0, or test on a cluster of your own: "
                'make test-kube ARGS="--kube-context NAME"'
            ),
        )
    if Path.home().is_relative_to("/var/lib"):
        yield f"the home folder {Path.home()} is hidden from the node", "set HOME or XDG_CACHE_HOME elsewhere"


def _port_problems() -> Iterator[tuple[str, str]]:
    for port in (API_PORT, WEB_PORT):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                yield f"port {port} of 127.0.0.1 is taken", f"end what holds it: ss -ltnp 'sport = :{port}'"
