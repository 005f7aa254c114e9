"""All objects of a platform, sorted into files: one folder a cell, one a region for what a cluster has once.

A new concern is a module, and a line in ``objects_of`` or ``tenancy``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from croupier.core.render.access import access
from croupier.core.render.calendar import calendar
from croupier.core.render.collector import collectors
from croupier.core.render.collector_watch import rule_groups, watch
from croupier.core.render.config import config_map
from croupier.core.render.dashboard import dashboards
from croupier.core.render.egress import egress_gateways
from croupier.core.render.egress_watch import gateway_rules, gateway_watch
from croupier.core.render.emit import document, documents
from croupier.core.render.flags import flag_map
from croupier.core.render.front import front, told
from croupier.core.render.gateway import gateways
from croupier.core.render.gitops import gitops, guarded
from croupier.core.render.interceptor import grants
from croupier.core.render.mesh import in_the_mesh, labels_of
from croupier.core.render.monitor import pod_monitor, scrape_jobs, tally_scrapes
from croupier.core.render.names import MANAGED_BY, cell_labels, priority_class
from croupier.core.render.network import doors, walls
from croupier.core.render.patch import Found, cell_place, patched, region_place, store_place
from croupier.core.render.pods import restricted
from croupier.core.render.prometheus import prometheus_rule, rule_file
from croupier.core.render.provider_watch import provider_groups, provider_rules
from croupier.core.render.quota import limits
from croupier.core.render.release import release_policy
from croupier.core.render.scaling import recommender, scaler
from croupier.core.render.secrets import external_secrets, provider_classes
from croupier.core.render.stores import data_namespaces, storage_classes, stores
from croupier.core.render.warm import warm_nodes
from croupier.core.render.workload import account, deployment, disruption_budget, intent, stateful_set
from croupier.errors import SpecError
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell, Region
from croupier.model.service_spec import ServiceSpec
from croupier.model.store import stores_of

MADE = "# Made by croupier render; do not edit.\n"
COLLECTOR_RULES = "collectors.rules"
PROVIDER_RULES = "providers.rules"
"""Files beside those of cells, whose names have a dash at least."""
PRIORITIES: Mapping[str, int] = {"money": 1_000_000, "standard": 100_000, "batch": 1_000}
"""Rank -> priority. Where room is short money goes first, and pushes others aside."""


def render(cells: Iterable[PlacedCell]) -> dict[str, str]:
    """File, relative and with slashes -> its text."""
    every = list(cells)
    made = objects(every)
    return dict(sorted({**texts({**made, **gitops(made, every)}), **prometheus_files(every)}.items()))


def texts(files: Mapping[str, Iterable[JsonObject]]) -> dict[str, str]:
    """File -> its text."""
    return {name: _text(held) for name, held in files.items()}


def objects(cells: Iterable[PlacedCell]) -> dict[str, list[JsonObject]]:
    """File, relative and with slashes -> the objects in it, in their order; all but those that apply the others.

    Raises ``SpecError`` for patches that fit nothing, or touch what a market locks.
    """
    files: dict[str, list[JsonObject]] = {}
    every = list(cells)
    found = Found()
    for placed in every:
        made = _of_cell(placed)
        place = cell_place(placed)
        files |= patched(place, made, _parts_of_cell, found) if place.patches else made
        kept = stores([placed])
        place = store_place(placed)
        files |= patched(place, kept, _stores_of, found) if place.patches else kept
    for region, there in _regions(every).items():
        # Where copies alone are, what there is once depends on the cells that have them.
        near = [each for each in every if region in (each.cell.region, *each.elsewhere)]
        made = _of_region(region, there, near)
        place = region_place(region, near)
        files |= patched(place, made, partial(_moved_region, region, there), found) if place.patches else made
    if problems := found.problems():
        raise SpecError(problems)
    return dict(sorted(files.items()))


def _of_region(name: str, region: Region, cells: Iterable[PlacedCell]) -> dict[str, list[JsonObject]]:
    """File -> what a region has once, for those of ``cells`` that run there."""
    files: dict[str, list[JsonObject]] = {}
    here = sorted((each for each in cells if each.cell.region == name), key=lambda each: each.cell.name)
    if here:
        if scrapes := tally_scrapes(region, here):
            files[f"regions/{name}/tallies.yaml"] = scrapes
        if gateway := gateways(region, here):
            files[f"regions/{name}/gateway.yaml"] = gateway
        if granted := grants(here):
            files[f"regions/{name}/interceptor.yaml"] = granted
        if traced := collectors(here):
            files[f"regions/{name}/traces.yaml"] = [*traced, *watch(name, region)]
        for kind, gateway in egress_gateways(here).items():
            files[f"regions/{name}/egress-{kind}.yaml"] = [*gateway, *gateway_watch(name, kind, region)]
        if rules := provider_rules(name, here):
            files[f"regions/{name}/providers.yaml"] = rules
    files[f"regions/{name}/priorities.yaml"] = priorities()
    if classes := storage_classes(region):
        files[f"regions/{name}/storage.yaml"] = classes
    if room := warm_nodes(region, here):
        files[f"regions/{name}/warm.yaml"] = room
    return files


def _moved_region(
    name: str, region: Region, cells: Sequence[PlacedCell], _: str | None
) -> Mapping[str, list[JsonObject]]:
    """The same, of cells with other values."""
    there = next((each.where(name) for each in cells if name in (each.cell.region, *each.elsewhere)), region)
    return _of_region(name, there, cells)


def _stores_of(cells: Sequence[PlacedCell], _: str | None) -> Mapping[str, list[JsonObject]]:
    return stores(cells)


def _regions(cells: Iterable[PlacedCell]) -> dict[str, Region]:
    """Every region where something runs: a cell, or a copy of its stores."""
    found: dict[str, Region] = {}
    for placed in cells:
        copies = {region for store in stores_of(placed) for region in store.use.copies}
        found |= {region: placed.where(region) for region in (placed.cell.region, *copies)}
    return found


def _of_cell(placed: PlacedCell, only: str | None = None) -> dict[str, list[JsonObject]]:
    """File -> the objects of a cell; of its services those of ``only`` (None: all)."""
    folder = f"cells/{placed.cell.name}"
    # kubectl applies the files of a folder by name: the namespace must be there before what lives in it.
    files = {f"{folder}/00-namespace.yaml": guarded(placed, tenancy(placed))}
    if secrets := external_secrets(placed):
        files[f"{folder}/01-secrets.yaml"] = list(secrets)
    for service in placed.services if only is None else [each for each in placed.services if each.name == only]:
        files[f"{folder}/{service.name}.yaml"] = guarded(placed, objects_of(placed, service))
    return files


def _parts_of_cell(cells: Sequence[PlacedCell], service: str | None) -> Mapping[str, list[JsonObject]]:
    """File -> what would be other objects if ``service`` were another; None: if any were."""
    found: dict[str, list[JsonObject]] = {}
    for placed in cells:
        found |= _of_cell(placed, service)
    return found


def prometheus_files(cells: Iterable[PlacedCell]) -> dict[str, str]:
    """File -> its text, for each region whose Prometheus reads files. What is no object does not end in .yaml: kubectl
    and ``policy check`` read a folder of manifests whole."""
    files: dict[str, str] = {}
    every = list(cells)
    for region, here in _by_region(every).items():
        prometheus = here[0].region.prometheus
        if prometheus is not None and prometheus.form == "files":
            folder = f"prometheus/{region}"
            files |= {f"{folder}/{placed.cell.name}.rules": MADE + document(rule_file(placed)) for placed in here}
            if groups := rule_groups(region, here[0].region):
                files[f"{folder}/{COLLECTOR_RULES}"] = MADE + document({"groups": groups})
            kinds = sorted(egress_gateways(here))
            if groups := [*gateway_rules(region, kinds, here[0].region), *provider_groups(region, here)]:
                files[f"{folder}/{PROVIDER_RULES}"] = MADE + document({"groups": groups})
            files[f"{folder}/scrape.conf"] = MADE + document(scrape_jobs(here, data_namespaces(region, every)))
    return files


def _by_region(cells: Iterable[PlacedCell]) -> dict[str, list[PlacedCell]]:
    """Cells in the order of their names, so that the same platform gives the same bytes."""
    regions: dict[str, list[PlacedCell]] = {}
    for placed in sorted(cells, key=lambda each: each.cell.name):
        regions.setdefault(placed.cell.region, []).append(placed)
    return regions


def objects_of(placed: PlacedCell, service: ServiceSpec) -> list[JsonObject]:
    """Everything one service is in one cell, what others refer to first."""
    cell = placed.cell
    return [
        account(cell, service),
        *config_map(cell, service),
        *flag_map(cell, service),
        *provider_classes(placed, service),
        doors(placed, service),
        disruption_budget(cell, service),
        *scaler(placed, service, placed.warm),
        *recommender(placed, service),
        *(_released if placed.region.released_by == "croupier" else _rolling)(placed, service),
        *told(placed, service),
        *pod_monitor(placed, service),
        *prometheus_rule(placed, service),
        *dashboards(placed, service),
    ]


def _released(placed: PlacedCell, service: ServiceSpec) -> list[JsonObject]:
    return [intent(placed, service), release_policy(placed, service)]


def _rolling(placed: PlacedCell, service: ServiceSpec) -> list[JsonObject]:
    made = stateful_set(placed, service) if service.volumes else [deployment(placed, service)]
    return [*made, *front(placed, service)]


def tenancy(placed: PlacedCell) -> list[JsonObject]:
    """The namespace, under Pod Security ``restricted``, its walls, its limits, who may do what, and its freezes."""
    cell = placed.cell
    metadata = {
        "name": cell.namespace,
        "labels": {**cell_labels(cell), **labels_of(placed.region.mesh), **restricted()},
    }
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata},
        *walls(cell),
        *in_the_mesh(placed),
        *limits(placed),
        *access(placed),
        *calendar(placed),
    ]


def priorities() -> list[JsonObject]:
    return [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": priority_class(rank), "labels": dict(MANAGED_BY)},
            "value": value,
            "globalDefault": False,
            "description": f"Services of tier {rank}.",
        }
        for rank, value in PRIORITIES.items()
    ]


def _text(objects: Iterable[JsonObject]) -> str:
    return MADE + documents(objects)
