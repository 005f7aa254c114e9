"""A platform folder to cells: every service complete, with who said what, or every problem at its place.

Three passes: the form of every file; names that point to nothing or stand twice; what each cell comes to. Each goes on
with what the one before found sound, and tells nothing that only follows from what is told already.
"""

from __future__ import annotations

from pathlib import Path

from croupier.errors import Problem, SpecError
from croupier.model.service import Platform, Service
from croupier.spec.cells import Cells, Described
from croupier.spec.files import read_text
from croupier.spec.folder import read_folder
from croupier.spec.form import PlatformFile
from croupier.spec.layers import BASES, LAYERS, applying, layers_of, problem_of, resolved, traits_of
from croupier.spec.load import validated
from croupier.spec.merge import merge
from croupier.spec.names import File, Names
from croupier.spec.services import service_flaws
from croupier.spec.sound import Lost, sound
from croupier.spec.yaml12 import parse


def load_described(directory: Path, shown: str | None = None) -> Described:
    """The platform in ``directory``. Raises ``SpecError`` with all problems.

    ``shown``: what people call the folder, for places; None: as it is given.
    """
    described, problems = look(directory, shown)
    if problems:
        raise SpecError(problems)
    return described


def look(directory: Path, shown: str | None = None) -> tuple[Described, set[Problem]]:
    """What of a platform is sound, and all problems of the rest. Arguments as of ``load_described``.

    Raises ``SpecError`` for a folder that cannot be read as a whole.
    """
    roots, found = read_folder(directory, shown)
    problems = set(found)
    lost = Lost(is_everything=bool(problems))
    files = []
    for name, root in roots.items():
        node, value, wrong = sound(name, root, lost)
        problems.update(wrong)
        if value is not None:
            files.append(File(name, node, value))
    names = Names(files, lost)
    problems.update(names.problems())
    described, more = Cells(names, lost).described(is_first=not problems)
    return described, problems | more


def load_platform(path: Path) -> Platform:
    """The services of one file of a platform, as the stand runs them: without cells, so without ``layers``.

    Names are unique, dependencies declared, routes whole segments and nobody else's. Raises ``SpecError``.
    """
    name = str(path)
    root, problems = parse(read_text(path), name)
    value, found = validated(name, root, root.value, PlatformFile)
    problems += found
    if value is not None and "services" not in root.children:
        problems.append(Problem(name, *root.mark, "MISSING_KEY", "'services' is missing"))
    if value is None or problems:
        raise SpecError(problems)
    file = File(name, root, value)
    everywhere = [(fits, layer) for fits, layer in layers_of(file) if layer.rank[0] < LAYERS]
    merged, services = [], []
    for index, declared in enumerate(value.services):
        own = file.node("services", index).mark
        here = [(fits, layer) for fits, layer in everywhere if "service" not in fits or layer.mark == own]
        merged.append(merge(applying(here, traits_of(declared)), BASES))
        service, found = resolved(merged[-1], Service)
        problems += found
        services += [service] if service is not None else []
    if not problems:
        for flaw in service_flaws(services):
            _, at, *rest = flaw.location
            assert isinstance(at, int)
            problems.append(problem_of(merged[at], flaw._replace(location=tuple(rest))))
    if problems:
        raise SpecError(problems)
    return Platform(services=tuple(services))
