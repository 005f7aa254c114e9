"""The schemas that come with croupier; ``tools/kubernetes_schemas.py`` makes the files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from croupier.errors import UnknownName
from croupier.model.objects import JsonObject
from croupier.model.schemas import NEWEST, VERSIONS, Kind, SchemaSet


def load_schemas(kubernetes: str = NEWEST) -> SchemaSet:
    """All schemas of one version (``1.37``), and of the custom resources of Gateway API, of the
    operators that croupier renders for, and of croupier.

    Raises ``UnknownName`` for a version that did not come with croupier.
    """
    if kubernetes not in VERSIONS:
        raise UnknownName("version of Kubernetes", kubernetes, VERSIONS)
    data = _read("kubernetes.json")
    until = VERSIONS[: VERSIONS.index(kubernetes) + 1]
    types = _laid(data["types"][each] for each in until)
    kinds = {_kind(name): {"$ref": held} for name, held in _laid(data["kinds"][each] for each in until).items()}
    groups = {_kind(name)[0].rpartition("/")[0] for each in VERSIONS for name in data["kinds"][each]}
    for file in ("gateway-api.json", "operators.json", "croupier.json"):
        kinds.update((_kind(name), held) for name, held in _read(file)["kinds"].items())
    return SchemaSet(kubernetes, kinds, types, frozenset(groups))


def _laid(layers: Iterable[JsonObject]) -> JsonObject:
    """Each layer over those before it; null takes away."""
    held: JsonObject = {}
    for layer in layers:
        held.update(layer)
    return {name: each for name, each in held.items() if each is not None}


def _kind(name: str) -> Kind:
    version, _, kind = name.partition(" ")
    return version, kind


def _read(name: str) -> Any:
    return json.loads(files(__package__).joinpath(name).read_bytes())
