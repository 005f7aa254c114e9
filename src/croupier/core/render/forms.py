"""The forms that the objects of a platform can be written in: they are the same objects in each (S5.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from croupier.core.render.cell import prometheus_files, texts
from croupier.core.render.gitops import gitops
from croupier.core.render.helm import helm_files
from croupier.core.render.kustomize import kustomize_files
from croupier.errors import UsageError
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell

Form = Literal["manifests", "helm", "kustomize"]
_Files = Mapping[str, Sequence[JsonObject]]
_WRITERS: Mapping[Form, Callable[[_Files, Sequence[PlacedCell]], dict[str, str]]] = {
    "manifests": lambda files, _: texts(files),
    "helm": helm_files,
    "kustomize": kustomize_files,
}


def written(form: Form, files: _Files, cells: Sequence[PlacedCell]) -> dict[str, str]:
    """File, relative and with slashes -> its text; of Prometheus what it reads is the same in every form.

    ``files``: what ``core.render.cell.objects`` made of ``cells``. Raises ``SpecError`` for what a form cannot hold,
    and ``UsageError`` for a chart that Flux should apply.
    """
    if form == "helm" and any(each.gitops is not None and each.gitops.tool == "flux" for each in cells):
        raise UsageError("gitops: flux applies no charts as they are", hint="render plain manifests, or as kustomize")
    return {
        **_WRITERS[form](files, cells),
        **texts(gitops(files, cells, as_chart=form == "helm")),
        **prometheus_files(cells),
    }
