"""AdmissionReviews and ImageReviews in the form that API servers send them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "data" / "admission"
DIGEST = "sha256:" + "0f" * 32


def sent(name: str) -> dict[str, Any]:
    """A review of tests/data/admission."""
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def pod(**container: Any) -> dict[str, Any]:
    """A pod that no rule at the door has an error against; ``container``: other fields of its one container."""
    held = {
        "name": "app",
        "image": f"registry.example/bets@{DIGEST}",
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        **container,
    }
    security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"securityContext": security, "serviceAccountName": "bets", "containers": [held]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bets", "namespace": "casino"}, "spec": spec}


def review(value: dict[str, Any] | None, *, old: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A review of one object by Ann."""
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "name": "bets",
        "namespace": "casino",
        "operation": "CREATE" if old is None else "UPDATE",
        "userInfo": {"username": "ann", "groups": ["system:authenticated"]},
        "object": value,
        "oldObject": old,
        "dryRun": False,
        "options": None,
        **changes,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def images(*names: str, namespace: str = "casino") -> dict[str, Any]:
    """An ImageReview."""
    spec = {"containers": [{"image": name} for name in names], "annotations": {}, "namespace": namespace}
    return {"apiVersion": "imagepolicy.k8s.io/v1alpha1", "kind": "ImageReview", "spec": spec}
