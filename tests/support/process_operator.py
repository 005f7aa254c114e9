"""The operator as a process of this machine, with the rights of its service account, behind a proxy that fails as told.

Both run in the cluster's network, where pods are read by address; that is possible on the stand only.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.support import quick_yaml
from tests.support.cluster import Cluster
from tests.support.fault_proxy import CLOCK, Control, Fault
from tests.support.operated import OPERATOR_NAMESPACE
from tools.kube_stand.places import REPOSITORY

from croupier_stand.process import wait_for

CONTEXT = "through-the-proxy"
PORT = 16_543
START_SECONDS = 60.0
STOP_SECONDS = 30.0


@dataclass
class ProcessOperator:
    """The operator. It may be started again after it has ended, as a kubelet does with a container.

    ``folder`` holds its state, its log and its kubeconfig.
    """

    cluster: Cluster
    folder: Path
    namespace: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "operator.log"

    def start(self) -> None:
        # Process 1 of a namespace of its own, as in a container: who starts again holds the lease still.
        argv = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
        argv += [sys.executable, "-m", "croupier.cli", "operator", "run", "--context", CONTEXT]
        argv += ["--kubeconfig", str(self.folder / "kubeconfig"), "--state", str(self.folder / "state")]
        argv += ["--namespace", self.namespace, "--own-namespace", OPERATOR_NAMESPACE]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.cluster.inside(*argv), stdout=log, stderr=log, cwd=REPOSITORY)

    def kill(self) -> None:
        """At once, as by a lost node."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()  # and with it, at once, what it has started
            self.process.wait(STOP_SECONDS)

    def until_ended(self, seconds: float) -> int:
        """Wait until it ends by itself; its exit code."""
        assert self.process is not None
        return self.process.wait(seconds)


@dataclass
class Storm:
    """An operator behind a proxy. ``weather`` says what the proxy does."""

    operator: ProcessOperator
    weather: Control


@contextmanager
def behind_a_proxy(cluster: Cluster, folder: Path, namespace: str) -> Iterator[Storm]:
    """Proxy and operator, both running; gone after the block. croupier must be installed, without a pod of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    server, authority = _cluster_of(cluster)
    (folder / "ca.crt").write_bytes(authority)
    certificate = _certificate(folder)
    token = cluster.kubectl("create", "token", "croupier", "--namespace", OPERATOR_NAMESPACE, "--duration=2h").strip()
    _write_kubeconfig(folder / "kubeconfig", certificate, token)
    weather = Control(folder)
    weather.set(Fault())
    operator = ProcessOperator(cluster, folder, namespace)
    words = [sys.executable, "-m", "tests.support.fault_proxy", str(folder), str(PORT), server]
    with (folder / "proxy.log").open("ab") as log:
        proxy = subprocess.Popen(cluster.inside(*words), stdout=log, stderr=log, cwd=REPOSITORY)
    try:
        operator.start()
        assert wait_for(lambda: bool(weather.seen()), START_SECONDS), (folder / "proxy.log").read_text()[-2000:]
        yield Storm(operator, weather)
    finally:
        operator.kill()
        proxy.kill()
        proxy.wait(STOP_SECONDS)


def _cluster_of(cluster: Cluster) -> tuple[str, bytes]:
    """Address and certificate authority of the cluster, out of its kubeconfig."""
    config: dict[str, Any] = quick_yaml.load(cluster.kubeconfig.read_text())
    (found,) = [each["cluster"] for each in config["clusters"] if each["name"] == cluster.context]
    return str(found["server"]), base64.b64decode(found["certificate-authority-data"])


def _certificate(folder: Path) -> bytes:
    """A certificate of 127.0.0.1 that signs itself, beside its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fault proxy")])
    now = datetime.fromtimestamp(CLOCK.now(), UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "proxy.key").write_bytes(secret)
    public = made.public_bytes(serialization.Encoding.PEM)
    (folder / "proxy.crt").write_bytes(public)
    return public


def _write_kubeconfig(file: Path, certificate: bytes, token: str) -> None:
    authority = base64.b64encode(certificate).decode()
    cluster = {"server": f"https://127.0.0.1:{PORT}", "certificate-authority-data": authority}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": CONTEXT, "user": {"token": token}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT}}],
    }
    file.touch(mode=0o600)
    file.write_text(json.dumps(config))
