"""Which schemas objects are held against: those that come with croupier, and the definitions that people have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from croupier.core.policy.check import check
from croupier.core.policy.fingerprint import written
from croupier.core.policy.pod_security import RULES
from croupier.core.schemas.definitions import DEFINITION, with_definitions
from croupier.core.schemas.validator import Validator
from croupier.errors import Problem, SpecError
from croupier.model.manifest import Manifest, Path, Source
from croupier.model.objects import JsonObject
from croupier.model.policy import SchemaView, UnknownKindView
from croupier.spec.manifests import read_file
from croupier.spec.schemas import load_schemas

if TYPE_CHECKING:
    from croupier.core.schemas.types import Flaw
    from croupier.model.patches import PlacedPatch

Blame = Callable[[str, JsonObject, Path], "PlacedPatch | None"]
"""File, object and place of a flaw -> the patch that has written there, if one has."""


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


def checked(files: Mapping[str, Sequence[JsonObject]], kubernetes: str, blame: Blame | None = None) -> SchemaView:
    """Hold what was rendered, file by file, against the schemas of a version of Kubernetes.

    Raises ``SpecError`` with all flaws: what one version takes, another need not. What ``blame`` lays at
    a patch is told where the patch stands; and so are pods that a patch makes such as their namespace does not take.
    """
    schemas = validator(kubernetes)
    flaws = [(name, each, flaw) for name, objects in files.items() for each in objects for flaw in schemas.check(each)]
    if flaws:
        raise SpecError({_told(name, each, flaw, blame, kubernetes) for name, each, flaw in flaws})
    if blame is not None and (problems := set(_unrestricted(files, blame))):
        raise SpecError(problems)
    return held([each for objects in files.values() for each in objects], schemas)


def _unrestricted(files: Mapping[str, Sequence[JsonObject]], blame: Blame) -> Iterator[Problem]:
    """What Pod Security has against pods in objects that are patched; every namespace is ``restricted``."""
    patched = [(file, each) for file, objects in files.items() for each in objects if blame(file, each, ()) is not None]
    manifests = [Manifest(Source(file, 0, ""), (), each) for file, each in patched]
    for finding in check(manifests, RULES):
        file, each = patched[finding.index]
        if patch := blame(file, each, finding.path):
            subject = f"{each['kind']} {each['metadata']['name']}, {written(finding.path)}"
            hint = "a namespace with Pod Security restricted takes no such pod"
            yield Problem(patch.file, *patch.path_at, "PODS", f"patch of {subject}: {finding.message}", hint)


def _told(file: str, each: JsonObject, flaw: Flaw, blame: Blame | None, kubernetes: str) -> Problem:
    message = f"{each['kind']} {each['metadata']['name']}, {written(flaw.path)}: {flaw.message}"
    patch = blame(file, each, flaw.path) if blame is not None else None
    would = f"Kubernetes {kubernetes} would refuse it"
    if patch is not None:
        return Problem(patch.file, *patch.value_at, "SCHEMA", f"patch of {message}", would)
    hint = f"{would}; croupier explain CELL SERVICE tells where its values come from"
    return Problem(file, 0, 0, "SCHEMA", message, hint)


def held(objects: Sequence[JsonObject], schemas: Validator) -> SchemaView:
    """Of which ``objects`` the ``schemas`` can tell, and of which not."""
    left = Counter((str(each["apiVersion"]), str(each["kind"])) for each in objects if not schemas.covers(each))
    unknown = [
        UnknownKindView(api_version=version, kind=kind, objects=count)
        for (version, kind), count in sorted(left.items())
    ]
    return SchemaView(kubernetes=schemas.kubernetes, objects=len(objects) - left.total(), unknown=tuple(unknown))
