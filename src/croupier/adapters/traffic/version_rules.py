"""How a mesh of Istio's reaches a version: copies of the DestinationRule that Git holds for the Service (S8.7)."""

from __future__ import annotations

from collections.abc import Iterable

from croupier.adapters.kubernetes_api import DESTINATION_RULES
from croupier.adapters.kubernetes_cluster import Cluster
from croupier.adapters.traffic.gateway_objects import annotation
from croupier.core.render.version import COPY_OF, Owner, labels, version_rule
from croupier.model.objects import JsonObject


def rules_of(cluster: Cluster, owner: Owner, digests: Iterable[str]) -> list[JsonObject]:
    """A rule for each of these versions; none where no mesh splits callers, or Git says nothing of the Service."""
    if owner.spec.mesh is None or not cluster.has(DESTINATION_RULES):
        return []
    held = cluster.find(DESTINATION_RULES, owner.namespace)
    found = [each for each in held if _is_of(owner, str((each.get("spec") or {}).get("host", "")))]
    found = [each for each in found if not annotation(each, COPY_OF)]
    if not found:
        return []
    oldest = min(found, key=lambda each: (each["metadata"].get("creationTimestamp", ""), each["metadata"]["name"]))
    return [version_rule(owner, digest, oldest) for digest in digests]


def spare_rules(cluster: Cluster, owner: Owner, digest: str) -> list[JsonObject]:
    """Copies for a version, of what Git held once."""
    if not cluster.has(DESTINATION_RULES) or rules_of(cluster, owner, (digest,)):
        return []
    found = cluster.find(DESTINATION_RULES, owner.namespace, labels(owner.name, digest))
    return [each for each in found if annotation(each, COPY_OF)]


def _is_of(owner: Owner, host: str) -> bool:
    """Whether a host is the Service: by its name alone, or with its namespace behind it."""
    name, _, rest = host.partition(".")
    return name == owner.spec.service.name and rest.partition(".")[0] in {"", owner.namespace}
