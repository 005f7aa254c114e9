"""All rules, by id. A new rule stands in one of the modules below."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from croupier.core.policy import (
    affinity,
    availability,
    backups,
    budgets,
    capacity,
    databases,
    edge,
    gateway_guards,
    gitops,
    hardening,
    hygiene,
    images,
    mesh,
    network,
    placement,
    pod_security,
    probes,
    providers,
    rbac,
    references,
    regions,
    resources,
    rollout,
    rollout_references,
    rotation,
    routes,
    scaling,
    schema,
    secret_sources,
    secrets,
    strategies,
    waivers,
    walls,
    watching,
    writing,
)
from croupier.core.policy.pod_security import OVERRIDES
from croupier.core.policy.rule import Rule
from croupier.errors import UnknownName


def _by_id(rules: Iterable[Rule]) -> Mapping[str, Rule]:
    found: dict[str, Rule] = {}
    for each in rules:
        if each.id in found:
            raise ValueError(f"two rules are called {each.id}")
        found[each.id] = each
    return found


ALL = (
    waivers,
    writing,
    schema,
    hygiene,
    pod_security,
    hardening,
    images,
    resources,
    probes,
    availability,
    network,
    references,
    secrets,
    secret_sources,
    rbac,
    rollout,
    scaling,
    budgets,
    rotation,
    mesh,
    routes,
    placement,
    affinity,
    walls,
    strategies,
    rollout_references,
    capacity,
    databases,
    backups,
    gitops,
    providers,
    edge,
    gateway_guards,
    watching,
    regions,
)
RULES = _by_id(rule for module in ALL for rule in module.RULES)
PROFILES: Mapping[str, tuple[str, ...]] = {
    "default": tuple(each.id for each in RULES.values() if each.usual),
    "baseline": tuple(each.id for each in pod_security.BASELINE_RULES),
    "restricted": tuple(each.id for each in pod_security.RULES),
    "all": tuple(RULES),
}
"""Profile -> the rules asked."""


def rule(id: str, own: Iterable[Rule] = ()) -> Rule:
    """The rule called ``id``, of the catalogue or of ``own``. Raises ``UnknownName``."""
    known = {**RULES, **{each.id: each for each in own}}
    if id not in known:
        raise UnknownName("rule", id, list(known))
    return known[id]


def chosen(
    profile: str, also: Iterable[str] = (), but: Iterable[str] = (), own: Iterable[Rule] = ()
) -> tuple[Rule, ...]:
    """The rules of ``profile`` and those named, without those named, in the order of the catalogue.

    ``own``: rules that are not in the catalogue; asked beside any profile where they are usual. Raises
    ``UnknownName``.
    """
    if profile not in PROFILES:
        raise UnknownName("profile", profile, list(PROFILES))
    more = {each.id: each for each in own}
    known = {**RULES, **more}
    for each in (*also, *but):
        if each not in known:
            raise UnknownName("rule", each, list(known))
    wanted = {*PROFILES[profile], *(each.id for each in more.values() if each.usual or profile == "all"), *also}
    wanted -= set(but)
    wanted -= {weaker for stricter, weaker in OVERRIDES.items() if stricter in wanted}
    return tuple(each for each in known.values() if each.id in wanted)
