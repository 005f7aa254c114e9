"""All rules, by id. A new rule stands in one of the modules below."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from croupier.core.policy import (
    availability,
    budgets,
    hardening,
    hygiene,
    images,
    mesh,
    network,
    placement,
    pod_security,
    probes,
    rbac,
    references,
    resources,
    rollout,
    rotation,
    scaling,
    secrets,
    waivers,
    walls,
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
    rbac,
    rollout,
    scaling,
    budgets,
    rotation,
    mesh,
    placement,
    walls,
)
RULES = _by_id(rule for module in ALL for rule in module.RULES)
PROFILES: Mapping[str, tuple[str, ...]] = {
    "default": tuple(each.id for each in RULES.values() if each.usual),
    "baseline": tuple(each.id for each in pod_security.BASELINE_RULES),
    "restricted": tuple(each.id for each in pod_security.RULES),
    "all": tuple(RULES),
}
"""Profile -> the rules asked."""


def rule(id: str) -> Rule:
    """The rule called ``id``. Raises ``UnknownName``."""
    if id not in RULES:
        raise UnknownName("rule", id, list(RULES))
    return RULES[id]


def chosen(profile: str, also: Iterable[str] = (), but: Iterable[str] = ()) -> tuple[Rule, ...]:
    """The rules of ``profile`` and those named, without those named, in the order of the catalogue. Raises
    ``UnknownName``.
    """
    if profile not in PROFILES:
        raise UnknownName("profile", profile, list(PROFILES))
    wanted = {*PROFILES[profile], *(rule(each).id for each in also)} - {rule(each).id for each in but}
    wanted -= {weaker for stricter, weaker in OVERRIDES.items() if stricter in wanted}
    return tuple(each for each in RULES.values() if each.id in wanted)
