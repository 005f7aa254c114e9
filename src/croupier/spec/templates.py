"""Which of the files found are Helm charts and kustomizations, to be rendered before anybody can check them.

A chart or kustomization stands for all files that go into it: those are no manifests by themselves. A base that another
kustomization builds on is rendered with that one, not alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from croupier.errors import SpecError
from croupier.spec.manifests import STDIN, text_of
from croupier.spec.yaml_kubernetes import documents

Tool = Literal["helm", "kustomize"]
_NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_MOST_PARENTS = 16


@dataclass(frozen=True, slots=True)
class Template:
    """A folder to be rendered by ``tool``."""

    tool: Tool
    folder: str


def templates(files: Sequence[str], tools: Iterable[Tool]) -> tuple[tuple[Template, ...], tuple[str, ...]]:
    """What ``tools`` have to render among ``files``, and the files that do not go into it."""
    wanted = set(tools)
    taken: set[str] = set()
    found: list[Template] = []
    if "helm" in wanted:
        charts = {file: chart for file in files if (chart := _chart(file)) is not None}
        found += [Template("helm", chart) for chart in dict.fromkeys(charts.values())]
        taken |= charts.keys()
    if "kustomize" in wanted:
        folders = {os.path.dirname(file) or ".": file for file in files if os.path.basename(file) in _NAMES}
        folders = {folder: file for folder, file in folders.items() if file not in taken}
        parts = {folder: tuple(_parts(folder, file)) for folder, file in folders.items()}
        found += [Template("kustomize", folder) for folder in _roots(parts)]
        taken |= {*folders.values(), *(part for each in parts.values() for part in each)}
    return tuple(found), tuple(file for file in files if file not in taken)


def _chart(file: str) -> str | None:
    """The folder of the chart that ``file`` goes into; a chart in the folder ``charts`` of another is part of that."""
    if file == STDIN:
        return None
    path = Path(file)
    found: Path | None = None
    for folder in list(path.parents)[:_MOST_PARENTS]:
        if not (folder / "Chart.yaml").is_file():
            continue
        inner = path.relative_to(folder).parts
        if found is not None and inner[0] != "charts":
            break
        is_own = inner[0] == "templates" or (len(inner) == 1 and path.name.startswith(("Chart.", "values")))
        if found is None and not is_own and inner[0] != "charts":
            return None
        found = folder
    return None if found is None else str(found)


def _parts(folder: str, file: str) -> Iterator[str]:
    """Files and folders that a kustomization names, as they are called from here. What is no YAML names none: the
    program will say so.
    """
    try:
        held = [value for _, value, _ in documents(text_of(file), file)]
    except SpecError:
        return
    for each in _strings(held):
        if "://" not in each and "\n" not in each:
            yield os.path.normpath(os.path.join(folder, each))


def _strings(value: Any) -> Iterator[str]:
    """Every string in ``value``. Most are no paths, and then no file is called so."""
    stack = [value]
    while stack:
        each = stack.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, dict):
            stack.extend(each.values())
        elif isinstance(each, list):
            stack.extend(each)


def _roots(parts: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """Folders that no other one builds on; of folders that build on each other, the first."""
    named = {each for folder, held in parts.items() for each in held if each != folder}
    reached: set[str] = set()
    for folder in [*(each for each in parts if each not in named), *parts]:
        if folder in reached:
            continue
        yield folder
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            if here not in reached:
                reached.add(here)
                waiting += [each for each in parts[here] if each in parts]
