"""What a rule is: a question about one pod, one object or all objects together, with everything people need to act on
it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from croupier.model.manifest import Path

if TYPE_CHECKING:
    from croupier.core.policy.objects import Object, Pod
    from croupier.core.policy.world import World


class Level(StrEnum):
    """How much a finding weighs; the words of SARIF."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Scope(StrEnum):
    """What a rule looks at."""

    POD = "pod"
    """A pod, wherever its template stands."""
    OBJECT = "object"
    """One object."""
    BUNDLE = "bundle"
    """All objects that are checked together."""


class Hit(NamedTuple):
    """Something found: where in the object, and what is wrong there."""

    path: Path
    message: str


class Found(NamedTuple):
    """A hit of a rule on bundles, which has to say in which object."""

    object: Object
    path: Path
    message: str


PodCheck = Callable[["Pod"], Iterator[Hit]]
ObjectCheck = Callable[["Object"], Iterator[Hit]]
BundleCheck = Callable[["World"], Iterator[Found]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    ``source``: the requirement or standard it comes from. ``kinds``: for rules on objects, the kinds asked; empty for
    all.
    ``usual``: whether it is asked when nobody chooses. ``bad`` and ``good``: manifests that it finds fault with, and
    not. ``expression``: the rule in CEL where that is how people wrote it, else "".
    """

    id: str
    title: str
    level: Level
    scope: Scope
    source: str
    why: str
    fix: str
    bad: str
    good: str
    kinds: frozenset[str]
    usual: bool
    check: Callable[..., Iterator[Hit | Found]]
    expression: str = ""


def pod_rule(id: str, title: str, *, level: Level, source: str, why: str, fix: str, bad: str, good: str,
             usual: bool = True) -> Callable[[PodCheck], Rule]:  # fmt: skip
    """A function from a pod to hits as a rule. ``bad`` and ``good`` are the ``spec`` of a Pod."""

    def made(check: PodCheck) -> Rule:
        return Rule(id, title, level, Scope.POD, source, why, fix, in_pod(bad), in_pod(good), frozenset(), usual, check)

    return made


def object_rule(id: str, title: str, *, level: Level, source: str, why: str, fix: str, bad: str, good: str,
                kinds: Iterable[str] = (), usual: bool = True) -> Callable[[ObjectCheck], Rule]:  # fmt: skip
    """A function from an object to hits as a rule."""

    def made(check: ObjectCheck) -> Rule:
        examples = textwrap.dedent(bad).strip() + "\n", textwrap.dedent(good).strip() + "\n"
        return Rule(id, title, level, Scope.OBJECT, source, why, fix, *examples, frozenset(kinds), usual, check)

    return made


def bundle_rule(id: str, title: str, *, level: Level, source: str, why: str, fix: str, bad: str, good: str,
                usual: bool = True) -> Callable[[BundleCheck], Rule]:  # fmt: skip
    """A function from all objects to what is found as a rule."""

    def made(check: BundleCheck) -> Rule:
        examples = textwrap.dedent(bad).strip() + "\n", textwrap.dedent(good).strip() + "\n"
        return Rule(id, title, level, Scope.BUNDLE, source, why, fix, *examples, frozenset(), usual, check)

    return made


def in_pod(spec: str) -> str:
    """A Pod around the ``spec`` of an example; without containers it gets a plain one."""
    if "containers:" not in spec.replace("initContainers:", ""):
        spec = f"{textwrap.dedent(spec).strip()}\ncontainers: [{{name: app, image: registry.example/bets}}]"
    head = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: bets\n  namespace: casino\nspec:\n"
    return head + textwrap.indent(textwrap.dedent(spec).strip(), "  ") + "\n"
