"""Flags of a service (S12.1): a file that its pods read again when it changes, in the format of flagd (OpenFeature).

Unlike configuration (``config.py``) the ConfigMap keeps its name and is no part of a version: a heavy feature is off in
every pod of a cell a minute after it is off in Git, without a release. What a change of it is called is in its
annotation. Which flags there are is no secret, so players' data and secrets do not belong there.
"""

from __future__ import annotations

import hashlib
import json

from croupier.core.render.names import of_service
from croupier.core.render.version import LIVE
from croupier.model.objects import JsonObject
from croupier.model.platform import Cell
from croupier.model.service_spec import FLAGS, ServiceSpec

FILE = "flags.json"
CHECKSUM = "croupier.dev/flags-checksum"
HEAVY = "croupier.dev/heavy-features"
VOLUME = "flags"


def flags_name(service: ServiceSpec) -> str:
    return f"{service.name}-flags"


def flag_map(cell: Cell, service: ServiceSpec) -> list[JsonObject]:
    """The ConfigMap; nothing for who has no flags."""
    if not service.flags:
        return []
    text = _text(service)
    made = of_service(cell, service, "v1", "ConfigMap", {"data": {FILE: text}}, name=flags_name(service))
    made["metadata"]["annotations"] = {CHECKSUM: hashlib.sha256(text.encode()).hexdigest()}
    return [made]


def heavy(service: ServiceSpec) -> dict[str, str]:
    """Annotation of the workload: what can be switched off (S15.6)."""
    names = sorted(name for name, each in service.flags.items() if each.heavy)
    return {HEAVY: ",".join(names)} if names else {}


def live(service: ServiceSpec) -> dict[str, str]:
    """Annotation of the pods: what croupier's operator makes no copy of for each version."""
    return {LIVE: flags_name(service)} if service.flags else {}


def told(service: ServiceSpec) -> dict[str, str]:
    """Environment by which the providers of OpenFeature for flagd find the file."""
    if not service.flags:
        return {}
    return {"FLAGD_RESOLVER": "file", "FLAGD_OFFLINE_FLAG_SOURCE_PATH": f"{FLAGS}/{FILE}"}


def volumes(service: ServiceSpec) -> list[JsonObject]:
    return [{"name": VOLUME, "configMap": {"name": flags_name(service)}}] if service.flags else []


def mounts(service: ServiceSpec) -> list[JsonObject]:
    """A folder, not a file in one: what is mounted by ``subPath`` never changes."""
    return [{"name": VOLUME, "mountPath": FLAGS, "readOnly": True}] if service.flags else []


def _text(service: ServiceSpec) -> str:
    flags = {
        name: {
            "state": "ENABLED" if each.enabled else "DISABLED",
            "variants": dict(sorted(each.variants.items())),
            "defaultVariant": each.default,
        }
        for name, each in sorted(service.flags.items())
    }
    return json.dumps({"flags": flags}, indent=2) + "\n"
