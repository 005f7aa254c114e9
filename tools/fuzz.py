"""``python -m tools.fuzz platform|policy [--minutes 10] [--seed 1]``: mangled files for the loaders.

Until time is over, documents of the repository are cut, doubled, mixed and bitten into. What must hold: a value, or an
error of ours with its place, within seconds. Anything else is kept as a file in a temporary folder, named, exit code 1.
"""

from __future__ import annotations

import argparse
import itertools
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from croupier.core.policy.catalogue import RULES
from croupier.core.policy.check import check
from croupier.core.render.cell import render
from croupier.errors import SpecError
from croupier.spec.manifests import read_text
from croupier.spec.platform import load_described

_ROOT = Path(__file__).parents[1]
_EXAMPLE = _ROOT / "src/croupier/cli/example"
_LONGEST_SECONDS = 10
_MOST_FAILURES = 10
_SPLICES = (
    *("&a ", "*a", "<<: *a\n", "!!binary ", "!!float ", "? ", "- ", ": ", "|\n", ">-\n", "'", '"', "{", "}", "[", "]"),
    *(
        "\t",
        "\r",
        "\0",
        "\ufeff",
        "\u2028",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "no",
        "~",
        "0o17",
        "1e999",
        ".nan",
        "{{ x }}",
    ),
    *("-1", "99999999999999999999", "sha256:", "x: x: x", "#", " " * 200, "[" * 200, "a: " * 100, "\U0001f600"),
)
"""What loaders of YAML have stumbled over."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=sorted(_TARGETS))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    signal.signal(signal.SIGALRM, _too_long)
    target, patterns = _TARGETS[words.what]
    files = [path for pattern in patterns for path in sorted(_ROOT.glob(pattern))]
    texts = [text for path in files for text in path.read_text().split("\n---\n")]
    luck = random.Random(words.seed)
    ends_at, failures, cases, refused = time.monotonic() + 60.0 * words.minutes, 0, 0, 0
    for cases in itertools.count():
        if time.monotonic() > ends_at or failures == _MOST_FAILURES:
            break
        text = _mangled(texts, luck)
        signal.alarm(_LONGEST_SECONDS)
        try:
            refused += not target(text)
        except Exception:  # noqa: BLE001  # whatever it is: that is what is looked for
            signal.alarm(0)
            failures += 1
            _keep(text, words.what)
        finally:
            signal.alarm(0)
        if cases % 1000 == 999:
            print(f"{cases + 1} cases, {refused} refused, {failures} failures", file=sys.stderr)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{cases} cases, {refused} refused, {failures} failures, {memory:.0f} MiB at most, seed {words.seed}")
    raise SystemExit(1 if failures else 0)


def _too_long(signum: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"longer than {_LONGEST_SECONDS} s")


def _mangled(texts: Sequence[str], luck: random.Random) -> str:
    lines = luck.choice(texts).splitlines(keepends=True)
    for _ in range(luck.choice((1, 1, 2, 4))):
        at = luck.randrange(len(lines) + 1)
        match luck.randrange(7):
            case 0:
                del lines[at : at + luck.randint(1, 8)]
            case 1:
                lines[at:at] = lines[at : at + luck.randint(1, 8)]
            case 2:
                other = luck.choice(texts).splitlines(keepends=True)
                first = luck.randrange(len(other) + 1)
                lines[at:at] = other[first : first + luck.randint(1, 12)]
            case 3:
                lines[at:at] = [" " * luck.randint(1, 5) + line for line in lines[at : at + 3]]
            case 4:
                luck.shuffle(lines)
            case _:
                text = "".join(lines)
                at = luck.randrange(len(text) + 1)
                text = text[:at] + luck.choice(_SPLICES) + text[at + luck.choice((0, 0, 1, 5)) :]
                lines = text.splitlines(keepends=True)
    return "".join(lines)


def _platform(text: str) -> bool:
    """Whether it is a sound platform, which must then render."""
    with tempfile.TemporaryDirectory() as folder:
        # In the place of one of the two files of the example, so that what it names may be there.
        changed = "platform.yaml" if "\nregions:" in text else "services.yaml"
        for path in _EXAMPLE.glob("*.yaml"):
            shutil.copy(path, folder)
        Path(folder, changed).write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            described = load_described(Path(folder))
        except SpecError as error:
            # Readers of YAML count these as breaks, too: all but \n and \r are odd, and a place then lies further down.
            last = sum(map(text.count, "\n\r\x85\u2028\u2029")) + 2
            for problem in error.problems:
                assert problem.line <= last or not problem.file.endswith(changed), (
                    f"{problem} is beyond the end, line {last}"
                )
            return False
        render(described.cells)
        return True


def _policy(text: str) -> bool:
    """Whether the file could be read as manifests, which are then held against every rule."""
    found = read_text(text, "fuzz.yaml")
    check(found.manifests, tuple(RULES.values()))
    return found.state == "read"


def _keep(text: str, what: str) -> None:
    with tempfile.NamedTemporaryFile("w", prefix=f"croupier-fuzz-{what}-", suffix=".yaml", delete=False) as file:
        file.write(text)
    print(f"{file.name}\n{traceback.format_exc(limit=-3)}", file=sys.stderr)


_TARGETS: dict[str, tuple[Callable[[str], bool], tuple[str, ...]]] = {
    "platform": (
        _platform,
        ("src/croupier/cli/example/*.yaml",) * 40 + ("examples/platform/**/*.yaml", "tests/spec/**/*.yaml"),
    ),
    "policy": (_policy, ("tests/unit/core/render/golden/**/*.yaml", "tests/corpora/**/*.yaml", "examples/**/*.yaml")),
}

if __name__ == "__main__":
    main()
