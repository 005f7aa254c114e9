"""What tells Argo CD or Flux to apply what is rendered: an application a cell, region and its stores, walled (S5.1).

They leave alone what others own on purpose: croupier's operator says how many pods an intent has while a service is
adopted or given back, the autoscaler after that. And they ask, or refuse, before they delete what players depend on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from croupier.core.render.names import MANAGED_BY, NOT_PRUNED
from croupier.model.gitops import GitOps
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell

OWNERS = ("croupier", "kube-controller-manager")
"""Field managers whose fields Argo CD leaves alone: the operator, and the autoscaler's."""
_GUARDED = frozenset({"Namespace", "PersistentVolumeClaim", "ReleasePolicy", "StatefulSet"})
"""Kinds whose deletion takes with it what serves or what is stored. Of Deployments those that serve by themselves."""
_NEVER_PRUNED = frozenset({"Namespace", "PersistentVolumeClaim", "StatefulSet"})
"""The same for Flux, which cannot ask: who takes a service out of Git wants its policy gone."""
_PREFIXES: Mapping[str, str] = {"regions": "region", "stores": "stores"}
_ARGOCD = "argoproj.io/v1alpha1"
_SOURCE, _APPLY = "source.toolkit.fluxcd.io/v1", "kustomize.toolkit.fluxcd.io/v1"
_SYNC_OPTIONS = (
    "ServerSideApply=true",
    "RespectIgnoreDifferences=true",
    "PruneLast=true",  # pods of the old version read their ConfigMap until the new ones are healthy
    "FailOnSharedResource=true",
)


class _Place(NamedTuple):
    """A cell, what a region has once, or its stores. ``namespaces``: those that its objects live in. ``wide``: kinds
    that live in none: (group, kind, name)."""

    area: str
    name: str
    region: str
    is_released: bool
    namespaces: tuple[str, ...]
    wide: tuple[tuple[str, str, str], ...]

    @property
    def application(self) -> str:
        """Names of cells hold no dot."""
        return self.name if self.area == "cells" else f"{_PREFIXES[self.area]}.{self.name}"


def guarded(placed: PlacedCell, objects: Iterable[JsonObject]) -> list[JsonObject]:
    """``objects`` of a cell; those whose deletion takes more with it say that it wants a person."""
    return [_guarded(placed, each) for each in objects]


def _guarded(placed: PlacedCell, each: JsonObject) -> JsonObject:
    if placed.gitops is None:
        return each
    kind, serves = each["kind"], placed.region.released_by == "kubernetes"
    if placed.gitops.tool == "argocd":
        is_held = kind in _GUARDED or (kind == "Deployment" and serves)
        said = {"argocd.argoproj.io/sync-options": "Prune=confirm,Delete=confirm"}
    else:
        is_held = kind in _NEVER_PRUNED
        said = NOT_PRUNED
    if not is_held:
        return each
    metadata = each["metadata"]
    return {**each, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), **said}}}


def gitops(
    files: Mapping[str, Sequence[JsonObject]], cells: Sequence[PlacedCell], *, as_chart: bool = False
) -> dict[str, list[JsonObject]]:
    """File -> the objects in it, for whoever starts Argo CD or Flux; nothing where the platform names neither.

    Args:
        files: what ``core.render.cell.objects`` made of ``cells``.
        cells: all of them.
        as_chart: the files are written as one Helm chart with values for each place.
    """
    wanted = next((each.gitops for each in cells if each.gitops is not None), None)
    if wanted is None:
        return {}
    places = _places(files, cells)
    if wanted.tool == "argocd":
        projects = [_project(wanted, each) for each in places]
        return {"gitops/argocd.yaml": [*projects, _application_set(wanted, places, as_chart=as_chart)]}
    regions = sorted({each.region for each in places})
    return {
        f"gitops/{region}.yaml": [
            _repository(wanted),
            *(_kustomization(wanted, each) for each in places if each.region == region),
        ]
        for region in regions
    }


def _places(files: Mapping[str, Sequence[JsonObject]], cells: Iterable[PlacedCell]) -> list[_Place]:
    of_cell = {each.cell.name: each for each in cells}
    held: dict[tuple[str, str], list[JsonObject]] = {}
    for file, objects in sorted(files.items()):
        area, name, _ = file.split("/")
        held.setdefault((area, name), []).extend(objects)
    places = []
    for (area, name), objects in held.items():
        region = of_cell[name].cell.region if area == "cells" else name
        released = area == "cells" and of_cell[name].region.released_by == "croupier"
        metadata = [(each, each["metadata"]) for each in objects]
        inside = {each["namespace"] for _, each in metadata if "namespace" in each}
        wide = {(_group(each), each["kind"], its["name"]) for each, its in metadata if "namespace" not in its}
        places.append(_Place(area, name, region, released, tuple(sorted(inside)), tuple(sorted(wide))))
    return places


