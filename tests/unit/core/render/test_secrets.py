"""Secrets come from the manager that keeps them (S5.4)."""

from __future__ import annotations

from typing import Any

import yaml
from tests.support.platforms import example, kept, manifests

from croupier.model.platform import PlacedCell
from croupier.model.service_spec import SecretRef


def _externals(cells: list[PlacedCell]) -> list[dict[str, Any]]:
    made = [each for text in manifests(cells).values() for each in yaml.safe_load_all(text)]
    return [each for each in made if each["kind"] == "ExternalSecret"]


def test_every_secret_of_a_cell_is_read_from_the_store_of_its_region() -> None:
    made = _externals(kept())
    assert [each["metadata"]["namespace"] for each in made] == ["lucky-mt", "lucky-se"]
    for each in made:
        assert each["spec"]["secretStoreRef"] == {"kind": "ClusterSecretStore", "name": "vault"}
        assert each["spec"]["refreshInterval"] == "3600s"
        assert each["spec"]["target"]["name"] == "psp-a-credentials"
        assert each["spec"]["data"] == [
            {"secretKey": "hmac", "remoteRef": {"key": "casino/psp-a-credentials", "property": "hmac"}}
        ]


def test_services_that_share_a_secret_share_its_object() -> None:
    """Prevents: two objects that own one Secret, and take it from each other."""
    (cell, *_) = kept()
    (payments,) = (each for each in cell.services if each.secrets)
    more = SecretRef(secret="psp-a-credentials", keys=("token",), remote="casino/psp-a-credentials", refresh_seconds=60)
    other = payments.model_copy(update={"name": "payouts", "secrets": {"psp": more}})
    (made,) = _externals([cell.model_copy(update={"services": (*cell.services, other)})])
    assert [each["secretKey"] for each in made["spec"]["data"]] == ["hmac", "token"]
    assert made["spec"]["refreshInterval"] == "60s"


def test_nothing_is_made_where_somebody_else_makes_secrets() -> None:
    assert _externals(example()) == []
    assert _externals(example(secret_store="vault")) == []
