"""What describing a platform costs: the large example checked and rendered, and rendering alone (bars below).

    chrt -i 0 python bench/manifests.py [--runs 5]

Prints CPU seconds of the best run. The command line is timed as a user starts it; ``render`` of 3,000 objects is timed
in this process, after start, with what it added to the largest resident set.
"""

from __future__ import annotations

import argparse
import gc
import resource
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from croupier.core.render.cell import objects, objects_of, texts
from croupier.engine.schemas import checked
from croupier.model.platform import PlacedCell
from croupier.model.schemas import NEWEST
from croupier.spec.platform import load_described

SCRIPT = str(Path(sysconfig.get_path("scripts")) / "croupier")
EXAMPLE = Path(__file__).parents[1] / "examples" / "platform"
OBJECTS = 3_000
RENDER_SECONDS = 0.5
WHOLE_SECONDS = 2.0
MEBIBYTES = 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as out:
        checked = min(_command("check", str(EXAMPLE)) for _ in range(runs))
        whole = min(_command("render", str(EXAMPLE), "--out", f"{out}/{number}") for number in range(runs))
    cells = load_described(EXAMPLE).cells
    gc.disable()  # as the commands do (``cli.options.ends_soon``)
    before = _peak()
    some, count = _about(cells, OBJECTS)
    rendered = min(_cpu_of(some) for _ in range(runs))
    added = _peak() - before
    total = sum(len(objects_of(placed, service)) for placed in cells for service in placed.services)
    print(f"check of the example, {len(cells)} cells, {total} objects: {checked:.2f} s")
    print(f"check and render, written:             {whole:.2f} s (bar {WHOLE_SECONDS:.1f})")
    print(f"{count} objects rendered and checked:  {rendered:.3f} s (bar {RENDER_SECONDS}), {added:.0f} MiB more")
    print(f"largest resident set:                  {_peak():.0f} MiB (bar {MEBIBYTES})")
    return 0 if whole <= WHOLE_SECONDS and rendered <= RENDER_SECONDS and _peak() <= MEBIBYTES else 1


def _about(cells: tuple[PlacedCell, ...], wanted: int) -> tuple[list[PlacedCell], int]:
    """The first cells that have so many objects together, and how many they have."""
    some, count = [], 0
    for placed in cells:
        if count >= wanted:
            break
        some.append(placed)
        count += sum(len(objects_of(placed, service)) for service in placed.services)
    return some, count


def _cpu_of(cells: list[PlacedCell]) -> float:
    began = time.process_time()
    held = objects(cells)
    checked(held, NEWEST)
    texts(held)
    return time.process_time() - began


def _command(*words: str) -> float:
    """User and system CPU seconds of a call of the command line."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([SCRIPT, *words], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _peak() -> float:
    """Mebibytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
