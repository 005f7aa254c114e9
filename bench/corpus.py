"""Whether the rules find what is wrong and leave alone what is not: files with known faults, and as many sound ones.

    chrt -i 0 python -m bench.corpus [--faulty 400] [--clean 400] [--seed 7] [--keep DIR]
    python -m bench.corpus --peer 'kubeconform -strict' --peer 'kube-linter lint'

Each faulty file has one fault, planted into a service drawn by chance (``bench.planted``, ``bench.sound``); the faults
of all rules on single objects come in turn, slips against the schema among them. `croupier policy check` must find each
by the rule that was planted, and nothing at all in the others; exit code 1 where it does not. A peer is a command that
gets one file more and ends with another code than 0 where it finds something: it has found a faulty file whatever it
says.

Not asked: ``schema-known``, as sound services have kinds of which no schema is known; rules that say nothing more
beside a stricter one; and rules on bundles.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.planted import FAULTS, Case, cases
from bench.sound import REGISTRY, TEAM

from croupier.core.policy.catalogue import RULES, chosen
from croupier.core.policy.rule import Scope

ALONE = tuple(each.id for each in chosen("all") if each.scope is not Scope.BUNDLE and each.id != "schema-known")
_LEFT = tuple(name for name in RULES if name not in ALONE)


class Score(NamedTuple):
    """Of one checker. ``missed``: faulty files without the finding; ``touched``: sound ones with any."""

    missed: tuple[Case, ...]
    touched: tuple[Case, ...]
    cpu_seconds: float


def own(folder: Path, held: Sequence[Case]) -> Score:
    """What `croupier policy check` says of the files in ``folder``."""
    words = ["policy", "check", "--profile", "all", "-o", "json", "--registry", REGISTRY, "--require-label", TEAM]
    words += [word for name in _LEFT for word in ("--disable", name)]
    process = subprocess.Popen([sys.executable, "-m", "croupier.cli", *words, str(folder)], stdout=subprocess.PIPE)
    said, _ = process.communicate()
    if process.returncode not in (0, 1):
        raise SystemExit(f"croupier policy check ended with {process.returncode}")
    found: dict[str, set[str]] = {}
    for each in json.loads(said)["findings"]:
        found.setdefault(Path(each["file"]).name, set()).add(each["rule"])
    missed = tuple(each for each in held if each.rule and each.rule not in found.get(each.name, ()))
    touched = tuple(each for each in held if not each.rule and each.name in found)
    return Score(missed, touched, 0.0)


def peer(command: Sequence[str], folder: Path, held: Sequence[Case]) -> Score:
    """What a command says that is given one file at a time."""
    codes = {
        each.name: subprocess.run([*command, str(folder / each.name)], capture_output=True, check=False).returncode
        for each in held
    }
    missed = tuple(each for each in held if each.rule and codes[each.name] == 0)
    return Score(missed, tuple(each for each in held if not each.rule and codes[each.name] != 0), 0.0)


def write(folder: Path, held: Sequence[Case]) -> None:
    for each in held:
        (folder / each.name).write_text(each.text, encoding="utf-8")


@contextlib.contextmanager
def _place(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
    else:
        with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
            yield Path(folder)


def _timed(measure: Callable[[], Score]) -> Score:
    before = os.times()
    score = measure()
    after = os.times()
    return score._replace(
        cpu_seconds=after.children_user + after.children_system - before.children_user - before.children_system
    )


def _show(name: str, score: Score, held: Sequence[Case]) -> None:
    faulty = sum(bool(each.rule) for each in held)
    print(
        f"{name:<24} {faulty - len(score.missed):>6} of {faulty:<6} {len(score.touched):>6} of "
        f"{len(held) - faulty:<6} {score.cpu_seconds:>7.2f} s"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faulty", type=int, default=400)
    parser.add_argument("--clean", type=int, default=400)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write the files here, and leave them")
    parser.add_argument("--peer", action="append", default=[], metavar="COMMAND", help="repeat")
    asked = parser.parse_args()
    held = cases(asked.seed, asked.faulty, asked.clean, ALONE)
    planted = Counter(each.rule for each in held if each.rule)
    with _place(asked.keep) as folder:
        write(folder, held)
        print(f"{len(held)} files, faults of {len(planted)} rules, seed {asked.seed}")
        print(f"{'checker':<24} {'faulty found':>16} {'sound touched':>16} {'CPU':>9}")
        score = _timed(lambda: own(folder, held))
        _show("croupier policy check", score, held)
        for command in map(shlex.split, asked.peer):
            if shutil.which(command[0]) is None:
                print(f"{command[0]:<24} is not installed")
            else:
                _show(command[0], _timed(partial(peer, command, folder, held)), held)
    for each in score.missed:
        print(f"missed: {each.rule} in {each.name}")
    for each in score.touched:
        print(f"touched: {each.name}")
    if left := sorted(set(ALONE) - {each.rule for each in FAULTS}):
        print(f"no fault is made for {', '.join(left)}")
    return 1 if score.missed or score.touched else 0


if __name__ == "__main__":
    sys.exit(main())
