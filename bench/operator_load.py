"""What the operator costs: CPU and memory with many idle policies, and with one release live among them.

    python -m bench.operator_load [--policies 200] [--seconds 60] [--json FILE]

Starts a cluster for tests (tools/kube_stand, root) with simulated nodes, puts ``--policies`` services of one pod each
under croupier, waits until all of them serve, then watches the operator's process for ``--seconds`` at rest and for as
long during a release. Pods are simulated and answer nothing; a small tally here counts for all of them. Everything
shares one machine: run it on one that has nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tools.kube_stand import network, places

from croupier.operator.crds import custom_resources
from croupier_stand.process import wait_for

NAMESPACE = "bench"
PORT = 18_099
STAND = (sys.executable, "-m", "tools.kube_stand")
TICKS = os.sysconf("SC_CLK_TCK")
READY_SECONDS = 900.0


@dataclass(frozen=True)
class Figures:
    """``cpu_*``: cores, on average. ``memory_mib``: resident, at the end."""

    policies: int
    seconds_until_all_serve: float
    cpu_while_starting: float
    cpu_idle: float
    cpu_one_live: float
    memory_mib: float
    journal_mib: float


class Tally(BaseHTTPRequestHandler):
    """Ten deposits a second for every version that was ever asked about, none of them bad."""

    versions: frozenset[tuple[str, str]] = frozenset()
    began = time.monotonic()

    def do_GET(self) -> None:
        count = int(10 * (time.monotonic() - self.began))
        lines = ["# TYPE croupier_tally_updated_seconds gauge", f"croupier_tally_updated_seconds {time.time()}"]
        for kind, value in (("attempts", count), ("failures", 0)):
            lines.append(f"# TYPE croupier_signal_{kind}_total counter")
            for policy, version in sorted(self.versions):
                labels = f'service="{policy}.{NAMESPACE}",run="-",version="{version}",pod="p",signal="deposits"'
                lines.append(f"croupier_signal_{kind}_total{{{labels}}} {value}")
        body = ("\n".join(lines) + "\n").encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def kubectl(*words: str, stdin: str | None = None) -> str:
    argv = [str(places.Cache.of_user().program("kubectl")), "--kubeconfig", str(places.KUBECONFIG), *words]
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=True).stdout


def apply(*objects: dict[str, Any]) -> None:
    kubectl("apply", "--server-side", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)))


def service(name: str, build: str = "1") -> list[dict[str, Any]]:
    """Intent and policy of one service, on simulated nodes."""
    labels = {"app": name}
    pod = {
        "nodeSelector": {"type": "kwok"},
        "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}],
        "containers": [{"name": "app", "image": "none", "env": [{"name": "BUILD", "value": build}]}],
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    intent = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    }
    policy = {
        "apiVersion": "croupier.dev/v1alpha1",
        "kind": "ReleasePolicy",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "deployment": name,
            "service": {"name": name},
            "route": {"parentRefs": [{"name": "web", "namespace": "default"}], "hostnames": [f"{name}.example"]},
            "replicas": 1,
            "strategy": {"steps": [10, 50, 100], "bakeSeconds": 15, "dwellSeconds": 15},
            "gates": [{"signal": "deposits", "role": "required", "margin": {"points": 2}}],
            "metrics": {"tally": f"http://127.0.0.1:{PORT}/metrics"},
        },
    }
    return [intent, policy]


def versions() -> int:
    """How many there are; from now on the tally counts for all of them."""
    found = json.loads(kubectl("-n", NAMESPACE, "get", "deploy", "-l", "croupier.dev/version", "-o", "json"))["items"]
    pairs = ((each["metadata"]["labels"][f"croupier.dev/{key}"] for key in ("policy", "version")) for each in found)
    Tally.versions = frozenset((policy, version) for policy, version in pairs)
    return len(Tally.versions)


def serving() -> int:
    versions()
    found = json.loads(kubectl("-n", NAMESPACE, "get", "rp", "-o", "json"))["items"]
    return sum(
        any(
            (each["type"], each["status"]) == ("Ready", "True") for each in item.get("status", {}).get("conditions", ())
        )
        for item in found
    )


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def cores(pid: int, seconds: float) -> float:
    """Average over so many seconds from now."""
    before, began = cpu_seconds(pid), time.monotonic()
    wait_for(lambda: time.monotonic() - began >= seconds, 2 * seconds, pause_seconds=0.5)
    return (cpu_seconds(pid) - before) / (time.monotonic() - began)


def measure(policies: int, seconds: float) -> Figures:
    server = ThreadingHTTPServer(("127.0.0.1", PORT), Tally)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    apply(*custom_resources(), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "croupier"}})
    kubectl("wait", "--for=condition=Established", "crd/releasepolicies.croupier.dev", "crd/releases.croupier.dev")
    names = [f"service-{number:03d}" for number in range(policies)]
    for name in names:
        apply(*service(name))
    with tempfile.TemporaryDirectory(prefix="operator-load-") as folder:
        state = Path(folder, "state")
        argv = [sys.executable, "-m", "croupier.cli", "operator", "run", "--context", places.CONTEXT]
        argv += ["--kubeconfig", str(places.KUBECONFIG), "--namespace", NAMESPACE, "--state", str(state)]
        with Path(folder, "log").open("wb") as log:
            operator = subprocess.Popen(argv, stdout=log, stderr=log)
        try:
            began = time.monotonic()
            if not wait_for(lambda: serving() == policies, READY_SECONDS, pause_seconds=3.0):
                sys.exit(f"{serving()} of {policies} serve; {Path(folder, 'log').read_text()[-2000:]}")
            until_all_serve = time.monotonic() - began
            starting = cpu_seconds(operator.pid) / until_all_serve
            idle = cores(operator.pid, seconds)
            apply(service(names[0], build="2")[0])
            if not wait_for(lambda: versions() > policies, 60.0, pause_seconds=1.0):
                sys.exit("no release has begun")
            live = cores(operator.pid, seconds)
            status = Path(f"/proc/{operator.pid}/status").read_text()
            resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
            size = sum(each.stat().st_size for each in state.rglob("*") if each.is_file())
            return Figures(policies, until_all_serve, starting, idle, live, resident / 1024, size / 2**20)
        finally:
            operator.send_signal(signal.SIGTERM)
            operator.wait(30)
            server.shutdown()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--policies", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        subprocess.run([*STAND, "up", "--fake", "3", "--owner", str(os.getpid())], check=True)
        try:
            again = [sys.executable, "-m", "bench.operator_load", "--inside", *sys.argv[1:]]
            return subprocess.run(network.inside(again), check=False).returncode
        finally:
            subprocess.run([*STAND, "down"], check=True)
    found = measure(options.policies, options.seconds)
    for name, value in asdict(found).items():
        print(f"{name.replace('_', ' '):<26}{value:>10.2f}" if isinstance(value, float) else f"{name:<26}{value:>10}")
    if options.json:
        options.json.write_text(json.dumps(asdict(found), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
