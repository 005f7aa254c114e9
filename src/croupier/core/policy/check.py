"""Rules asked of manifests: findings, in the order of the manifests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from croupier.core.policy.objects import Object, Settings, as_object
from croupier.core.policy.rule import Found, Rule, Scope
from croupier.core.policy.world import World
from croupier.model.manifest import Manifest, Path

NOTHING_SET = Settings()


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule has against one place. ``index``: of the manifest."""

    index: int
    path: Path
    rule: Rule
    message: str


def check(
    manifests: Sequence[Manifest], rules: Sequence[Rule] | Asked, settings: Settings = NOTHING_SET
) -> list[Finding]:
    """What ``rules`` have against ``manifests``, which make one bundle; sorted by manifest, then as the rules are.

    Who asks the same rules often, of little at a time, gives them as ``Asked``.
    """
    findings = list(found(manifests, rules if isinstance(rules, Asked) else Asked(rules), settings))
    findings.sort(key=lambda each: each.index)
    return findings


def found(manifests: Sequence[Manifest], asked: Asked, settings: Settings = NOTHING_SET) -> Iterator[Finding]:
    """The same one by one, rules on bundles last, for who stops when there is enough."""
    world = World([as_object(index, each, settings) for index, each in enumerate(manifests)])
    for each in world.objects:
        yield from _alone(each, asked)
    for rule in asked.of_bundles:
        for hit in rule.check(world):
            assert isinstance(hit, Found)
            yield Finding(hit.object.index, hit.path, rule, hit.message)


class Asked:
    """Rules by what they are asked of."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self.of_bundles = [rule for rule in rules if rule.scope is Scope.BUNDLE]
        self.of_pods = [rule for rule in rules if rule.scope is Scope.POD]
        self.of_kind: dict[str, list[Rule]] = defaultdict(list)
        self.of_all: list[Rule] = []
        for rule in rules:
            if rule.scope is Scope.OBJECT:
                for kind in rule.kinds:
                    self.of_kind[kind].append(rule)
                if not rule.kinds:
                    self.of_all.append(rule)


def _alone(each: Object, asked: Asked) -> Iterator[Finding]:
    """What the rules on pods and single objects find in ``each``."""
    for pod in each.pods:
        for rule in asked.of_pods:
            for hit in rule.check(pod):
                yield Finding(each.index, hit.path, rule, hit.message)
    for rule in (*asked.of_all, *asked.of_kind.get(each.kind, ())):
        for hit in rule.check(each):
            yield Finding(each.index, hit.path, rule, hit.message)
