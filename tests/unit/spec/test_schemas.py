"""The schemas that come with croupier are whole, and those of its own resources are what the operator installs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from croupier.core.schemas.definitions import from_definitions
from croupier.errors import UnknownName
from croupier.model.schemas import VERSIONS
from croupier.operator.crds import custom_resources
from croupier.spec.schemas import load_schemas


def references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for each in schema.values():
            yield from references(each)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_type_that_is_referred_to_is_there(version: str) -> None:
    held = load_schemas(version)
    wanted = {name for each in (*held.kinds.values(), *held.types.values()) for name in references(each)}
    assert wanted <= set(held.types)
    assert {("v1", "Pod"), ("apps/v1", "Deployment"), ("gateway.networking.k8s.io/v1", "HTTPRoute")} <= set(held.kinds)


def test_a_version_without_schemas_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match=r"1\.12") as refused:
        load_schemas("1.12")
    assert "1.37" in refused.value.hint


def test_croupiers_own_resources_are_as_the_operator_installs_them() -> None:
    """After a change: ``python -m tools.kubernetes_schemas --own`` writes them anew."""
    held = load_schemas().kinds
    installed = from_definitions(custom_resources())
    assert installed
    assert {kind: held.get(kind) for kind in installed} == installed
