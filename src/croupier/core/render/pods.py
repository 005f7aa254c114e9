"""What all pods that are rendered have: limits, and Pod Security ``restricted`` (S3.8-S3.12, S13.4)."""

from __future__ import annotations

from croupier.model.container import Resources
from croupier.model.objects import JsonObject


def resources_of(wanted: Resources) -> JsonObject:
    limits = {"cpu": wanted.cpu_limit} if wanted.cpu_limit else {}
    return {
        "requests": {"cpu": wanted.cpu, "memory": wanted.memory},
        "limits": {**limits, "memory": wanted.memory_limit or wanted.memory},
    }


def hardened() -> JsonObject:
    """The security context of a container."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }


def restricted() -> dict[str, str]:
    """Labels of a namespace that takes no other pods."""
    return {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
