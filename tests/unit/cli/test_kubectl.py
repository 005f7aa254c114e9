"""What ``kubectl croupier`` writes into the cluster takes nothing away that it wrote before."""

from __future__ import annotations

from typing import Any

from croupier.adapters.kubernetes_api import RELEASE_POLICIES
from croupier.adapters.kubernetes_memory import MemoryKubernetes
from croupier.cli import kubectl


async def annotated(*written: dict[str, str]) -> dict[str, Any]:
    server = MemoryKubernetes()
    kind = {"apiVersion": RELEASE_POLICIES.api_version, "kind": RELEASE_POLICIES.kind}
    metadata = {"name": "payments-api", "namespace": "casino", "annotations": {"team": "payments"}}
    await server.acting_as("git").apply({**kind, "metadata": metadata, "spec": {"deployment": "payments-api"}})
    for each in written:
        await kubectl._annotate(server.acting_as("kubectl-croupier"), "casino", "payments-api", each)  # type: ignore[arg-type]
    found = await server.get(RELEASE_POLICIES, "payments-api", namespace="casino")
    assert found is not None
    return dict(found["metadata"]["annotations"])


async def test_a_retry_does_not_call_a_service_back_that_is_leaving() -> None:
    """An apply gives up the fields that it leaves out."""
    found = await annotated({kubectl.LEAVE: "true"}, {kubectl.RETRY: "r-0002"})
    assert found == {"team": "payments", kubectl.LEAVE: "true", kubectl.RETRY: "r-0002"}


async def test_another_retry_takes_the_place_of_the_one_before() -> None:
    found = await annotated({kubectl.RETRY: "r-0002"}, {kubectl.RETRY: "r-0003"})
    assert found == {"team": "payments", kubectl.RETRY: "r-0003"}
