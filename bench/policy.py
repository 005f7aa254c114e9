"""What checking manifests costs: 10,000 documents, every rule and strict schemas (bar: 4 CPU seconds, 200 MiB).

    python -m bench.policy [--documents 10000] [--runs 5] [--peer 'conftest test -p rules']

Writes bundles of eight documents a service (about 600 bytes a document) to a folder of its own, then runs the command
line as users do and prints user + system CPU seconds, best and median, and the largest resident set. Other checkers
that are installed (``PEERS``) are run on the same documents, once, and so is each ``--peer``, a command that gets the
folder as its last word; the last column is how many times croupier's cost that is, with all rules and schemas.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench.command import SCRIPT, cost, installed

DOCUMENTS_A_SERVICE = 8
BRANDS = 25
BUNDLE = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: NAME
  namespace: casino
  labels: {app: NAME}
spec:
  replicas: 3
  selector:
    matchLabels: {app: NAME}
  template:
    metadata:
      labels:
        app: NAME
        brand: BRAND
    spec:
      securityContext:
        runAsNonRoot: true
        seccompProfile: {type: RuntimeDefault}
      containers:
        - name: app
          image: registry.example/NAME@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
          ports:
            - containerPort: 8080
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            capabilities: {drop: [ALL]}
          resources:
            requests: {cpu: 100m, memory: 128Mi}
            limits: {cpu: "1", memory: 128Mi}
          readinessProbe:
            httpGet: {path: /healthz, port: 8080}
---
apiVersion: v1
kind: Service
metadata:
  name: NAME
  namespace: casino
spec:
  selector: {app: NAME}
  ports:
    - port: 80
      targetPort: 8080
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: NAME
  namespace: casino
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: NAME
  namespace: casino
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: NAME}
  minReplicas: 3
  maxReplicas: 30
  metrics:
    - type: Pods
      pods:
        metric: {name: rps_per_pod}
        target: {type: AverageValue, averageValue: "120"}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: NAME
  namespace: casino
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {app: NAME}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: NAME
  namespace: casino
spec:
  podSelector: {matchLabels: {app: NAME}}
  policyTypes: [Ingress, Egress]
  ingress:
    - from:
        - namespaceSelector: {matchLabels: {gw: ingress}}
  egress:
    - to:
        - namespaceSelector: {matchLabels: {svc: psp-egress}}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: NAME
  namespace: casino
data:
  LOG_LEVEL: info
  FEATURE_A: "true"
  LIMIT: "120"
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: NAME
  namespace: casino
spec:
  tls:
    - hosts: [NAME.example]
      secretName: NAME
  rules:
    - host: NAME.example
      http:
        paths:
          - path: /
            pathType: Prefix
            backend:
              service: {name: NAME, port: {number: 80}}
"""
PEERS = (
    "kubeconform -strict -ignore-missing-schemas",
    "kube-linter lint",
    "polaris audit --audit-path",
    "checkov --framework kubernetes --skip-download --compact --quiet -d",
)
"""Those that take a folder. kube-score takes files, and conftest rules: say how by ``--peer``."""
_ANY_CODE = range(-64, 256)
_WITHOUT = ("--disable", "schema", "--disable", "schema-known")
MOST_CPU_SECONDS, MOST_MIB, MOST_SECONDS_TO_START, MOST_SECONDS_ONE_FILE = 4.0, 200.0, 0.3, 0.5


def write(folder: Path, documents: int) -> None:
    """``documents`` in files of one service each."""
    for number in range(documents // DOCUMENTS_A_SERVICE):
        (folder / f"svc-{number}.yaml").write_text(
            BUNDLE.replace("NAME", f"svc-{number}").replace("BRAND", f"brand-{number % BRANDS}")
        )


def measure(words: list[str], runs: int, environment: Mapping[str, str]) -> tuple[float, float, float]:
    """(best, median CPU seconds, most MiB) of ``croupier words``, after a call that is not counted."""
    cost([SCRIPT, *words], environment)
    seconds, mib = zip(*(cost([SCRIPT, *words], environment) for _ in range(runs)), strict=True)
    return min(seconds), statistics.median(seconds), max(mib)


def measure_peers(more: list[str], folder: Path, ours: float, environment: Mapping[str, str]) -> None:
    """Print what other checkers cost on the documents in ``folder``; ``ours``: CPU seconds of croupier's."""
    for command in (*PEERS, *more):
        words = shlex.split(command)
        if shutil.which(words[0]) is None:
            print(f"{words[0]:<36} is not installed")
            continue
        seconds, mib = cost([*words, str(folder)], environment, _ANY_CODE)
        print(f"{command[:36]:<36} {seconds:>8.2f} {'':>8} {'':>6} {mib:>8.0f} {seconds / ours:>5.1f}x")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", action="append", default=[], metavar="COMMAND", help="repeat")
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, installed() as environment:
        folder = Path(home)
        write(folder, asked.documents)
        check = ["policy", "check", "--profile", "all", "-o", "json"]
        whole = f"{asked.documents} documents"
        rows = (
            ("croupier policy rules (start-up)", ["policy", "rules"], MOST_SECONDS_TO_START),
            ("one file of 8 documents", [*check, str(folder / "svc-0.yaml")], MOST_SECONDS_ONE_FILE),
            (whole, [*check, home], MOST_CPU_SECONDS),
            ("the same without schemas", [*check, *_WITHOUT, home], MOST_CPU_SECONDS),
        )
        over = False
        costs: dict[str, float] = {}
        print(f"{'call':<36} {'CPU s':>8} {'median':>8} {'bar':>6} {'MiB':>8} {'bar':>6}")
        for name, words, bar in rows:
            best, median, mib = measure(words, asked.runs, environment)
            over |= best > bar or mib > MOST_MIB
            costs[name] = best
            print(f"{name:<36} {best:>8.2f} {median:>8.2f} {bar:>6} {mib:>8.0f} {MOST_MIB:>6.0f}")
        measure_peers(asked.peer, folder, costs[whole], environment)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
