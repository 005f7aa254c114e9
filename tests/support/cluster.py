"""A real Kubernetes for tests marked ``kube``: a stand of its own, or the cluster that the command line names.

A pytest plugin, loaded by ``tests/conftest.py``, so that ``tests/kube`` and ``tests/contracts`` share one cluster. The
kubeconfig's current context is never used: without ``--kube-context`` a stand is started, and taken down at the end.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tools.kube_stand import images, network, node, places

from croupier_stand.process import wait_for

Manifest = str | Mapping[str, Any]
"""YAML (of one or more objects), or one object."""


@dataclass(frozen=True)
class Gateway:
    """Where players come in: the Gateway that routes hang on, and its address on this machine."""

    name: str
    namespace: str
    url: str

    @property
    def parent_ref(self) -> dict[str, str]:
        return {"name": self.name, "namespace": self.namespace}


@dataclass(frozen=True)
class Images:
    """Names of the images that the cluster has. Use them with ``imagePullPolicy: IfNotPresent``."""

    example: str
    operator: str


@dataclass(frozen=True)
class Cluster:
    """A cluster, as its administrator."""

    kubeconfig: Path
    context: str
    gateway: Gateway
    is_stand: bool
    """True: ours, on this machine, so that we can run processes in its network and load images."""

    def argv(self, *words: str) -> list[str]:
        """The command line of kubectl with ``words``."""
        return [_kubectl(), "--kubeconfig", str(self.kubeconfig), "--context", self.context, *words]

    def kubectl(self, *words: str, stdin: str | None = None) -> str:
        """What kubectl prints.

        Raises:
            AssertionError: with what it says, if it fails.
        """
        argv = self.argv(*words)
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr.strip()}"
        return done.stdout

    def get(self, *words: str) -> Any:
        """``kubectl get`` as parsed JSON."""
        return json.loads(self.kubectl("get", *words, "--output", "json"))

    def answers(self, path: str) -> bool:
        """Whether the API server answers well at this path now."""
        argv = self.argv("get", "--raw", path)
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0

    def apply(self, *manifests: Manifest, namespace: str = "", manager: str = "tests", force: bool = True) -> None:
        """Server-side apply as field manager ``manager``. ``namespace``: of all of them; "": the one each names."""
        forced = ("--force-conflicts",) if force else ()
        how = ("--server-side", *forced, "--field-manager", manager, *_in(namespace))
        self.kubectl("apply", *how, "--filename", "-", stdin=_text(manifests))

    def define(self, definitions: Iterable[dict[str, Any]]) -> None:
        """Apply definitions of custom resources and wait until the API server serves them."""
        every = list(definitions)
        self.apply(*every)
        names = [each["metadata"]["name"] for each in every]

        def are_served() -> bool:
            """``kubectl wait`` fails instead of waiting where a definition has no condition yet."""
            found = self.get("crd", *names)
            return all(_is_established(each) for each in found.get("items", [found]))

        self.until(f"served: {', '.join(names)}", are_served, 60.0)

    def diff(self, *manifests: Manifest, namespace: str = "", manager: str) -> str:
        """What applying would change: "" when all is as it stands there. ``namespace``: as for ``apply``."""
        argv = self.argv("diff", "--server-side")
        argv += ["--field-manager", manager, *_in(namespace), "--filename", "-"]
        done = subprocess.run(argv, input=_text(manifests), capture_output=True, text=True, check=False)
        assert done.returncode <= 1, done.stderr
        return done.stdout

    def offer(self, manifest: Manifest, namespace: str) -> tuple[Any, str]:
        """What the API server would keep of one object, None if it takes it not; and what it says. Nothing is made."""
        argv = self.argv("create")
        argv += ["--dry-run=server", "--output", "json", *_in(namespace), "--filename", "-"]
        done = subprocess.run(argv, input=_text([manifest]), capture_output=True, text=True, check=False)
        return (json.loads(done.stdout) if done.returncode == 0 else None), done.stderr

    def until(self, promise: str, check: Callable[[], bool], seconds: float = 120.0) -> None:
        """Wait for ``check``.

        Raises:
            AssertionError: naming the promise, if it does not hold in time.
        """
        assert wait_for(check, seconds, pause_seconds=0.2), f"not within {seconds:g} s: {promise}"

    def rollout(self, name: str, namespace: str, seconds: int = 120) -> None:
        """Wait until a Deployment is rolled out."""
        self.kubectl("rollout", "status", f"deployment/{name}", "--namespace", namespace, f"--timeout={seconds}s")

    def inside(self, *words: str) -> list[str]:
        """``words``, made to run as a process of this machine where pods and services are reached as from a pod.

        Skips the test on a cluster that is not ours: there only pods can.
        """
        if not self.is_stand:
            pytest.skip("runs a process in the cluster's network, which only the stand on this machine allows")
        return network.inside(list(words))

    def exec(self, *words: str) -> str:
        """What a command prints that runs inside (see ``inside``)."""
        done = subprocess.run(self.inside(*words), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr.strip()}"
        return done.stdout

    def crash(self, program: str, *, more: Iterable[str] = (), but: Iterable[str] = ()) -> None:
        """Kill a program (``kube-apiserver``) and start it again, with ``more`` flags and without those in ``but``.

        Skips the test on a cluster that is not ours.
        """
        if not self.is_stand:
            pytest.skip("crashes a part of the cluster, which only the stand on this machine allows")
        _stand("restart", program, *(f"--arg={each}" for each in more), *(f"--but={each}" for each in but))

    def load(self, archive: Path) -> None:
        """Load an image (OCI archive) into the node. On another cluster its owner has loaded it (the docs say how)."""
        if self.is_stand:
            node.load_images([archive])


def _is_established(definition: dict[str, Any]) -> bool:
    conditions = definition.get("status", {}).get("conditions") or ()
    return any((each["type"], each["status"]) == ("Established", "True") for each in conditions)


def _in(namespace: str) -> tuple[str, ...]:
    return ("--namespace", namespace) if namespace else ()


def _text(manifests: Iterable[Manifest]) -> str:
    return "\n---\n".join(each if isinstance(each, str) else json.dumps(each) for each in manifests)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("kube")
    group.addoption("--kube-context", metavar="NAME", help="run on this cluster of the kubeconfig, not on a stand")
    group.addoption("--kube-gateway", metavar="NAMESPACE/NAME=URL", help="Gateway of that cluster, and its address")


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """The cluster of this session. Takes seconds to start; gone at the end, however the session ends."""
    context = request.config.getoption("--kube-context")
    if context:
        yield _named_cluster(context, request.config.getoption("--kube-gateway") or "default/web=")
        return
    _stand("up", "--owner", str(os.getpid()))
    try:
        yield Cluster(places.KUBECONFIG, places.CONTEXT, _STAND_GATEWAY, is_stand=True)
    finally:
        _stand("down")


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of this test alone, deleted after it."""
    name = f"test-{secrets.token_hex(4)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    annotations = {"croupier.dev/test": request.node.name[:200]}
    metadata = {"name": name, "labels": labels, "annotations": annotations}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    yield name
    cluster.kubectl("delete", "namespace", name, f"--wait={'false' if cluster.is_stand else 'true'}")


