"""What a change of a platform changes, where, of which class, and what is released for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from croupier.core.compare import compare
from croupier.model.change import PlatformPlan
from croupier.model.platform import PlacedCell
from croupier.model.service_spec import ServiceSpec
from croupier.report.change import plan_markdown, plan_text
from croupier.spec.platform import load_described

BASE = Path(__file__).parents[2] / "spec" / "base" / "base.yaml"
Cells = tuple[PlacedCell, ...]


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., PlatformPlan]:
    """The plan from the base platform to one with replacements (old, new) in its text."""

    def plan(*replacements: tuple[str, str]) -> PlatformPlan:
        text = BASE.read_text()
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "platform.yaml").write_text(text)
        return compare(load_described(BASE.parent).cells, load_described(tmp_path).cells)

    return plan


def test_nothing_changes_where_nothing_does(changed: Callable[..., PlatformPlan]) -> None:
    plan = changed()
    assert (plan.changes, plan.files, plan.versions) == ((), (), ())
    assert plan_text(plan) == "nothing changes"


def test_a_change_of_form_alone_changes_nothing(changed: Callable[..., PlatformPlan]) -> None:
    assert changed(("replicas: 2\n", "replicas: 0x2  # two\n")).files == ()


def test_what_scales_is_no_release_and_what_pods_are_is_one(changed: Callable[..., PlatformPlan]) -> None:
    plan = changed(("min: 3, max: 9", "min: 4, max: 9"), ("cpu: 100m", "cpu: 200m"))
    by_path = {(each.subject, each.path): each for each in plan.changes}
    assert by_path["payments", "scaling.min"].releases == ()
    assert by_path["payments", "resources.cpu"].releases == ("acme-mt-west", "acme-ro-north", "bolt-no-east")
    assert {each.kind for each in plan.changes} == {"scaling"}
    assert len(plan.versions) == 9


def test_a_slower_provider_gives_new_versions_to_those_who_wait_for_it(changed: Callable[..., PlatformPlan]) -> None:
    """Grace is derived from it, and grace is part of what a pod is."""
    old = "psp-a: {kind: psp, region: EU, timeoutSeconds: 8"
    plan = changed((old, old.replace("8", "80")))
    (change,) = plan.changes
    assert (change.subject, change.path, change.before, change.after) == (
        "providers.psp-a",
        "timeoutSeconds",
        8.0,
        80.0,
    )
    assert change.releases == change.cells == ("acme-mt-west", "acme-ro-north", "bolt-no-east")
    assert plan.versions == tuple(f"payments in {cell}" for cell in change.cells)


def test_of_several_changes_only_those_are_marked_that_make_new_versions(changed: Callable[..., PlatformPlan]) -> None:
    """Prevents: a reviewer who takes a change of zones for a release, because nodes moved in the same commit."""
    old = "west: {zones: [a], gateway: {name: web}"
    pools = "pools: {api: {serves: [http], labels: {pool: api}}}, monitoringNamespace: metrics"
    provider = "psp-a: {kind: psp, region: EU, timeoutSeconds: 8"
    plan = changed(
        (old, f"{old.replace('web', 'gate')}, {pools}"), (provider, provider.replace("EU", "UK").replace("8", "80"))
    )
    marked = {(each.subject, ".".join(each.path.split(".")[:2])): bool(each.releases) for each in plan.changes}
    assert marked == {
        ("regions.west", "gateway.name"): False,
        ("regions.west", "monitoringNamespace"): False,
        ("regions.west", "pools.api"): True,
        ("providers.psp-a", "region"): False,
        ("providers.psp-a", "timeoutSeconds"): True,
    }


def test_an_egress_gateway_is_a_new_version_when_it_comes_and_none_when_its_pods_change(
    changed: Callable[..., PlatformPlan],
) -> None:
    """Pods are told of it by variables; how many pods it has, and what a provider takes, is its own business."""
    old, provider = "west: {zones: [a], gateway: {name: web}", "psp-a: {kind: psp"
    image = f"registry.example/envoy@sha256:{64 * 'e'}"
    plan = changed((old, f"{old}, egress: {{image: {image}}}"), (provider, f"{provider}, maxConnections: 9"))
    marked = {(each.subject, each.path): bool(each.releases) for each in plan.changes}
    assert marked[("regions.west", "egress.image")] is True
    assert marked[("providers.psp-a", "maxConnections")] is False


def test_a_cell_that_comes_is_named_with_all_that_starts_in_it(changed: Callable[..., PlatformPlan]) -> None:
    cell = "  - {brand: bolt, market: mt, region: west, hostnames: [mt.bolt.example]}\n"
    plan = changed(("\nproviders:", f"{cell}\nproviders:"))
    (change,) = plan.changes
    assert (change.kind, change.before, change.after) == ("cell", None, "bolt-mt-west")
    assert len(plan.versions) == 3
    assert all(name.startswith("cells/bolt-mt-west/") for name in plan.files)


def test_a_service_that_goes_is_named_and_releases_nothing(changed: Callable[..., PlatformPlan]) -> None:
    line = next(each for each in BASE.read_text().splitlines(keepends=True) if "name: payments" in each)
    plan = changed((line, ""))
    gone = [(each.subject, each.kind, each.after, each.releases) for each in plan.changes]
    assert gone == [("payments", "cell", None, ()), ("providers.psp-a", "network", None, ())]
    assert plan.versions == ()
    assert {name.rpartition("/")[2] for name in plan.files} == {"00-namespace.yaml", "payments.yaml"}


def test_every_field_of_a_service_has_a_class() -> None:
    from croupier.core.compare import _CLASSES

    assert set(_CLASSES) == {field.alias or name for name, field in ServiceSpec.model_fields.items()}


def test_each_objective_is_a_change_of_its_own(changed: Callable[..., PlatformPlan]) -> None:
    """Prevents: two long lists that look alike, in which a looser objective of money goes through a review."""
    plan = changed(
        ("objectives: [{signal: errors, successRatio: 0.99}]",
         "objectives: [{signal: errors, successRatio: 0.995}, {signal: calls, successRatio: 0.9}]"),
    )  # fmt: skip
    assert [(each.path, each.before, each.after) for each in plan.changes] == [
        ("objectives.calls.successRatio", None, 0.9),
        ("objectives.errors.successRatio", 0.99, 0.995),
    ]


def test_objectives_in_another_order_are_told_as_a_list(tmp_path: Path) -> None:
    errors, calls = "{signal: errors, successRatio: 0.99}", "{signal: calls, successRatio: 0.9}"
    states = []
    for number, order in enumerate((f"[{errors}, {calls}]", f"[{calls}, {errors}]")):
        (folder := tmp_path / str(number)).mkdir()
        (folder / "x.yaml").write_text(BASE.read_text().replace(f"objectives: [{errors}]", f"objectives: {order}"))
        states.append(load_described(folder).cells)
    (change,) = compare(*states).changes
    assert change.path == "objectives"
    assert sorted(change.before) == sorted(change.after)


def test_text_says_what_where_and_how_much(changed: Callable[..., PlatformPlan]) -> None:
    assert plan_text(changed(("min: 3, max: 9", "min: 4, max: 9"))).splitlines() == [
        "scaling",
        "  payments.scaling.min: 3 → 4",
        "    in acme-mt-west, acme-ro-north, bolt-no-east",
        "",
        "1 change in 3 of 3 cells, 3 rendered files, 0 new versions to release",
    ]


def test_a_value_cannot_break_out_of_its_cell_in_markdown(changed: Callable[..., PlatformPlan]) -> None:
    plan = changed(("  drainSeconds: 15\n", "  drainSeconds: 15\n  config: {A: '`|` <b>'}\n"))
    row = next(line for line in plan_markdown(plan).splitlines() if "lobby.config.A" in line)
    assert row.startswith('| `lobby.config.A` | `none` | `` "`\\|` <b>" `` | config | in acme-mt-west')


BOLT = "  - {brand: bolt, market: no, region: east, hostnames: [no.bolt.example]}\n"
LEDGER = "      main: {classes: [ledger], replicas: [east], backup: north, keys: north}\n"
RENDERED = LEDGER.replace(
    "}\n", ', postgres: {storage: money, size: 10Gi, resources: {cpu: "1", memory: 4Gi}, pooler: {size: 20}}}\n'
)


def test_a_store_that_is_rendered_from_now_on_is_data_and_its_pods_are_told(
    changed: Callable[..., PlatformPlan],
) -> None:
    plan = changed((LEDGER, RENDERED))
    assert {each.kind for each in plan.changes} == {"data"}
    assert plan.versions == ("wallet in acme-ro-north",)
    assert {"stores/north/acme-ro-north.yaml", "stores/east/acme-ro-north.yaml"} <= set(plan.files)


def test_what_stores_stand_on_is_data_wherever_it_is(tmp_path: Path) -> None:
    """Prevents: a plan that is silent about the region of a copy, where no cell runs."""
    text = BASE.read_text().replace(LEDGER, RENDERED).replace(BOLT, "")
    text = text.replace('  - at: {market: "no"}\n    unset: [data]\n', "")

    def cells(name: str, text: str) -> Cells:
        (tmp_path / name).mkdir()
        (tmp_path / name / "platform.yaml").write_text(text)
        return load_described(tmp_path / name).cells

    plan = compare(cells("old", text), cells("new", text.replace("10.0.0.2/32", "10.0.0.3/32")))
    (change,) = plan.changes
    assert (change.subject, change.path, change.kind) == ("regions.east", "stores.apiServers", "data")
    assert (change.releases, plan.files) == ((), ("stores/east/acme-ro-north.yaml",))