def _group(each: JsonObject) -> str:
    return str(each["apiVersion"]).rpartition("/")[0]


def _folder(wanted: GitOps, *parts: str) -> str:
    return str(PurePosixPath(wanted.path, *parts))


def _object(wanted: GitOps, api: str, kind: str, name: str, spec: JsonObject) -> JsonObject:
    metadata = {"name": name, "namespace": wanted.runs_in, "labels": dict(MANAGED_BY)}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}


# --- Argo CD ----------------------------------------------------------------------------------------------------------


def _cluster(wanted: GitOps, place: _Place) -> str:
    return wanted.clusters.get(place.region, place.region)


def _project(wanted: GitOps, place: _Place) -> JsonObject:
    """An application's walls: from this repository only, into its own namespaces only, and no Secret (S5.4)."""
    refused = {"group": "", "kind": "Secret"} if place.namespaces else {"group": "*", "kind": "*"}
    spec = {
        "description": f"Made by croupier: what {place.application} may hold.",
        "sourceRepos": [wanted.repository],
        "destinations": [{"name": _cluster(wanted, place), "namespace": each} for each in _reached(place)],
        "clusterResourceWhitelist": [{"group": group, "kind": kind, "name": name} for group, kind, name in place.wide],
        "namespaceResourceBlacklist": [refused],
    }
    return _object(wanted, _ARGOCD, "AppProject", place.application, spec)


def _reached(place: _Place) -> tuple[str, ...]:
    """Argo CD wants a namespace even of an application that has objects in none."""
    return place.namespaces or ("default",)


def _application_set(wanted: GitOps, places: Iterable[_Place], *, as_chart: bool) -> JsonObject:
    """Applications are made and changed, never deleted: a cell that is gone from Git is taken away by a person."""
    source: JsonObject = {"repoURL": wanted.repository, "targetRevision": wanted.branch}
    if as_chart:
        source |= {"path": _folder(wanted, "chart"), "helm": {"valueFiles": ["../{{.folder}}/values.yaml"]}}
    else:
        source["path"] = _folder(wanted, "{{.folder}}")
    elements = [
        {
            "name": each.application,
            "cluster": _cluster(wanted, each),
            "namespace": _reached(each)[0],
            "folder": f"{each.area}/{each.name}",
        }
        for each in places
    ]
    spec = {
        "goTemplate": True,
        "goTemplateOptions": ["missingkey=error"],
        "generators": [{"list": {"elements": elements}}],
        "syncPolicy": {"applicationsSync": "create-update", "preserveResourcesOnDeletion": True},
        "template": {
            "metadata": {
                "name": "{{.name}}",
                "labels": dict(MANAGED_BY),
                "annotations": {"argocd.argoproj.io/compare-options": "ServerSideDiff=true"},
            },
            "spec": {
                "project": "{{.name}}",
                "source": source,
                "destination": {"name": "{{.cluster}}", "namespace": "{{.namespace}}"},
                "syncPolicy": {
                    "automated": {"prune": True, "selfHeal": True, "allowEmpty": False},
                    "retry": {"limit": 5, "backoff": {"duration": "10s", "factor": 2, "maxDuration": "3m"}},
                    "syncOptions": list(_SYNC_OPTIONS),
                },
                "ignoreDifferences": [
                    {"group": "apps", "kind": "Deployment", "managedFieldsManagers": list(OWNERS)},
                ],
            },
        },
    }
    return _object(wanted, _ARGOCD, "ApplicationSet", wanted.name, spec)


# --- Flux -------------------------------------------------------------------------------------------------------------


def _repository(wanted: GitOps) -> JsonObject:
    spec: JsonObject = {"interval": "1m", "url": wanted.repository, "ref": {"branch": wanted.branch}}
    if wanted.secret is not None:
        spec["secretRef"] = {"name": wanted.secret}
    return _object(wanted, _SOURCE, "GitRepository", wanted.name, spec)


def _kustomization(wanted: GitOps, place: _Place) -> JsonObject:
    """Waits for nobody: a release takes hours, and a collector that is ill must not keep a cell from being mended."""
    spec: JsonObject = {
        "interval": "10m",
        "retryInterval": "1m",
        "timeout": "5m",
        "sourceRef": {"kind": "GitRepository", "name": wanted.name},
        "path": f"./{_folder(wanted, place.area, place.name)}",
        "prune": True,
        "deletionPolicy": "Orphan",
    }
    if place.is_released:
        spec["ignore"] = [{"target": {"group": "apps", "kind": "Deployment"}, "paths": ["/spec/replicas"]}]
    return _object(wanted, _APPLY, "Kustomization", place.application, spec)
