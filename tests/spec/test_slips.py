"""Whatever slip is made in a platform, it is a problem of the platform and never a fault of croupier."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import quick_yaml

from croupier.core.render.cell import objects
from croupier.spec.platform import load_described, look

DIGEST = "sha256:" + "1f" * 32
PLATFORM = f"""
brands: {{lucky: {{title: Lucky}}}}
markets:
  se: {{title: Sweden, residency: {{source: law, regions: [north], drRegions: [south], classes: {{
    ledger: {{store: [north, south]}}, telemetry: {{store: [north, south]}}}}}}}}
regions:
  north: &region
    zones: [a]
    gateway: {{name: web}}
    monitoringNamespace: monitoring
    prometheus: {{form: operator}}
    secretStore: vault
    pools: {{api: {{serves: [http], labels: {{pool: api}}}}, disks: {{labels: {{pool: disks}}}}}}
    traces: {{image: "otel/collector@{DIGEST}", endpoint: {{host: tempo.monitoring.svc, port: 4317}}}}
    egress: {{image: "envoy@{DIGEST}", replicas: 3, resources: {{cpu: 100m, memory: 256Mi}}}}
    stores:
      apiServers: [10.0.0.1/32]
      postgres: {{image: "registry.example/postgresql:17.6@{DIGEST}"}}
      objectStore: {{bucket: "s3://lucky", credentials: lucky/objects}}
      kmsKey: lucky
      storage: {{disks: {{purpose: local, provisioner: csi.example, pool: disks}}}}
  south: *region
cells: [{{brand: lucky, market: se, region: north, hostnames: [lucky.example]}}]
providers: {{psp: {{kind: psp, region: EU, timeoutSeconds: 8, endpoints: [{{host: psp.example}}],
  addresses: [192.0.2.0/28], maxConnections: 30}}}}
gitops: {{tool: argocd, repository: "https://git.example/lucky.git", clusters: {{north: in-cluster}}}}
defaults: {{replicas: 2, routes: [], resources: {{cpu: 100m, memory: 64Mi}}, image: "registry.example/lucky@{DIGEST}"}}
services:
  - {{name: lobby, layer: api, routes: [/lobby/], dependsOn: [wallet], telemetry: {{traces: south}},
     alerts: {{team: lobby, runbook: "https://wiki.example/lobby"}}}}
  - name: wallet
    layer: service
    tier: money
    egress: [psp]
    data:
      ledger:
        classes: [ledger]
        credentials: lucky/ledger
        dr: south
        drBackup: south
        keys: north
        postgres: {{storage: disks, size: 10Gi, resources: {{cpu: "1", memory: 1Gi}}, pooler: {{size: 60}}}}
  - {{name: bonus, layer: service, data: {{ledger: {{classes: [ledger], of: wallet, credentials: lucky/bonus}}}}}}
"""


def _slips(value: Any) -> Iterator[tuple[str, Any]]:
    """``value`` with one key misspelt, or one value taken away or made a word, at every place of it."""
    items = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    for key, inner in items:
        gone, other = copy.deepcopy(value), copy.deepcopy(value)
        del gone[key]
        other[key] = "nobody"
        yield f"{key} gone", gone
        yield f"{key}: nobody", other
        if isinstance(key, str):
            yield f"{key}x", {(f"{key}x" if each == key else each): held for each, held in value.items()}
        for name, slip in _slips(inner):
            changed = copy.deepcopy(value)
            changed[key] = slip
            yield f"{key}.{name}", changed


def test_the_platform_that_slips_are_made_in_is_sound(tmp_path: Path) -> None:
    """Or else they would prove nothing."""
    (tmp_path / "x.yaml").write_text(json.dumps(quick_yaml.load(PLATFORM)))
    made = objects(load_described(tmp_path).cells)
    assert {"regions/north/traces.yaml", "stores/south/lucky-se-north.yaml"} <= made.keys()


@pytest.mark.parametrize("section", list(quick_yaml.load(PLATFORM)))
def test_what_is_left_beside_a_slip_can_be_rendered(section: str, tmp_path: Path) -> None:
    """Prevents: a slip in one region, and ``croupier check`` breaks over a service that needs it."""
    platform = quick_yaml.load(PLATFORM)
    for name, slip in _slips(platform[section]):
        (tmp_path / "x.yaml").write_text(json.dumps({**platform, section: slip}))
        described, _ = look(tmp_path)
        try:
            objects(described.cells)
        except Exception as error:
            raise AssertionError(f"{section}.{name}") from error
