"""Which schemas objects are held against: those that come with croupier, and the definitions that people have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from croupier.core.schemas import DEFINITION, Validator, with_definitions
from croupier.errors import Problem, SpecError
from croupier.model.base import JsonObject
from croupier.model.policy import SchemaView, UnknownKindView
from croupier.spec.manifests import read_file
from croupier.spec.schemas import load_schemas


def validator(kubernetes: str, objects: Iterable[JsonObject] = (), files: Iterable[str] = ()) -> Validator:
    """The schemas of a version of Kubernetes, and those of the CustomResourceDefinitions among ``objects`` and in
    ``files``.

    Raises ``SpecError`` for a file without one, ``UnknownName`` for a version without schemas.
    """
    return Validator(with_definitions(load_schemas(kubernetes), [*_defined(files), *objects]))


def _defined(files: Iterable[str]) -> Iterator[JsonObject]:
    for file in files:
        read = read_file(file)
        found = [each.value for each in read.manifests if each.kind == DEFINITION]
        if not found:
            none = Problem(file, 0, 0, "CRD", f"holds no {DEFINITION}")
            raise SpecError([read.problem if read.problem is not None else none])
        yield from found


def held(objects: Sequence[JsonObject], schemas: Validator) -> SchemaView:
    """Of which ``objects`` the ``schemas`` can tell, and of which not."""
    left = Counter((str(each["apiVersion"]), str(each["kind"])) for each in objects if not schemas.covers(each))
    unknown = [
        UnknownKindView(api_version=version, kind=kind, objects=count)
        for (version, kind), count in sorted(left.items())
    ]
    return SchemaView(kubernetes=schemas.kubernetes, objects=len(objects) - left.total(), unknown=tuple(unknown))
