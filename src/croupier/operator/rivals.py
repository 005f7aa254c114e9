"""Of two policies for one Deployment or one Service only one may act: two would lead players and callers to and fro,
and each would make versions that the other's gates have not seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from croupier.adapters.kubernetes_api import SERVICES
from croupier.adapters.kubernetes_cache import labels_of
from croupier.adapters.kubernetes_cluster import Cluster, Policy
from croupier.core.render.version import POLICY_LABEL


def without_rivals(cluster: Cluster, policies: Iterable[Policy]) -> list[Policy]:
    """The policies; those that want what another one has cannot be used, and say whose it is."""
    given = list(policies)
    claims: dict[tuple[str, str, str], list[Policy]] = {}
    for policy in given:
        if policy.owner is not None:
            namespace, spec = policy.owner.namespace, policy.owner.spec
            claims.setdefault(("deployment", namespace, spec.deployment), []).append(policy)
            claims.setdefault(("service.name", namespace, spec.service.name), []).append(policy)
    problems: dict[str, tuple[str, ...]] = {}
    for (field, _, name), rivals in claims.items():
        if len(rivals) > 1:
            holder, *others = sorted(rivals, key=lambda each: _seniority(cluster, each))
            for each in others:
                problem = f"spec.{field}: {name} belongs to ReleasePolicy {holder.title}; delete one of the two"
                problems[each.uid] = (*problems.get(each.uid, ()), problem)
    return [
        replace(each, owner=None, problems=problems[each.uid], fallback=each.owner) if each.uid in problems else each
        for each in given
    ]


def _seniority(cluster: Cluster, policy: Policy) -> tuple[bool, str, str]:
    """First the one whose Service it is already, whichever was edited; then the oldest."""
    assert policy.owner is not None
    service = cluster.get(SERVICES, policy.owner.namespace, policy.owner.spec.service.name)
    is_its = service is not None and labels_of(service).get(POLICY_LABEL) == policy.owner.name
    return not is_its, str(policy.object["metadata"].get("creationTimestamp", "")), policy.title
