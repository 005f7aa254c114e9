"""A platform as the files that clusters get: rendered, and held against the schemas first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from croupier.core.render.cell import objects
from croupier.core.render.forms import Form, written
from croupier.core.render.patch import blame
from croupier.engine.schemas import checked
from croupier.errors import UsageError
from croupier.model.platform import PlacedCell


def rendered(cells: Sequence[PlacedCell], kubernetes: str, folder: Path, form: Form) -> dict[str, str]:
    """File, relative and with slashes -> its text. ``folder``: where the platform is read from.

    Raises ``UsageError`` for a platform without cells, whose files would be none, and ``SpecError`` with all that this
    version of Kubernetes would refuse, or that ``form`` cannot hold.
    """
    if not cells:
        hint = "declare one under `cells`; what was rendered before is yours to remove"
        raise UsageError(f"the platform in {folder} has no cells", hint=hint)
    held = objects(cells)
    checked(held, kubernetes, blame(cells))
    return written(form, held, cells)