@pytest.fixture(scope="session")
def cluster_images(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Images:
    """The images of the example and of the operator as they are in this checkout, loaded once a session."""
    folder = tmp_path_factory.mktemp("images")
    wanted = {"example": images.example_image(), "operator": images.operator_image()}
    if cluster.is_stand:
        for name, image in wanted.items():
            images.write_image(folder / f"{name}.tar", image, places.Cache.of_user())
            cluster.load(folder / f"{name}.tar")
            (folder / f"{name}.tar").unlink()
    return Images(**{name: image.name for name, image in wanted.items()})


_STAND_GATEWAY = Gateway("web", "default", f"http://127.0.0.1:{places.WEB_PORT}")


def _stand(*words: str) -> None:
    """Run the stand's own command line, whose programs outlive it. Where the machine refuses, the session ends."""
    argv = [sys.executable, "-m", "tools.kube_stand", *words]
    done = subprocess.run(argv, cwd=places.REPOSITORY, capture_output=True, text=True, check=False)
    print(done.stderr)
    if done.returncode:
        pytest.exit(done.stderr, returncode=done.returncode)


def _named_cluster(context: str, gateway: str) -> Cluster:
    """The cluster of a context; the stand that somebody keeps up is such a cluster, too."""
    kubeconfig = Path(os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config")
    if kubeconfig == places.KUBECONFIG:
        return Cluster(kubeconfig, context, _STAND_GATEWAY, is_stand=True)
    reference, _, url = gateway.partition("=")
    namespace, _, name = reference.partition("/")
    return Cluster(kubeconfig, context, Gateway(name, namespace, url), is_stand=False)


def _kubectl() -> str:
    built = places.Cache.of_user().program("kubectl")
    return str(built) if built.exists() else shutil.which("kubectl") or "kubectl"
