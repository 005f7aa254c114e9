"""Rules that people write themselves, in CEL, as rules like all others."""

from __future__ import annotations

from collections.abc import Iterator

from croupier.core.policy.cel_evaluator import Unanswered, compiled
from croupier.core.policy.cel_words import VARIABLES, variables_of
from croupier.core.policy.kinds import PODS
from croupier.core.policy.objects import Object
from croupier.core.policy.rule import Hit, Level, Rule, Scope
from croupier.model.rule_file import PODS as EVERY_POD
from croupier.model.rule_file import RuleFile

_LIKE_DEPLOYMENTS = ("CloneSet", "Rollout")
"""Kinds beside the built-in ones that hold a pod template at ``spec.template``."""


def rule_of(file: RuleFile) -> Rule:
    """``file`` as a rule. An expression that has no answer for an object is a finding: nobody looked at that object.

    Raises ``UsageError`` for what is no CEL, ``UnknownName`` for a variable that there is not, ``EnvironmentFault``
    without an evaluator.
    """
    names = variables_of(file.expression)
    holds = compiled(file.expression, {name: VARIABLES[name] for name in names})
    path = tuple(file.path.split(".")) if file.path else ()

    def ask(each: Object) -> Iterator[Hit]:
        try:
            if not holds(each.value):
                yield Hit(path, file.message)
        except Unanswered as error:
            yield Hit(path, f"the rule has no answer ({error})")

    kinds = set(file.kinds)
    if EVERY_POD in kinds:
        kinds = (kinds - {EVERY_POD}) | {each.kind for each in PODS} | {*_LIKE_DEPLOYMENTS}
    return Rule(
        file.id, file.title, Level(file.level), Scope.OBJECT, file.source, file.why, file.fix, file.bad, file.good,
        frozenset(kinds), True, ask, file.expression,
    )  # fmt: skip
