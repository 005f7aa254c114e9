"""A plan of plans: which member is next, and what one abort does. Pure."""

from __future__ import annotations

import pytest
from tests.support.world import HEALTHY, release

from croupier.core.group import in_order
from croupier.errors import Refused
from croupier.model.service import Platform, Service


def service(name: str, *needs: str) -> Service:
    return Service(name=name, replicas=2, routes=(f"/{name}/",), depends_on=needs)


PLATFORM = Platform(
    services=(
        service("web", "api"),
        service("api", "between"),
        service("between", "wallet"),
        service("wallet"),
        service("egg", "hen"),
        service("hen", "egg"),
    )
)


def order(*names: str) -> list[str]:
    return [each.service for each in in_order([release(HEALTHY, name) for name in names], PLATFORM)]


def test_what_others_depend_on_goes_first_over_services_that_are_not_released_too() -> None:
    assert order("web", "wallet", "api") == ["wallet", "api", "web"]
    assert order("api", "wallet") == ["wallet", "api"]


def test_services_that_do_not_depend_on_each_other_go_as_they_were_given() -> None:
    assert order("web", "hen", "wallet") == ["hen", "wallet", "web"]


@pytest.mark.parametrize("names", [("egg", "hen"), ("wallet", "wallet")])
def test_a_ring_and_a_service_given_twice_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(Refused):
        order(*names)
