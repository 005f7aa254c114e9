"""Configuration of a service: an immutable ConfigMap whose name is made from its content (S12.2).

Another content is another name, so another pod template: a change of configuration is a new version and goes through
the same gates as code (S12.3). Of what is equal, nothing rolls.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import rfc8785

from croupier.core.render.names import of_service
from croupier.model.objects import JsonObject
from croupier.model.platform import Cell
from croupier.model.service_spec import CONFIG, ServiceSpec

CHECKSUM = "croupier.dev/config-checksum"
_VOLUME = "config"
_LONGEST_BASE = 63 - len("-config-") - 10


def checksum(service: ServiceSpec) -> str:
    """SHA-256 over the configuration, 64 hex digits."""
    return _sha256(tuple(sorted(service.config.items())))


@lru_cache(maxsize=64)  # a few objects of one service name it, one after the other
def _sha256(config: tuple[tuple[str, str], ...]) -> str:
    return hashlib.sha256(rfc8785.dumps(dict(config))).hexdigest()


def config_name(service: ServiceSpec) -> str | None:
    """Name of the ConfigMap; None: the service has no configuration."""
    if not service.config:
        return None
    return f"{service.name[:_LONGEST_BASE].rstrip('-')}-config-{checksum(service)[:10]}"


def config_map(cell: Cell, service: ServiceSpec) -> list[JsonObject]:
    name = config_name(service)
    if name is None:
        return []
    body = {"immutable": True, "data": dict(sorted(service.config.items()))}
    return [of_service(cell, service, "v1", "ConfigMap", body, name=name)]


def config_volumes(service: ServiceSpec) -> list[JsonObject]:
    """The ConfigMap as a volume, where a service wants files."""
    name = config_name(service) if service.config_as == "files" else None
    return [{"name": _VOLUME, "configMap": {"name": name}}] if name is not None else []


def config_mounts(service: ServiceSpec) -> list[JsonObject]:
    return [{"name": each["name"], "mountPath": CONFIG, "readOnly": True} for each in config_volumes(service)]
