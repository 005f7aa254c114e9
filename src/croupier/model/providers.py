"""External parties that services call, and the gateways that their calls leave by (S2.5, S8.9).

Field names are the keys of the platform file; ``docs/reference/platform.md`` is made from this module.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from ipaddress import ip_address, ip_network
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.address import Address, Cidr, Endpoint, networks
from croupier.model.base import LabelKey, LabelValue, LongName, Name, Value
from croupier.model.container import Image, Resources
from croupier.model.monitoring import OnCall
from croupier.model.service_spec import SecretRef

ProviderClass = Literal["psp", "kyc", "game"]
EGRESS_GATEWAY = "gateway"
EGRESS_PORT = 3128
"""What the egress gateway of a class is called in its namespace, and where it takes ``CONNECT``."""


IDEMPOTENT = ("DELETE", "GET", "HEAD", "OPTIONS", "PUT")
"""Methods of which two requests do what one does (RFC 9110, 9.2.2)."""
TOLD_OF_PROVIDERS = ("-fallback", "-retries", "-retry-methods")
"""What pods are told of a provider beside its gateway: ends of its name, as variables are made of it."""
Method = Annotated[str, StringConstraints(pattern=r"^[A-Z]{1,20}$")]
ProviderSignal = Literal["bets", "connections", "deposits", "logins", "withdrawals"]


class SourceNode(Value):
    """A node that an address of the pool stands on."""

    address: Address
    labels: Annotated[dict[LabelKey, LabelValue], Field(min_length=1, max_length=8)]
    """What that node bears, and no other."""


class Sources(Value):
    """Addresses that calls to providers leave a region by: what providers let in (S8.9)."""

    addresses: Annotated[tuple[Cidr, ...], Field(min_length=1, max_length=16)]
    """The pool, like ``203.0.113.8/31``. Held against ``sources`` of each provider that cells of the region call."""
    cilium: Annotated[tuple[SourceNode, ...], Field(max_length=16)] = ()
    """Where Cilium is the network: which node holds which address. The egress gateways' pods leave by these. Empty: the
    network is told by other means."""

    @field_validator("addresses")
    @classmethod
    def _addresses_are_some(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        return networks(addresses)

    @field_validator("cilium")
    @classmethod
    def _addresses_stand_once(cls, cilium: tuple[SourceNode, ...]) -> tuple[SourceNode, ...]:
        for at, each in enumerate(cilium):
            if each.address in (other.address for other in cilium[:at]):
                raise PydanticCustomError("sources", f"{each.address} stands on another node already", {"at": at})
        return cilium

    @model_validator(mode="after")
    def _nodes_hold_what_is_in_the_pool(self) -> Self:
        for each in self.cilium:
            if not any(ip_address(each.address) in ip_network(held) for held in self.addresses):
                raise PydanticCustomError("sources", f"{each.address} is not among addresses")
        return self


class Egress(Value):
    """The egress gateways of a region: one for each class of provider that its cells call (S2.5, S8.9)."""

    image: Image
    """Envoy."""
    replicas: Annotated[int, Field(ge=2, le=32)] = 2
    """Pods of each gateway."""
    resources: Resources = Resources(cpu="100m", memory="256Mi")
    """Of each pod."""
    sources: Sources | None = None
    """None: nobody says by which addresses calls leave, so providers that want to know are refused."""
    alerts: OnCall | None = None
    """Who is called when a gateway is not there, is full, or cannot reach a provider; the region needs a
    ``prometheus``. None: nobody."""


def egress_namespace(kind: ProviderClass) -> str:
    """Namespace of the egress gateway for providers of a class, and the value of its label ``svc``."""
    return f"{kind}-egress"


class ProviderRetries(Value):
    """Calls that are made again when they fail. Pods are told; what moves money is never repeated."""

    attempts: Annotated[int, Field(ge=1, le=5)]
    """Most calls after the first. Each may take ``timeoutSeconds``."""
    methods: Annotated[tuple[Method, ...], Field(min_length=1)] = ("GET",)
    """Which requests: those that do nothing more when they come twice (RFC 9110, 9.2.2)."""

    @field_validator("methods")
    @classmethod
    def _may_come_twice(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        for at, each in enumerate(methods):
            if each not in IDEMPOTENT:
                message = f"{each} may have been done although no answer came: made again, it is done twice"
                raise PydanticCustomError("retries", message, {"at": at})
        return methods


class ProviderBreaker(Value):
    """When one of a provider's addresses is left alone, and how long."""

    failures: Annotated[int, Field(ge=1, le=1000)] = 5
    """Connections in a row that it does not take."""
    eject_seconds: Annotated[float, Field(ge=1.0, le=3600.0)] = 30.0
    """The first time; each further time as much longer. Half of the addresses at least are always tried."""


