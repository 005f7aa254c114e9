"""Every kind that is rendered is known, and held against what its definition says."""

from __future__ import annotations

from functools import cache, partial
from typing import get_args

import pytest
from tests.support import quick_yaml
from tests.support.platforms import (
    agented,
    ahead,
    applied,
    eventful,
    fronted,
    galera,
    gated,
    intercepted,
    kept,
    manifests,
    mysql,
    queued,
    redis,
    remembered,
    stored,
    streamed,
    traced,
    volumed,
    warmed,
    watched,
)

from croupier.engine.schemas import validator
from croupier.model.gateway import Target
from croupier.model.objects import JsonObject
from croupier.model.platform import SecretsDriver
from croupier.model.schemas import VERSIONS

CELLS = {
    "secrets": kept,
    "driver": lambda: kept(secrets_driver=SecretsDriver(provider="vault", parameters={"roleName": "casino"})),
    "queues": queued,
    "calendar": lambda: eventful(queued()),
    "requests": intercepted,
    "agent": agented,
    "warm ahead": ahead,
    "stores": stored,
    "mysql": galera,
    "mysql-certified": lambda: galera(mysql(certificate="casino/nodes", system="casino/system")),
    "redis-sentinel": remembered,
    "redis-cluster": lambda: remembered(redis(mode="cluster")),
    "streams": lambda: streamed(scaled=True),
    "traces": traced,
    "egress": gated,
    "volumes": volumed,
    "watched": watched,
    "warm": warmed,
    "argocd": lambda: applied("argocd"),
    "flux": lambda: applied("flux"),
    **{f"gateway {target}": partial(fronted, target) for target in get_args(Target)},
    "gateway istioGateway alone": partial(fronted, "istioGateway", released_by="kubernetes"),
    "gateway envoyGateway alone": partial(fronted, "envoyGateway", released_by="kubernetes"),
}


@pytest.mark.parametrize("kubernetes", VERSIONS)
@pytest.mark.parametrize("held", CELLS)
def test_no_kind_is_rendered_without_a_schema(held: str, kubernetes: str) -> None:
    schemas = validator(kubernetes)
    for name, each in _objects(held):
        assert schemas.covers(each), f"{name}: {each['apiVersion']} {each['kind']}"
        assert not list(schemas.check(each)), name


@pytest.mark.parametrize("held", CELLS)
def test_no_empty_list_is_rendered(held: str) -> None:
    """An API server keeps none: who compares what is there with Git would find a change at each look."""
    for name, text in _texts(held).items():
        assert ": []" not in text, name


@cache
def _texts(held: str) -> dict[str, str]:
    return manifests(CELLS[held]())


@cache
def _objects(held: str) -> list[tuple[str, JsonObject]]:
    return [(name, each) for name, text in _texts(held).items() for each in quick_yaml.load_all(text)]
