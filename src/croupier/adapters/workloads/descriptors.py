"""Build descriptors: YAML files that say what a version is. The digest over one is the version's only name (S3.7).

Used by ``ProcessWorkloads`` and by whoever starts the pods, so that both mean the same version by a digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import rfc8785
import yaml
from pydantic import JsonValue, ValidationError

from croupier.errors import Problem, SpecError
from croupier.model.service import Version

_FROM_DESCRIPTOR = ("service", "label", "description")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One descriptor. ``content`` is the whole file, parsed; keys that this module does not know included."""

    version: Version
    path: Path
    content: Mapping[str, JsonValue]


def digest_of(content: Mapping[str, JsonValue]) -> str:
    """``sha256:`` and the SHA-256 over the canonical JSON (RFC 8785) of a parsed descriptor.

    Layout, comments and the order of keys do not count. Raises ``ValueError`` for what JSON cannot say (dates).
    """
    return "sha256:" + hashlib.sha256(rfc8785.dumps(dict(content))).hexdigest()


def read_descriptors(directory: Path) -> tuple[Descriptor, ...]:
    """All descriptors (``*.yaml``) of a directory, sorted by service and label.

    Raises:
        SpecError: with every file that cannot be used.
    """
    found: list[Descriptor] = []
    problems: list[Problem] = []
    for path in sorted(directory.glob("*.yaml")):
        try:
            found.append(_read(path))
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            place = (mark.line + 1, mark.column + 1) if mark else (0, 0)
            problems.append(Problem(str(path), *place, "YAML", error.problem or "not YAML"))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            problems.append(Problem(str(path), 1, 1, "DESCRIPTOR", f"{where}: {first['msg']}"))
        except (OSError, ValueError) as error:
            problems.append(Problem(str(path), 1, 1, "DESCRIPTOR", str(error)))
    if problems:
        raise SpecError(problems)
    return tuple(sorted(found, key=lambda each: (each.version.service, each.version.label, each.version.digest)))


def _read(path: Path) -> Descriptor:
    content = yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)
    if not isinstance(content, dict):
        raise ValueError("a descriptor is a mapping with at least service and label")
    fields = {key: content[key] for key in _FROM_DESCRIPTOR if key in content}
    return Descriptor(Version.model_validate({**fields, "digest": digest_of(content)}), path, content)
