"""What is explained can be asked for again, as it is printed."""

from __future__ import annotations

import pytest
from tests.support.platforms import LARGE, described

from croupier.errors import UnknownName
from croupier.model.platform import Region
from croupier.model.service_spec import ServiceSpec
from croupier.spec.explain import explained
from croupier.spec.paths import parse_path

PLATFORM = described(LARGE)
CELL = "nova-mt-eu-north"


@pytest.mark.parametrize("part", ["region", "market", "cell", "brand", "payments-api", "wallet"])
def test_every_path_that_is_printed_can_be_typed_back(part: str) -> None:
    """Keys of labels hold dots, and so do names in parameters of storage."""
    told = explained(PLATFORM, CELL, part)
    assert told
    for each in told:
        if each.chain and each.chain[0].layer.label.startswith("event "):
            continue  # no value of the service: what it is at some time
        assert explained(PLATFORM, CELL, each.path)[0].as_json() == each.as_json(), each.path


def test_a_key_with_dots_is_one_key() -> None:
    assert parse_path("pools.api.labels.nodes.example.net/pool", Region)[-1] == "nodes.example.net/pool"
    assert parse_path("config.LOG_LEVEL", ServiceSpec) == ("config", "LOG_LEVEL")
    with pytest.raises(UnknownName):
        parse_path("config.LOG_LEVEL.x", ServiceSpec)
