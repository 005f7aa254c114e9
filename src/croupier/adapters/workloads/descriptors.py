"""Build descriptors: YAML files that say what a version is. The digest over one is the version's only name (S3.7).

Used by ``ProcessWorkloads`` and by whoever starts the pods, so that both mean the same version by a digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import rfc8785
from pydantic import JsonValue

from croupier.errors import Problem, SpecError
from croupier.model.service import Version
from croupier.spec.documents import load_descriptor


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One descriptor. ``content`` is what the file says, parsed, without defaults."""

    version: Version
    path: Path
    content: Mapping[str, JsonValue]


def digest_of(content: Mapping[str, JsonValue]) -> str:
    """``sha256:`` and the SHA-256 over the canonical JSON (RFC 8785) of a parsed descriptor.

    Layout, comments and the order of keys do not count.
    """
    return "sha256:" + hashlib.sha256(rfc8785.dumps(dict(content))).hexdigest()


def read_descriptors(directory: Path) -> tuple[Descriptor, ...]:
    """All descriptors (``*.yaml``) of a directory, sorted by service and label.

    Raises:
        SpecError: with every problem of every file, each at its place.
    """
    found: list[Descriptor] = []
    problems: list[Problem] = []
    for path in sorted(directory.glob("*.yaml")):
        try:
            found.append(_read(path))
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems)
    return tuple(sorted(found, key=lambda each: (each.version.service, each.version.label, each.version.digest)))


def _read(path: Path) -> Descriptor:
    known = load_descriptor(path)
    content = known.model_dump(mode="json", by_alias=True, exclude_unset=True)
    version = Version(
        service=known.service,
        label=known.label,
        description=known.description,
        digest=digest_of(content),
        data=known.data,
    )
    return Descriptor(version, path, content)
