"""Rules said a second time, in CEL, for admission: what the API server itself can ask of one object.

An expression is true where the rule finds no fault. It sees ``object`` as the API server holds it (fields that are
nothing are not there) and ``variables``, those of ``cel_words.py`` that it names. What each says is compared with the
rule in Python, on every case of it that there is (tests/unit/core/policy/test_cel.py). Written for the CEL of
Kubernetes v1.30 and later: optionals (``?.``), the extended strings library and quantities are used, macros that bind
are not, and a list holds values of one type. Expressions stand by subject, in the order of the modules of their rules:
``cel_security.py``, ``cel_running.py``, ``cel_releases.py``, ``cel_traffic.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from croupier.core.policy import cel_releases, cel_running, cel_security, cel_traffic
from croupier.core.policy.cel_security import of_images
from croupier.core.policy.cel_words import quoted, words
from croupier.core.policy.kinds import OF_KIND, PODS, Resource
from croupier.core.policy.objects import Settings
from croupier.core.policy.rule import Rule, Scope


@dataclass(frozen=True, slots=True)
class Said:
    """A rule in CEL: what is asked, and of what."""

    expression: str
    resources: tuple[Resource, ...]


def said(rule: Rule, settings: Settings) -> Said | str:
    """``rule`` in CEL, or why it is not."""
    if rule.expression:
        return _written(rule)
    if rule.scope is Scope.BUNDLE:
        return "it looks at several objects, and admission sees one"
    if rule.id in _CANNOT:
        return _CANNOT[rule.id]
    if rule.id in _SETTINGS:
        expression = _SETTINGS[rule.id](settings)
        return Said(expression, PODS) if expression else "nobody has decided what it is to ask for (its option)"
    if rule.id in _OF_PODS:
        return Said(_OF_PODS[rule.id], PODS)
    if rule.id not in _OF_OBJECTS:
        return "it is a function of somebody's own in Python, which has no form in CEL"
    kinds, expression = _OF_OBJECTS[rule.id]
    return Said(expression, tuple(OF_KIND[kind] for kind in kinds))


def _written(rule: Rule) -> Said | str:
    """A rule that was written in CEL."""
    if {each.kind for each in PODS} <= rule.kinds:
        return Said(rule.expression, PODS)
    unknown = sorted(rule.kinds - OF_KIND.keys())
    if unknown:
        return f"what the API server calls {', '.join(unknown)} is not known here"
    return Said(rule.expression, tuple(OF_KIND[kind] for kind in sorted(rule.kinds)))


def _folders(settings: Settings) -> list[str]:
    return [f"{each.rstrip('/')}/" for each in settings.registries]


_OF_PODS: Mapping[str, str] = {**cel_security.OF_PODS, **cel_running.OF_PODS, **cel_traffic.OF_PODS}
_OF_OBJECTS: Mapping[str, tuple[tuple[str, ...], str]] = {
    **cel_security.OF_OBJECTS,
    **cel_running.OF_OBJECTS,
    **cel_releases.OF_OBJECTS,
    **cel_traffic.OF_OBJECTS,
}
_SETTINGS: Mapping[str, Callable[[Settings], str]] = {
    "image-registry": lambda settings: (
        of_images(f"{words(_folders(settings))}.exists(prefix, c.image.startsWith(prefix))")
        if settings.registries
        else ""
    ),
    "required-labels": lambda settings: " && ".join(
        f"(variables.made || object.?metadata.?labels[?'{quoted(each)}'].orValue('') != '')" for each in settings.labels
    ),
    "priority-class": lambda settings: (
        f"variables.spec.?priorityClassName.orValue('') in {words(('', *settings.priority_classes))}"
        if settings.priority_classes
        else "variables.spec.?priorityClassName.orValue('') != ''"
    ),
}
"""Rule -> what is asked of pods, by what people decided; "" where nothing was."""

_ASKED = "the API server asks it already"
_FILLED = "the API server fills the field itself, so that it is always as it should be or never"
_CANNOT: Mapping[str, str] = {
    "duplicate-key": "it is about the text, of which the API server no longer knows",
    "waiver": "it is about this checker's own exceptions",
    "removed-api": "the API server that serves no such version answers by itself",
    "schema": _ASKED,
    "schema-known": _ASKED,
    "selector": _ASKED,
    "target-port": _ASKED,
    "instance-label": "pods that a controller makes are called otherwise than what their labels say",
    "namespace-named": _FILLED,
    "service-account-field": _FILLED,
    "restart-policy": _FILLED,
    "pull-policy": _FILLED,
    "secret-in-git": "it is about Git; a Secret in the cluster is where it belongs",
}
"""Rule on single objects -> why admission cannot ask it."""
