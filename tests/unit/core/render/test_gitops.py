"""Argo CD and Flux apply each cell and region by itself, and leave alone what others own (S5.1)."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, Literal

import pytest
from tests.support import quick_yaml
from tests.support.platforms import applied, example

from croupier.adapters.kubernetes_client import MANAGER
from croupier.core.compare import compare
from croupier.core.policy.catalogue import RULES
from croupier.core.policy.check import check
from croupier.core.render.cell import objects, render
from croupier.core.render.forms import written
from croupier.core.render.gitops import OWNERS, gitops
from croupier.errors import UsageError
from croupier.model.platform import PlacedCell
from croupier.spec.manifests import read_text

TOOLS: tuple[Literal["argocd", "flux"], ...] = ("argocd", "flux")


def _made(cells: list[PlacedCell], **how: bool) -> list[dict[str, Any]]:
    return [each for held in gitops(objects(cells), cells, **how).values() for each in held]


def _spec(made: list[dict[str, Any]], kind: str, name: str) -> Any:
    return next(each["spec"] for each in made if each["kind"] == kind and each["metadata"]["name"] == name)


def test_nobody_is_told_anything_unless_the_platform_says_who() -> None:
    assert _made(example()) == []


def test_argo_cd_gets_an_application_for_each_cell_and_region_from_its_own_folder() -> None:
    made = _spec(_made(applied("argocd", clusters={"eu-south": "in-cluster"})), "ApplicationSet", "platform")
    (generator,) = made["generators"]
    assert generator["list"]["elements"] == [
        {"name": "lucky-mt-eu-south", "cluster": "in-cluster", "namespace": "lucky-mt"}
        | {"folder": "cells/lucky-mt-eu-south"},
        {"name": "lucky-se-eu-north", "cluster": "eu-north", "namespace": "lucky-se"}
        | {"folder": "cells/lucky-se-eu-north"},
        {"name": "region.eu-north", "cluster": "eu-north", "namespace": "default", "folder": "regions/eu-north"},
        {"name": "region.eu-south", "cluster": "in-cluster", "namespace": "default", "folder": "regions/eu-south"},
    ]
    assert made["template"]["spec"]["source"]["path"] == "clusters/{{.folder}}"


def test_an_application_reaches_its_own_namespaces_and_no_further() -> None:
    made = _made(applied("argocd"))
    cell = _spec(made, "AppProject", "lucky-mt-eu-south")
    assert cell["destinations"] == [{"name": "eu-south", "namespace": "lucky-mt"}]
    assert cell["clusterResourceWhitelist"] == [{"group": "", "kind": "Namespace", "name": "lucky-mt"}]
    assert cell["namespaceResourceBlacklist"] == [{"group": "", "kind": "Secret"}]
    region = _spec(made, "AppProject", "region.eu-south")
    assert {each["kind"] for each in region["clusterResourceWhitelist"]} == {"PriorityClass"}
    assert region["namespaceResourceBlacklist"] == [{"group": "*", "kind": "*"}]


def test_fields_of_the_operator_and_the_autoscaler_are_left_alone() -> None:
    """Prevents: an intent that croupier scales up to give a service back, and a sync that scales it down again."""
    assert MANAGER in OWNERS
    template = _spec(_made(applied("argocd")), "ApplicationSet", "platform")["template"]["spec"]
    assert template["ignoreDifferences"] == [
        {"group": "apps", "kind": "Deployment", "managedFieldsManagers": ["croupier", "kube-controller-manager"]}
    ]
    assert {"ServerSideApply=true", "RespectIgnoreDifferences=true"} <= set(template["syncPolicy"]["syncOptions"])
    cell = _spec(_made(applied("flux")), "Kustomization", "lucky-mt-eu-south")
    assert cell["ignore"] == [{"target": {"group": "apps", "kind": "Deployment"}, "paths": ["/spec/replicas"]}]
    rolling = _spec(_made(applied("flux", released_by="kubernetes")), "Kustomization", "lucky-mt-eu-south")
    assert "ignore" not in rolling  # Git says how many pods there are, or nobody but the autoscaler does


def test_each_cluster_has_a_flux_that_applies_its_own_cells() -> None:
    cells = applied("flux", secret="deploy-key", branch="live")
    files = gitops(objects(cells), cells)
    assert {name: [(each["kind"], each["metadata"]["name"]) for each in held] for name, held in files.items()} == {
        "gitops/eu-north.yaml": [
            ("GitRepository", "platform"),
            ("Kustomization", "lucky-se-eu-north"),
            ("Kustomization", "region.eu-north"),
        ],
        "gitops/eu-south.yaml": [
            ("GitRepository", "platform"),
            ("Kustomization", "lucky-mt-eu-south"),
            ("Kustomization", "region.eu-south"),
        ],
    }
    made = _made(cells)
    assert _spec(made, "GitRepository", "platform")["secretRef"] == {"name": "deploy-key"}
    assert _spec(made, "GitRepository", "platform")["ref"] == {"branch": "live"}
    assert _spec(made, "Kustomization", "region.eu-north")["path"] == "./clusters/regions/eu-north"


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("released_by", ["croupier", "kubernetes"])
def test_every_application_applies_a_folder_that_is_there_and_every_folder_is_applied(
    tool: Literal["argocd", "flux"], released_by: str
) -> None:
    cells = applied(tool, released_by=released_by)
    folders = {name.rpartition("/")[0] for name in objects(cells)}
    made = _made(cells)
    if tool == "flux":
        told = {each["spec"]["path"] for each in made if each["kind"] == "Kustomization"}
        assert told == {f"./clusters/{folder}" for folder in folders}
    else:
        (generator,) = _spec(made, "ApplicationSet", "platform")["generators"]
        assert {each["folder"] for each in generator["list"]["elements"]} == folders
        projects = {each["metadata"]["name"] for each in made if each["kind"] == "AppProject"}
        assert projects == {each["name"] for each in generator["list"]["elements"]}


def test_no_cell_and_no_object_that_players_depend_on_goes_unasked() -> None:
    """A cell that drops out of the platform by mistake, a branch that lost a file: nobody is thrown out."""
    made = _spec(_made(applied("argocd")), "ApplicationSet", "platform")
    assert made["syncPolicy"] == {"applicationsSync": "create-update", "preserveResourcesOnDeletion": True}
    assert all(
        each["spec"]["deletionPolicy"] == "Orphan" for each in _made(applied("flux")) if each["kind"] == "Kustomization"
    )
    key = "argocd.argoproj.io/sync-options"
    assert _annotated(applied("argocd"), key) == {"Namespace", "ReleasePolicy"}
    assert _annotated(applied("argocd", released_by="kubernetes"), key) == {"Namespace", "Deployment"}
    assert _annotated(applied("flux"), "kustomize.toolkit.fluxcd.io/prune") == {"Namespace"}


def _annotated(cells: list[PlacedCell], key: str) -> set[str]:
    every = itertools.chain.from_iterable(objects(cells).values())
    return {each["kind"] for each in every if key in each["metadata"].get("annotations", {})}


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("released_by", ["croupier", "kubernetes"])
def test_what_is_rendered_for_them_passes_croupiers_own_rules(
    tool: Literal["argocd", "flux"], released_by: str
) -> None:
    manifests = [
        each
        for name, text in render(applied(tool, released_by=released_by)).items()
        if name.endswith(".yaml")
        for each in read_text(text, name).manifests
    ]
    usual = [rule for rule in RULES.values() if rule.usual]
    assert [(each.rule.id, each.message) for each in check(manifests, usual)] == []


def test_without_its_ignore_rules_the_same_set_is_found_fault_with() -> None:
    """So that the rule above sees the set, and does not pass over it."""
    made = render(applied("argocd"))
    made["gitops/argocd.yaml"] = made["gitops/argocd.yaml"].replace("managedFieldsManagers", "jqPathExpressions")
    manifests = [each for name, text in made.items() if ".yaml" in name for each in read_text(text, name).manifests]
    found = check(manifests, [RULES["gitops-replicas"]])
    assert [each.path for each in found] == 2 * [("spec", "template", "spec", "ignoreDifferences")]


def test_argo_cd_finds_charts_with_the_values_of_each_place() -> None:
    cells = applied("argocd")
    made = quick_yaml.load_all(written("helm", objects(cells), cells)["gitops/argocd.yaml"])
    source = next(each for each in made if each["kind"] == "ApplicationSet")["spec"]["template"]["spec"]["source"]
    assert source["path"] == "clusters/chart"
    assert source["helm"] == {"valueFiles": ["../{{.folder}}/values.yaml"]}


def test_a_chart_for_flux_is_refused() -> None:
    cells = applied("flux")
    with pytest.raises(UsageError, match="flux applies no charts"):
        written("helm", objects(cells), cells)
    assert "gitops/eu-north.yaml" in written("kustomize", objects(cells), cells)


def test_a_plan_tells_who_will_apply_it_and_releases_nothing_for_it() -> None:
    found = compare(example(), applied("argocd"))
    told = {each.path: each.after for each in found.changes if each.subject == "gitops"}
    assert told["tool"] == "argocd"
    assert json.dumps(told["path"]) == '"clusters"'
    assert found.versions == ()


def test_files_of_the_other_tool_are_removed(tmp_path: Path) -> None:
    from croupier.adapters.manifests import write
    from croupier.core.render.cell import MADE

    write(tmp_path, render(applied("argocd")), MADE)
    assert write(tmp_path, render(applied("flux")), MADE).left_over == ("gitops/argocd.yaml",)
