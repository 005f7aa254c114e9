"""A policy that is edited while its release is live, to what no gateway takes."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.support.small_cluster import HTTP_ROUTES, POLICY_NAME, SmallCluster, condition

from croupier.model.release_policy import ReleasePolicySpec

PARENTS = [{"name": "public"}]


@pytest.mark.parametrize(
    ("service", "route"),
    [
        *(({}, {"pathPrefixes": [each]}) for each in ("api", "", "/a b", "/é/", "//", "/a//b", "/../", "/a/.", "/%2f")),
        *(({}, {"hostnames": [each]}) for each in ("", "UP.example", "a_b", "pay.example:80", "*", "a.*.b", "-a")),
        ({"port": 443}, {"tls": {"port": 8443, "hostname": "pay.example"}}),
    ],
)
def test_what_the_gateway_api_refuses_is_refused_before(service: dict[str, Any], route: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(service, route)


def test_what_it_takes_is_taken() -> None:
    spec(
        {"port": 443}, {"pathPrefixes": ["/", "/a", "/a/b.c/", "/%D0%BE/", "/..a"], "hostnames": ["*.x.y", "a", "1.2"]}
    )


def spec(service: dict[str, Any], route: dict[str, Any]) -> ReleasePolicySpec:
    return ReleasePolicySpec.model_validate(
        {"deployment": "a", "service": {"name": "a", **service}, "route": {"parentRefs": PARENTS, **route}}
    )


async def test_a_live_release_goes_back_by_the_route_that_it_had() -> None:
    """The API server would refuse the edited one, and with it the way back."""
    async with SmallCluster.begin() as world:
        operator = await world.operator()
        first = await world.open(operator)
        await world.commit(BUILD="2", DEFECT="deposit-loss")
        await world.until(operator, lambda status: status.get("weight", 0) > 0)
        await world.declare(route={"parentRefs": PARENTS, "pathPrefixes": ["pay"]})
        await world.until(operator, lambda _: world.release("r-0002").get("outcome") == "rolled-back")
        assert world.weights() == {first: 100}
        assert world.find(HTTP_ROUTES, POLICY_NAME)["spec"]["rules"][0]["matches"][0]["path"]["value"] == "/"
        assert condition(world.status(), "Stalled")["reason"] == "InvalidSpec"
