"""Bad platforms: ``bad/<case>.yaml`` beside the sound ones in ``base/``, and what must be said in ``bad/<case>.txt``.

``python -m tests.spec.bad_cases`` writes the .txt files of cases that have none: read each before it is committed.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from croupier.core.render.cell import objects
from croupier.core.render.patch import blame
from croupier.engine.schemas import checked
from croupier.errors import SpecError
from croupier.model.schemas import NEWEST
from croupier.spec.platform import load_described

HERE = Path(__file__).parent
CASES = sorted((HERE / "bad").glob("*.yaml"))


def problems_of(case: Path) -> list[str]:
    """What is said of a case, files by name only; [] for one without a problem."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(HERE / "base" / "base.yaml", folder)
        shutil.copy(case, Path(folder, "case.yaml"))
        try:
            cells = load_described(Path(folder)).cells
            checked(objects(cells), NEWEST, blame(cells))
        except SpecError as error:
            return [str(problem).replace(f"{folder}/", "") for problem in error.problems]
    return []


if __name__ == "__main__":
    for each in CASES:
        said = each.with_suffix(".txt")
        if not said.exists():
            said.write_text("".join(f"{line}\n" for line in problems_of(each)))
