"""Files with Kubernetes objects -> manifests. Every file is accounted for: read, unreadable, or a template.

A template is what has to be rendered first: a Helm chart's own files, a kustomization, a file with template actions
where an object needs values. Text with ``{{`` inside data (a ConfigMap, an annotation, an alert) is text.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path as FilePath
from typing import Any, Literal

from croupier.errors import Problem, SpecError
from croupier.model.manifest import Manifest, Remark, Source
from croupier.spec.yaml_kubernetes import documents

LARGEST_BYTES = 32 * 1024 * 1024
STDIN = "-"
ENDINGS = (".yaml", ".yml", ".json")
_MOST_NAMES = 5
_ACTIONS = (".Values", ".Release", ".Chart", ".Capabilities", "include ", "template ", "tpl ")
_CONTROL = re.compile(r"\{\{-|-\}\}|\{\{\s*(?:if|else|end|range|with|define|block|/\*)(?!\w)")
"""What steers a template: where text is no YAML and holds such, it is none to be mended."""
_FREE_TEXT = frozenset(("data", "stringData", "binaryData", "annotations"))
_FREE_KINDS = frozenset(("ConfigMap", "Secret", "CustomResourceDefinition", "PrometheusRule", "ApplicationSet"))


@dataclass(frozen=True, slots=True)
class FileRead:
    """What became of one file.

    ``problem``: why it is not checked, None when it is.
    """

    file: str
    state: Literal["read", "unparsed", "template"]
    manifests: tuple[Manifest, ...] = ()
    problem: Problem | None = None
    is_rendered: bool = False
    """True: a folder, and the objects that a program made of it."""


def read_rendered(text: str, folder: str) -> FileRead:
    """The objects that a program made of ``folder``; that there are none is a problem."""
    read = read_text(text, folder)
    if read.state == "read" and not read.manifests:
        problem = Problem(folder, 0, 0, "EMPTY", "is rendered to no object", "see whether its values switch all off")
        return FileRead(folder, "template", problem=problem, is_rendered=True)
    return replace(read, is_rendered=True)


def find_files(
    paths: Iterable[str], exclude: Iterable[str] = (), tell: Callable[[str], None] = lambda _: None
) -> Iterator[str]:
    """Files named, and those below folders named that end as YAML or JSON, each once, in the order of their names.

    ``exclude``: shell patterns; a file whose path or a folder of it matches is no input. Hidden folders and symbolic
    links to folders are not entered. ``tell``: is told of those (``.git`` is nobody's manifests), and of patterns that
    fit nothing, once all files are given. Raises ``SpecError`` for a path that is not there, and for a closed stdin.
    """
    patterns = tuple(exclude)
    idle = dict.fromkeys(patterns)
    seen: set[str] = set()
    closed: list[str] = []

    def is_excluded(place: str) -> bool:
        fitting = _fitting(place, patterns)
        for pattern in fitting:
            idle.pop(pattern, None)
        return bool(fitting)

    for path in paths:
        if path == STDIN and sys.stdin is None:
            raise SpecError([Problem(path, 0, 0, "FILE", "stdin is closed", "pipe manifests into it, or name a file")])
        if path != STDIN and not os.path.lexists(path):
            raise SpecError([Problem(path, 0, 0, "FILE", "there is no such file or folder")])
        for found in _below(path, closed) if os.path.isdir(path) else [path]:
            if not is_excluded(found) and found not in seen:
                seen.add(found)
                yield found
    passed = [folder for folder in dict.fromkeys(closed) if not is_excluded(folder)]
    if passed:
        names = ", ".join(passed[:_MOST_NAMES]) + (", …" if len(passed) > _MOST_NAMES else "")
        tell(f"{len(passed)} hidden or linked folder{'s' if len(passed) != 1 else ''} not entered: {names}")
    for pattern in idle:
        tell(f"--exclude {pattern!r} fits nothing")


def is_input(file: str, path: str, exclude: Iterable[str] = ()) -> bool:
    """Whether ``find_files`` would give ``file``, which is ``path`` or lies below it, were it there."""
    if _fitting(file, tuple(exclude)):
        return False
    if file == path:
        return True
    folders = FilePath(os.path.relpath(file, path)).parts[:-1]
    return file.lower().endswith(ENDINGS) and not any(each.startswith(".") for each in folders)


def _below(folder: str, passed: list[str]) -> Iterator[str]:
    """Files below ``folder``; folders that are not entered are added to ``passed``."""
    closed: list[OSError] = []
    for here, folders, files in os.walk(folder, onerror=closed.append):
        for name in sorted(folders):
            place = os.path.normpath(os.path.join(here, name))
            if name != ".git" and (name.startswith(".") or os.path.islink(place)):
                passed.append(place)
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(ENDINGS):
                yield os.path.normpath(os.path.join(here, name))
    yield from (os.path.normpath(each.filename) for each in closed)


def _fitting(file: str, patterns: tuple[str, ...]) -> list[str]:
    parts = FilePath(file).parts
    return [each for each in patterns if fnmatch(file, each) or any(fnmatch(part, each) for part in parts)]


def read_file(file: str) -> FileRead:
    """The objects of one file; never raises for what is in it."""
    if reason := _needs_rendering(file):
        return FileRead(file, "template", problem=Problem(file, 0, 0, "TEMPLATE", *reason))
    try:
        text = text_of(file)
    except SpecError as error:
        return FileRead(file, "unparsed", problem=error.problems[0])
    read = read_text(text, file)
    if file == STDIN and read.state == "read" and not read.manifests:
        return FileRead(file, "unparsed", problem=Problem(file, 0, 0, "EMPTY", *_NOTHING_CAME))
    return read


def read_text(text: str, file: str) -> FileRead:
    """The objects in ``text``; ``file`` is what it is called."""
    manifests: list[Manifest] = []
    try:
        for source, value, said in documents(text, file):
            first = len(manifests)
            manifests.extend(_objects(source, value, said))
            for manifest in manifests[first:]:
                if "{{" in source.text and (action := _action_in(manifest.value)):
                    raise _Template(source, action)
    except _Template as found:
        problem = Problem(file, found.line, 1, "TEMPLATE", *_RENDER_HELM)
        return FileRead(file, "template", problem=problem)
    except SpecError as error:
        if "{{" in text and (any(action in text for action in _ACTIONS) or _CONTROL.search(text)):
            return FileRead(file, "template", problem=Problem(file, 0, 0, "TEMPLATE", *_RENDER_HELM))
        return FileRead(file, "unparsed", problem=error.problems[0])
    return FileRead(file, "read", tuple(manifests))


_NOTHING_CAME = ("no object came on stdin", "see whether the command before it failed")
_RENDER_HELM = ("holds template actions", "render it first: helm template … | croupier policy check -")


class _Template(Exception):
    def __init__(self, source: Source, action: str) -> None:
        at = source.text.find(action)
        self.line = source.line + source.text.count("\n", 0, max(at, 0)) + 1


def _needs_rendering(file: str) -> tuple[str, str] | None:
    """Why a file cannot be checked as it is, or None, told by its place."""
    path = FilePath(file)
    if path.stem.lower() == "kustomization" and path.suffix in ENDINGS:
        return "is a kustomization", "render it first: kubectl kustomize … | croupier policy check -"
    for folder in path.parents[:6]:
        if (folder / "Chart.yaml").is_file():
            inner = path.relative_to(folder).parts
            if inner[0] == "templates" or (len(inner) == 1 and path.name.startswith(("Chart.", "values"))):
                return f"is part of the Helm chart {folder}", _RENDER_HELM[1]
            return None
    return None


def _objects(source: Source, value: Any, said: list[Remark], called: str = "the document") -> Iterator[Manifest]:
    """The objects in one document; the items of a list each on their own. Raises ``SpecError`` for what is none.

    ``called``: what people are told that ``value`` is.
    """
    if not isinstance(value, dict) or not (isinstance(value.get("kind"), str) and value["kind"]):
        what = f"{called} is no Kubernetes object: it has no kind"
        raise SpecError([Problem(source.file, source.line + 1, 1, "OBJECT", what, "leave it out with --exclude")])
    if not (isinstance(value.get("apiVersion"), str) and value["apiVersion"]):
        what = f"the {value['kind']} has no apiVersion"
        raise SpecError([Problem(source.file, source.line + 1, 1, "OBJECT", what)])
    items = value.get("items")
    if value["kind"].endswith("List") and isinstance(items, list):
        for index, item in enumerate(items):
            root = ("items", index)
            inside = [Remark(each.path[2:], each.message) for each in said if each.path[:2] == root]
            for inner in _objects(source, item, inside, f"items[{index}] of the {value['kind']}"):
                yield Manifest(source, (*root, *inner.root), inner.value, inner.remarks)
    else:
        yield Manifest(source, (), value, tuple(said))


def _action_in(value: dict[str, Any]) -> str | None:
    """A template action where an object needs a value, or None. No object is called by braces."""
    metadata = value.get("metadata")
    for key in ("name", "namespace"):
        written = metadata.get(key) if isinstance(metadata, dict) else None
        if isinstance(written, str) and "{{" in written:
            return written
    free = value.get("kind") in _FREE_KINDS
    stack: list[Any] = [value.get("metadata"), value.get("kind"), value.get("apiVersion")] if free else [value]
    while stack:
        each = stack.pop()
        if isinstance(each, dict):
            stack.extend(inner for key, inner in each.items() if key not in _FREE_TEXT)
        elif isinstance(each, list):
            stack.extend(each)
        elif isinstance(each, str) and "{{" in each and any(action in each for action in _ACTIONS):
            return each
    return None


def text_of(file: str) -> str:
    """The text of a regular file or of stdin; never waits, never reads without bound. Raises ``SpecError``."""

    def refuse(code: str, message: str, hint: str = "", line: int = 0, column: int = 0) -> SpecError:
        return SpecError([Problem(file, line, column, code, message, hint)])

    if file == STDIN:
        data = sys.stdin.buffer.read(LARGEST_BYTES + 1)
    else:
        try:
            # Opening a FIFO for reading would wait for a writer.
            descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError) as error:
            raise refuse("FILE", f"cannot be opened: {getattr(error, 'strerror', None) or error}") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise refuse("FILE", "is not a regular file")
        with os.fdopen(descriptor, "rb") as opened:
            data = opened.read(LARGEST_BYTES + 1)
    if len(data) > LARGEST_BYTES:
        raise refuse("SIZE", f"is larger than {LARGEST_BYTES // 1024 // 1024} MiB", "split it")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise refuse("ENCODING", "is UTF-16 or UTF-32", "save it as UTF-8", 1, 1)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise refuse("ENCODING", f"byte 0x{data[error.start]:02x} is not UTF-8", "save it as UTF-8", line, 1) from None
