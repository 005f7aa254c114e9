"""The files of a platform folder: which they are, and each as nodes with what is wrong in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from croupier.errors import Problem, SpecError
from croupier.spec.files import read_text, yaml_files
from croupier.spec.yaml12 import Node, parse

MOST_FILES = 2_000
MOST_BYTES = 16 * 1024 * 1024
"""Of all files together."""


def read_folder(directory: Path, shown: str | None = None) -> tuple[dict[str, Node], list[Problem]]:
    """File -> its content, for every file that can be read, and the problems of all.

    Files whose names begin with a dot and other suffixes than .yaml and .yml are passed over. A symbolic link is a
    problem: what lies outside the folder is not reviewed with it, and it may lead in a circle. ``shown``: what the
    folder is called in names; None: as it is.
    """
    try:
        roots, problems = _read(directory)
    except SpecError as error:
        raise SpecError(_renamed(problem, directory, shown) for problem in error.problems) from None
    return (
        {_name(file, directory, shown): root for file, root in roots.items()},
        [_renamed(problem, directory, shown) for problem in problems],
    )


def _renamed(problem: Problem, directory: Path, shown: str | None) -> Problem:
    return replace(problem, file=_name(problem.file, directory, shown))


def _name(file: str, directory: Path, shown: str | None) -> str:
    return file if shown is None else shown + file.removeprefix(str(directory))


def _read(directory: Path) -> tuple[dict[str, Node], list[Problem]]:
    problems: list[Problem] = []
    files = []
    for path in yaml_files(directory, problems):
        files.append(path)
        if len(files) > MOST_FILES:
            raise SpecError([*problems, Problem(str(directory), 0, 0, "SIZE", f"holds more than {MOST_FILES} files")])
    if not files and not problems:
        problems.append(
            Problem(str(directory), 0, 0, "EMPTY", "there is no .yaml file", f"make one: croupier init {directory}")
        )
    roots: dict[str, Node] = {}
    left = MOST_BYTES
    for path in files:
        try:
            text = read_text(path)
            root, found = parse(text, str(path))
        except SpecError as error:
            problems += error.problems
        else:
            roots[str(path)] = root
            problems += found
            left -= len(text)
            if left < 0:
                raise SpecError(
                    [*problems, Problem(str(directory), 0, 0, "SIZE", f"holds more than {MOST_BYTES} bytes")]
                )
    return roots, problems
