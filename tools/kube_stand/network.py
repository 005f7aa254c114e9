"""The stand's network: a namespace without a link or a default route, so that no packet can leave the machine."""

from __future__ import annotations

import contextlib
from pathlib import Path

from tools.kube_stand.errors import StandError
from tools.kube_stand.places import DOMAIN, NETNS, NETNS_FILE, NODE_IP, PIDS, RESOLV_CONF, SERVICE_CIDR
from tools.kube_stand.programs import Word, in_netns, run, start

_WITH_DNS = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'


def make() -> None:
    """Make the namespace. The node's address lives on its loopback."""
    run("ip", "netns", "add", NETNS)
    for line in ("link set lo up", f"addr add {NODE_IP}/32 dev lo", f"route add {SERVICE_CIDR} dev lo src {NODE_IP}"):
        run("ip", "-n", NETNS, *line.split())
    RESOLV_CONF.write_text(f"nameserver {NODE_IP}\nsearch svc.{DOMAIN} {DOMAIN}\noptions ndots:5\n")


def remove() -> None:
    """Remove it; nothing may live in it any more. The first ``ip netns add`` mounts its folder: that goes, too."""
    if NETNS_FILE.exists():
        run("ip", "netns", "del", NETNS)
    folder = NETNS_FILE.parent
    if folder.exists() and not any(folder.iterdir()):
        with contextlib.suppress(StandError):  # what is left then is hidden below another mount
            while _is_mounted(folder):
                run("umount", folder)
        folder.rmdir()


def _is_mounted(folder: Path) -> bool:
    """Whether something is mounted there; ``os.path.ismount`` does not see a folder bound to itself."""
    return any(line.split()[4] == str(folder) for line in Path("/proc/self/mountinfo").read_text().splitlines())


def relay(port: int) -> None:
    """127.0.0.1:port outside → a unix socket, which namespaces do not divide → 127.0.0.1:port inside."""
    sock = PIDS / f"{port}.sock"
    listen = f"UNIX-LISTEN:{sock},fork,unlink-early,backlog=128"
    start(f"relay-{port}-inside", "socat", listen, f"TCP:127.0.0.1:{port}")
    outside = f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,backlog=128"
    start(f"relay-{port}", "socat", outside, f"UNIX-CONNECT:{sock}", netns=False)


def inside(words: list[Word]) -> list[str]:
    """``words``, made to run where pods and services are reached by address and, as in a pod, by name."""
    mounts: list[Word] = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "--",
        "sh",
        "-c",
        _WITH_DNS,
        "sh",
        RESOLV_CONF,
    ]
    return in_netns([*mounts, *words])
