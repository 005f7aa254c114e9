"""Platforms that tests render."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from croupier.core.render.cell import render
from croupier.model.platform import Endpoint, GitOps, PlacedCell, Traces
from croupier.model.service_spec import Scaling, ServiceSpec
from croupier.spec.platform import load_described

EXAMPLE = Path(str(files("croupier.cli").joinpath("example")))
"""What ``init`` writes."""


def example(**of_region: object) -> list[PlacedCell]:
    """The cells of the example; ``of_region``: fields that every region has instead."""
    return [
        placed.model_copy(update={"region": placed.region.model_copy(update=of_region)})
        for placed in load_described(EXAMPLE).cells
    ]


def manifests(cells: Iterable[PlacedCell]) -> dict[str, str]:
    """What is rendered, without what a Prometheus reads: file -> its text."""
    return {name: text for name, text in render(cells).items() if name.endswith(".yaml")}


_CREDENTIALS = {"secret": "queue", "key": "value"}
TRIGGERS = (
    {"kind": "kafka", "servers": ["kafka.streams:9092"], "topic": "bets", "group": "settlement", "lag": 500}
    | {"credentials": {"password": _CREDENTIALS, "username": _CREDENTIALS}},
    {"kind": "rabbitmq", "queue": "payouts", "length": 20, "credentials": {"host": _CREDENTIALS}},
    {"kind": "redis", "address": "redis.streams:6379", "list": "mails", "length": 100},
    {"kind": "prometheus", "url": "http://prometheus.monitoring:9090", "query": "sum(queued)", "average": 12.5},
)
"""One of each kind of queue."""


def queued() -> list[PlacedCell]:
    """The cells of the example where croupier does not release, each service scaled by another queue."""
    triggers = itertools.cycle(TRIGGERS)

    def scaled(service: ServiceSpec) -> ServiceSpec:
        scaling = Scaling.model_validate_json(json.dumps({"min": 2, "max": 9, "trigger": next(triggers)}))
        return service.model_copy(update={"scaling": scaling})

    return [
        placed.model_copy(update={"services": tuple(map(scaled, placed.services))})
        for placed in example(released_by="kubernetes")
    ]


def kept() -> list[PlacedCell]:
    """The cells of the example with their Secrets in a store."""

    def held(service: ServiceSpec) -> ServiceSpec:
        secrets = {
            name: reference.model_copy(update={"remote": f"casino/{reference.secret}"})
            for name, reference in service.secrets.items()
        }
        return service.model_copy(update={"secrets": secrets})

    return [
        placed.model_copy(update={"services": tuple(map(held, placed.services))})
        for placed in example(secret_store="vault")
    ]


def traced() -> list[PlacedCell]:
    """The cells of the example with collectors in every region."""
    endpoint = Endpoint(host="traces.example.net", port=4317)
    image = f"registry.example/collector@sha256:{64 * 'c'}"
    return [
        placed.model_copy(update={"traces_kept": {placed.cell.region: endpoint}})
        for placed in example(traces=Traces(image=image, endpoint=endpoint))
    ]


def applied(tool: Literal["argocd", "flux"], *, released_by: str = "croupier", **of_gitops: Any) -> list[PlacedCell]:
    """The cells of the example, and who applies them."""
    repository = "https://git.example.net/casino/deployments.git"
    wanted = GitOps(tool=tool, repository=repository, path="clusters", **of_gitops)
    return [placed.model_copy(update={"gitops": wanted}) for placed in example(released_by=released_by)]
