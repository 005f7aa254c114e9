"""What describing a platform costs: the large example checked and rendered, and rendering alone (bars below).

    python -m bench.manifests [--runs 5]

Prints CPU seconds of the best run. The command line is timed as a user starts it, ``check`` twice: where nothing is
known yet, and where nothing has changed since; ``render`` of 3,000 objects is timed
in this process, after start, with what it added to the largest resident set. Helm and Kustomize make the same 3,000 of
what ``render --as`` writes for them, a process a cell or region, once each; Helm where it or its library is installed.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from bench.command import SCRIPT, cost, installed
from tests.support.templates import helm_command, kustomize_command

from croupier.adapters.manifests import write
from croupier.core.render.cell import MADE, objects, texts
from croupier.core.render.helm import helm_files
from croupier.core.render.kustomize import kustomize_files
from croupier.engine.schemas import checked
from croupier.model.platform import PlacedCell
from croupier.model.schemas import NEWEST
from croupier.spec.platform import load_described

EXAMPLE = Path(__file__).parents[1] / "examples" / "platform"
OBJECTS = 3_000
RENDER_SECONDS = 0.5
WHOLE_SECONDS = 2.0
AGAIN_SECONDS = 0.3
MEBIBYTES = 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as out, installed() as environment:
        cost([SCRIPT, "check", str(EXAMPLE)], environment)
        fresh = [{**environment, "XDG_CACHE_HOME": f"{out}/cache-{number}"} for number in range(runs)]
        first = min(cost([SCRIPT, "check", str(EXAMPLE)], each)[0] for each in fresh)
        again = min(cost([SCRIPT, "check", str(EXAMPLE)], each)[0] for each in fresh)
        words = [[SCRIPT, "render", str(EXAMPLE), "--out", f"{out}/{number}"] for number in range(runs)]
        whole = min(cost(each, environment)[0] for each in words)
    cells = load_described(EXAMPLE).cells
    gc.disable()  # as the commands do (``cli.options.ends_soon``)
    before = _peak()
    some, count = _about(cells, OBJECTS)
    rendered = min(_cpu_of(some) for _ in range(runs))
    added = _peak() - before
    total = _count(cells)
    print(f"check of the example, {len(cells)} cells, {total} objects: {first:.2f} s")
    print(f"check of it unchanged:                 {again:.2f} s (bar {AGAIN_SECONDS})")
    print(f"check and render, written:             {whole:.2f} s (bar {WHOLE_SECONDS:.1f})")
    print(f"{count} objects rendered and checked:  {rendered:.3f} s (bar {RENDER_SECONDS}), {added:.0f} MiB more")
    print(f"largest resident set:                  {_peak():.0f} MiB (bar {MEBIBYTES})")
    for name, seconds in _peers(some).items():
        print(
            f"{name + ', the same objects, unchecked:':<38} {seconds:.2f} s, {seconds / rendered:.0f} times croupier's"
        )
    held = again < AGAIN_SECONDS and whole <= WHOLE_SECONDS
    return 0 if held and rendered <= RENDER_SECONDS and _peak() <= MEBIBYTES else 1


def _about(cells: tuple[PlacedCell, ...], wanted: int) -> tuple[list[PlacedCell], int]:
    """The first cells that have so many objects together, and how many they have."""
    some: list[PlacedCell] = []
    count = 0
    for placed in cells:
        if count >= wanted:
            break
        some.append(placed)
        count = _count(some)
    return some, count


def _count(cells: Iterable[PlacedCell]) -> int:
    return sum(map(len, objects(cells).values()))


def _cpu_of(cells: list[PlacedCell]) -> float:
    began = time.process_time()
    held = objects(cells)
    checked(held, NEWEST)
    texts(held)
    return time.process_time() - began


def _peers(cells: list[PlacedCell]) -> dict[str, float]:
    """Program -> CPU seconds for the objects of ``cells``."""
    made = objects(cells)
    places = sorted({name.rpartition("/")[0] for name in made})
    with tempfile.TemporaryDirectory() as out:
        folder, charted = Path(out, "kustomize"), Path(out, "helm")
        write(folder, kustomize_files(made, cells), MADE)
        write(charted, helm_files(made, cells), MADE)
        kustomized = [kustomize_command(folder / place) for place in places]
        rendered = [helm_command(charted / "chart", charted / place / "values.yaml") for place in places]
        commands = {"Kustomize": kustomized, "Helm": [each for each in rendered if each is not None]}
        return {
            name: sum(cost(each, os.environ, (0,))[0] for each in every) for name, every in commands.items() if every
        }


def _peak() -> float:
    """Mebibytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
