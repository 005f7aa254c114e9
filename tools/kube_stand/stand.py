"""Up and down: the whole life of a stand. ``up`` leaves a ready cluster or nothing; ``down`` leaves nothing.

A stand belongs to the process that asked for it, or to nobody: then it lives until ``down``. A guard outside the
owner's session waits for the owner's end and takes the stand down, however the owner ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from tools.kube_stand import build, cgroups, network, pki, preflight, programs, volumes
from tools.kube_stand.control_plane import start_control_plane
from tools.kube_stand.errors import StandError
from tools.kube_stand.fake_nodes import start_fake_nodes
from tools.kube_stand.gateway import start_gateway
from tools.kube_stand.node import start_node
from tools.kube_stand.places import CONTEXT, DATA, KUBECONFIG, LOCK, LOGS, PIDS

_OWNER = DATA / "owner"
_STOP_ORDER = (
    "traefik",
    "coredns",
    "node",
    "kwok",
    "kube-scheduler",
    "kube-controller-manager",
    "kube-apiserver",
    "etcd",
)


@dataclass(frozen=True)
class Wish:
    """What to bring up. ``bare``: the control plane only; no node, no gateway."""

    bare: bool = False
    fake_nodes: int = 0
    owner: int | None = None
    """Process that the stand must not outlive; None: it stays until ``down``."""
    extra: dict[str, list[str]] = field(default_factory=dict)
    """Program → flags to add."""


def up(wish: Wish) -> None:
    """Bring a stand up, after clearing away what a crashed run left.

    Raises:
        StandError: if the machine cannot, something does not start, or a stand runs that belongs to somebody.
    """
    build.require()
    with _alone():
        if is_up() and _is_wanted():
            raise StandError(
                f"a stand is up already: KUBECONFIG={KUBECONFIG}",
                f"name its context ({CONTEXT}), or take it down: python -m tools.kube_stand down",
            )
        _clear()
        preflight.check_run()
        try:
            _start(wish)
        except BaseException:
            _clear()
            raise


def down() -> None:
    """Stop everything and remove what it left; nothing to do is fine."""
    with _alone():
        _clear()


def guard(owner: int) -> None:
    """Wait until process ``owner`` has ended, then take the stand down."""
    with contextlib.suppress(ProcessLookupError):  # it has ended already
        poll = select.poll()
        poll.register(os.pidfd_open(owner), select.POLLIN)
        poll.poll()
    down()


def is_up() -> bool:
    return programs.pid_of("kube-apiserver") is not None


def _start(wish: Wish) -> None:
    began_at = time.monotonic()
    DATA.mkdir(mode=0o700)
    for folder in (PIDS, LOGS):
        folder.mkdir()
    if wish.owner is not None:
        _OWNER.write_text(programs.began(wish.owner))
        programs.start("guard", sys.executable, "-m", "tools.kube_stand", "guard", wish.owner, netns=False)
    pki.make()
    network.make()
    start_control_plane(wish.extra)
    if not wish.bare:
        start_node(wish.extra)
        volumes.provide()
        start_gateway()
    if wish.fake_nodes:
        start_fake_nodes(wish.fake_nodes, tainted=not wish.bare)
    programs.tell(f"{'up':26} {time.monotonic() - began_at:6.1f} s")


def _is_wanted() -> bool:
    """Whether the stand belongs to nobody, and so stays, or to a process that lives."""
    try:
        owner = _OWNER.read_text()
    except FileNotFoundError:
        return True
    return programs.began(int(owner.split()[0])) == owner


def _clear() -> None:
    for name in _STOP_ORDER:  # `unshare` ignores SIGTERM; killed, it takes all of its namespace along
        programs.stop(name, signal.SIGKILL if name == "node" else signal.SIGTERM)
    programs.kill_strays()
    cgroups.remove()
    network.remove()
    shutil.rmtree(DATA, ignore_errors=True)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One ``up`` or ``down`` at a time on this machine; the lock ends with its holder."""
    with LOCK.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
