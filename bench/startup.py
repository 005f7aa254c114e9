"""How long the command line takes before it says something (bar: ``--help`` < 80 ms, first offline answer < 300 ms).

    python -m bench.startup [--runs 30]

Prints the median and the worst of each call, with the bare interpreter for comparison, and exits 1 above a bar. Files
are warm after the first call, which is not counted. Run it on a quiet machine; on a busy one, read the CPU column.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping

from bench.command import SCRIPT, installed

CALLS = (
    ("python -c pass", [sys.executable, "-c", "pass"], None),
    ("croupier --help", [SCRIPT, "--help"], 0.080),
    ("croupier release --help", [SCRIPT, "release", "--help"], 0.300),
    ("croupier release list, no desk", [SCRIPT, "release", "list", "--stand", "no-such-stand"], 0.300),
)


def measure(command: list[str], runs: int, environment: Mapping[str, str]) -> tuple[list[float], list[float]]:
    """Wall and CPU seconds of each call."""
    wall, cpu = [], []
    for number in range(runs + 1):
        before, began = used_by_children(), time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, env=environment)
        if number > 0:
            wall.append(time.perf_counter() - began)
            cpu.append(used_by_children() - before)
    return wall, cpu


def used_by_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=30)
    runs = parser.parse_args().runs
    too_slow = False
    print(f"{'call':<32} {'median':>8} {'worst':>8} {'CPU':>8} {'bar':>8}")
    with installed() as environment:
        for name, command, bar in CALLS:
            wall, cpu = measure(command, runs, environment)
            median = statistics.median(wall)
            too_slow |= bar is not None and median >= bar
            shown = "" if bar is None else f"{1000 * bar:.0f} ms"
            figures = (median, max(wall), statistics.median(cpu))
            print(f"{name:<32}", *(f"{1000 * seconds:>5.0f} ms" for seconds in figures), f"{shown:>8}")
    return 1 if too_slow else 0


if __name__ == "__main__":
    sys.exit(main())
