"""Programs that people bring themselves: from a version file and what it names to one frozen, immutable version.

A version file says how to start a program and which files it consists of. ``freeze`` copies them into the folder of the
stand and writes a build descriptor with the hash of each, so the digest of the version covers the program itself:
another byte is another version, and what was frozen is run however its source changes (S3.7).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, NamedTuple

import yaml
from pydantic import Field, JsonValue

from croupier.adapters.files import replace_file
from croupier.adapters.workloads.descriptors import digest_of
from croupier.errors import EnvironmentFault, Problem, SpecError
from croupier.model.base import ServiceName, Value
from croupier.model.digest import short
from croupier.model.service import Platform, Version
from croupier.spec.load import Flaw, load
from croupier.spec.platform import load_platform
from croupier_stand.home import Home

PLATFORM = "platform.yaml"
FIRST = "stable"
"""Label of the version of each service that serves when a stand comes up."""
COUNTED_AT_THE_EDGE = frozenset({"errors", "latency"})
"""Signals that need nothing of a program: the edge sees them."""

Word = Annotated[str, Field(min_length=1, max_length=4096)]


class VersionFile(Value):
    """One version of one service, as a person writes it."""

    service: ServiceName
    label: Annotated[str, Field(min_length=1, max_length=63)]
    description: str = ""
    command: Annotated[tuple[Word, ...], Field(min_length=1)]
    """Program and arguments; ``$PORT`` in an argument is the port to listen on, which is in the environment too."""
    files: tuple[Word, ...] = ()
    """Files and folders of the program, relative to this file and below it. The program runs in a copy of them."""
    environment: dict[str, str] = Field(default_factory=dict)


class Project(NamedTuple):
    """A platform file and the version files beside it."""

    platform_file: Path
    platform: Platform
    versions: tuple[Path, ...]


def find_project(path: Path) -> Project:
    """The platform at ``path``, a file or a folder with ``platform.yaml``, and the files of ``versions/`` beside it.

    Raises ``SpecError`` with every problem of every file: what cannot be released must be known before a stand starts.
    """
    file = path / PLATFORM if path.is_dir() else path
    platform = load_platform(file)
    versions = tuple(sorted((file.parent / "versions").glob("*.yaml")))
    problems: list[Problem] = []
    for service in platform.services:
        signals = {objective.signal for objective in service.objectives} - COUNTED_AT_THE_EDGE
        if signals:
            problems.append(
                _whole(
                    file,
                    f"{service.name} has objectives that nobody counts: {', '.join(sorted(signals))}",
                    "a program that croupier does not know has errors and latency, counted at the edge",
                )
            )
    labels: dict[str, list[str]] = {service.name: [] for service in platform.services}
    for each in versions:
        try:
            version = read_version(each, platform)
            labels[version.service].append(version.label)
        except SpecError as error:
            problems += error.problems
    if not problems:
        hint = f"put one file a version into {file.parent / 'versions'}, and label one {FIRST!r}"
        for name, found in labels.items():
            if found.count(FIRST) != 1 and len(found) != 1:
                seen = ", ".join(sorted(found)) or "none"
                problems.append(_whole(file, f"no one version of {name} is the first to serve: {seen}", hint))
    if problems:
        raise SpecError(problems)
    return Project(file, platform, versions)


def read_version(path: Path, platform: Platform) -> VersionFile:
    """Raises ``SpecError`` with all problems, each at its place."""
    return load(path, VersionFile, lambda version: _flaws(version, path.absolute().parent, platform))


def freeze(path: Path, platform: Platform, home: Home) -> Version:
    """Make a version of what the file names now; the same content again is the same version.

    Raises ``SpecError`` for the file, ``EnvironmentFault`` when the program cannot be copied.
    """
    version = read_version(path, platform)
    home.programs.mkdir(parents=True, exist_ok=True, mode=0o700)
    copy = Path(tempfile.mkdtemp(prefix=".new-", dir=home.programs))
    try:
        for name in version.files:
            _copy(path.absolute().parent / name, copy / name)
        # Of the copy, so that a file that changes meanwhile cannot get the digest of another one.
        hashes: dict[str, JsonValue] = {name: _hash(copy / name) for name in version.files}
        content: dict[str, JsonValue] = {"service": version.service, "label": version.label}
        if version.description:
            content["description"] = version.description
        content["build"] = {
            "command": list(version.command),
            "environment": dict(version.environment),
            "files": hashes,
        }
        digest = digest_of(content)
        _keep(copy, program_directory(home, digest))
        # Quoted, because PyYAML leaves bare what is text in YAML 1.1 and a number in 1.2: "1e3".
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_style='"')
        replace_file(home.versions / f"{version.service}-{short(digest)}.yaml", text.encode())
    except OSError as error:
        raise EnvironmentFault(f"{path}: the program cannot be copied: {error}") from error
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    return Version(service=version.service, digest=digest, label=version.label, description=version.description)


def program_directory(home: Home, digest: str) -> Path:
    """Where the program of a frozen version lies, and runs."""
    return home.programs / short(digest)


def _flaws(version: VersionFile, directory: Path, platform: Platform) -> Iterator[Flaw]:
    declared = [service.name for service in platform.services]
    if version.service not in declared:
        hint = f"declared: {', '.join(sorted(declared)) or 'none'}"
        yield Flaw(("service",), "UNKNOWN_NAME", f"{version.service!r} is not declared in the platform file", hint)
    for index, name in enumerate(version.files):
        parts = PurePosixPath(name)
        if parts.is_absolute() or ".." in parts.parts or parts == PurePosixPath("."):
            yield Flaw(("files", index), "FILE", f"{name!r} must lie in or below the folder of this file")
        elif not (directory / name).exists():
            yield Flaw(("files", index), "FILE", f"there is no {directory / name}")
        elif (link := _stray_link(directory, name, version.files)) is not None:
            hint = "what it leads to is not part of the version: copy it, or name it under files with a relative link"
            yield Flaw(("files", index), "FILE", f"{link} leads to {os.readlink(link)}", hint)
    for index, word in enumerate(version.command):
        if "\0" in word:
            yield Flaw(("command", index), "PROGRAM", f"{word!r} has a NUL, which no program can be given")
    for name, value in version.environment.items():
        if not name or "=" in name or "\0" in name + value:
            yield Flaw(("environment", name), "PROGRAM", f"no program can be given a variable {name!r} of {value!r}")
    program = version.command[0]
    if "/" not in program:
        if shutil.which(program) is None:
            hint = f"of your own files write ./{program}" if program in version.files else "is it installed?"
            yield Flaw(("command", 0), "PROGRAM", f"there is no program {program!r} on the PATH", hint)
    elif Path(program).is_absolute():
        if not os.access(program, os.X_OK):
            yield Flaw(("command", 0), "PROGRAM", f"{program} is not a program that can be started")
    else:
        inside = PurePosixPath(program)
        if not any(inside.is_relative_to(PurePosixPath(name)) for name in version.files):
            yield Flaw(("command", 0), "PROGRAM", f"{program} is not among the files", f"files: [{inside}]")
        elif not os.access(directory / program, os.X_OK):
            yield Flaw(("command", 0), "PROGRAM", f"{program} is not executable", f"chmod +x {directory / program}")


def _stray_link(directory: Path, name: str, files: tuple[str, ...]) -> Path | None:
    """A link below ``name`` that leads out of the copy: to what would be missing there, or to the project itself, whose
    changes would change the version. One to a place of the system is as good as a program on the PATH."""
    copied = [Path(os.path.normpath(directory / each)) for each in files]
    for link in (path for path in (directory / name).rglob("*") if path.is_symlink()):
        target = Path(os.readlink(link))
        if target.is_absolute():
            if target.resolve().is_relative_to(directory.resolve()):
                return link
        else:
            lies = Path(os.path.normpath(link.parent / target))
            if not any(lies.is_relative_to(each) for each in copied):
                return link
    return None


def _whole(file: Path, message: str, hint: str) -> Problem:
    return Problem(str(file), 0, 0, "PLATFORM", message, hint)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)


def _keep(copy: Path, place: Path) -> None:
    """Put the copy in its place, unless it is there already: same digest, same content."""
    if not place.exists():
        copy.chmod(0o700)
        copy.rename(place)


def _hash(path: Path) -> str:
    """``sha256:`` over a file, or over names, modes and contents of all that a folder holds, sorted by name."""
    total = hashlib.sha256()
    files = [path] if not path.is_dir() else sorted(path.rglob("*"))
    for file in files:
        if file.is_symlink():
            kind, content = "link", os.readlink(file).encode()
        elif file.is_file():
            kind = "program" if os.access(file, os.X_OK) else "file"
            content = hashlib.sha256(file.read_bytes()).digest()
        else:
            continue
        name = "" if file == path else file.relative_to(path).as_posix()
        total.update(f"{kind}\0{name}\0{len(content)}\0".encode() + content)
    return f"sha256:{total.hexdigest()}"
