"""A rule on manifests that people write themselves, as a file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from croupier.model.base import Name, Value

Text = Annotated[str, StringConstraints(min_length=1)]
PODS = "pods"
"""Among the kinds of a rule: pods and the built-in kinds that make them."""


class RuleFile(Value):
    """One rule: what it asks in CEL, and everything people need to act on it."""

    id: Name
    title: Text
    """What should be, in a few words."""
    level: Literal["error", "warning", "note"]
    source: Text
    """Where it comes from: a requirement, a standard, an incident."""
    why: Text
    fix: Text
    message: Text
    """What is wrong with an object of which the expression does not hold."""
    kinds: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Kinds it asks; `pods` stands for pods and the built-in kinds that make them."""
    expression: Text
    """CEL; true where nothing is wrong. It sees `object` and `variables`."""
    path: str = ""
    """Where the finding is shown, like `spec.replicas`; empty: at the object."""
    bad: Text
    """Manifests that it finds fault with."""
    good: Text
    """Manifests that it does not."""