class ProviderObjective(Value):
    """What share of what is asked of a provider has to succeed. Recorded for each region, and watched."""

    signal: ProviderSignal
    """``connections``: those that the egress gateways open. The others: what tallies count for the provider."""
    success_ratio: Annotated[float, Field(gt=0.0, lt=1.0)]
    """0-1."""


class Provider(Value):
    """An external party that services call. Pods reach it through the egress gateway of its class only (S2.5, S8.9)."""

    kind: ProviderClass
    endpoints: Annotated[tuple[Endpoint, ...], Field(min_length=1)]
    region: LongName
    """Where it handles what it is sent."""
    timeout_seconds: Annotated[float, Field(gt=0.0, le=120.0)]
    """How long a call may take. Pods that end wait for it, and the region's egress gateway closes a connection that
    has been silent for so long."""
    addresses: Annotated[tuple[Cidr, ...], Field(max_length=64)] = ()
    """Where its hosts are, like ``192.0.2.0/28``: the egress gateway of a region reaches nothing else for it. Empty:
    every address that is not private."""
    max_connections: Annotated[int, Field(ge=2, le=100_000)] = 1024
    """Connections at a time to each of its endpoints from each region with an egress gateway."""

    retries: ProviderRetries | None = None
    """None: a call that fails has failed."""
    breaker: ProviderBreaker = ProviderBreaker()
    fallback: Name | None = None
    """Provider of the same kind that takes over. It does where the service may call it, too; pods are told."""
    key: SecretRef | None = None
    """Credentials for it: every service that calls it finds them below ``/secrets/<provider>/``, unless it has
    ``secrets`` of that name."""
    sources: Annotated[tuple[Cidr, ...], Field(max_length=64)] = ()
    """Addresses that it takes calls from. Those of each region that calls it must be among them. Empty: all."""
    objectives: Annotated[tuple[ProviderObjective, ...], Field(max_length=5)] = ()
    """What is promised of it: recorded, and watched where a region has a ``prometheus``."""
    alerts: OnCall | None = None
    """Who is called when an objective is missed."""

    @property
    def longest_seconds(self) -> float:
        """How long a service may be busy with one call, retries included."""
        return self.timeout_seconds * (1 + (self.retries.attempts if self.retries is not None else 0))

    @field_validator("addresses", "sources")
    @classmethod
    def _addresses_are_some(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        return networks(addresses)

    @field_validator("objectives")
    @classmethod
    def _one_a_signal(cls, objectives: tuple[ProviderObjective, ...]) -> tuple[ProviderObjective, ...]:
        for at, each in enumerate(objectives):
            if each.signal in (other.signal for other in objectives[:at]):
                raise PydanticCustomError("twice", f"{each.signal} stands here twice", {"at": at})
        return objectives

    @model_validator(mode="after")
    def _somebody_is_called(self) -> Self:
        if self.objectives and self.alerts is None:
            raise PydanticCustomError("alerts", "objectives are promised, and alerts names nobody to call")
        return self


def fallback_of(name: str, providers: Mapping[str, Provider], egress: Collection[str]) -> str | None:
    """Who takes over from provider ``name`` for a service that may call ``egress``; None: nobody."""
    fallback = providers[name].fallback
    return fallback if fallback in egress and fallback in providers else None


def call_seconds(name: str, providers: Mapping[str, Provider], egress: Collection[str]) -> float:
    """How long one call to provider ``name`` may keep a service busy: with retries, and by who takes over."""
    fallback = fallback_of(name, providers, egress)
    return sum(providers[each].longest_seconds for each in (name, fallback) if each is not None)
