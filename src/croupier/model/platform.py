"""What a platform consists of besides services: brands, markets with their rules, regions, cells, providers.

Field names are the keys of the platform file; ``docs/reference/platform.md`` is made from this module.
"""

from __future__ import annotations

import math
from datetime import date
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, JsonValue, StringConstraints, field_validator, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.address import Endpoint, Hostname
from croupier.model.base import Groups, LongName, Name, Value
from croupier.model.container import Image, Resources
from croupier.model.events import Event, Warm
from croupier.model.gateway import Gateway, able
from croupier.model.gitops import GitOps
from croupier.model.interceptor import HttpAddOn
from croupier.model.mesh import Mesh
from croupier.model.monitoring import Monitoring, OnCall
from croupier.model.nodes import NodePool, WarmNodes
from croupier.model.patches import PlacedPatch
from croupier.model.providers import Egress, Provider, ProviderClass, call_seconds, egress_namespace
from croupier.model.service_spec import ServiceSpec
from croupier.model.stores import Stores

ALLOW_DNS = "allow-dns"
DEFAULT_DENY = "default-deny"
ALLOW_MESH = "allow-mesh"
"""Walls of a cell: NetworkPolicies beside those that bear the names of its services."""
ENDPOINTS_SECONDS = 5
"""How long a pod that is to end still answers, so that every proxy has heard of it before it stops taking requests."""
SLACK_SECONDS = 5
TRACES_REGION = "croupier.traces"
"""Resource attribute of every span: the region that its service sends traces to."""


class Brand(Value):
    """A site that players see."""

    title: LongName
    readers: Groups = ()
    """Groups that may look at its cells; never at Secrets."""
    releasers: Groups = ()
    """Groups that may also pause, promote and abort releases there (S1.3)."""


class DataClass(Value):
    """Where data of one class may be. Regions that a list does not name are forbidden."""

    store: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Regions of primaries and replicas."""
    backup: tuple[Name, ...] = ()
    """Regions of backups. Empty: those of ``store``."""
    keys: tuple[Name, ...] = ()
    """Regions of encryption keys. Empty: those of ``store``."""
    replica_required: tuple[Name, ...] = ()
    """Regions that must hold a replica."""
    redact: tuple[str, ...] = ()
    """Of ``telemetry`` only: fields that must be taken out before it leaves the region of the cell."""


class Residency(Value):
    """Where players' data of a market may be: compliance owns these values, croupier holds all else against them."""

    source: LongName
    """The law, licence condition or decision that says so."""
    reviewed_on: date | None = None
    """When somebody who may judge it has read it last. None: nobody has; ``check`` says so every time."""
    regions: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Where services may run that keep any of the classes."""
    dr_regions: tuple[Name, ...] = ()
    """Where data may be moved to in a disaster, if its class may be stored there. Empty: nowhere."""
    providers: tuple[LongName, ...] = ()
    """Where providers may handle what they are sent, as their ``region`` says. Empty: no rule."""
    classes: Annotated[dict[Name, DataClass], Field(default_factory=dict)]
    """A class that is not named here may not be kept at all. ``telemetry`` is the class of logs and traces; where it is
    not named, they stay in the region of the cell."""


class Lock(Value):
    """A bound that no layer may loosen for services in this market; tightening is free. Exactly one bound."""

    path: Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$")]
    """Path in a service, like ``drainSeconds`` or ``objectives.deposits.successRatio``."""
    why: LongName
    at_least: float | None = None
    at_most: float | None = None
    within: tuple[JsonValue, ...] | None = None
    """A list may hold nothing but these; a single value must be one of them."""
    includes: tuple[JsonValue, ...] | None = None
    """A list must hold all of these."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(each is not None for each in (self.at_least, self.at_most, self.within, self.includes)) != 1:
            raise PydanticCustomError("lock", "give exactly one of atLeast, atMost, within, includes")
        return self


class Market(Value):
    """A licensed jurisdiction."""

    title: LongName
    residency: Residency | None = None
    """None: no rule about where data may be."""
    locks: tuple[Lock, ...] = ()


class Traces(Value):
    """The collectors of a region: every trace that failed or was slow is kept, all of the money tier, and a share of
    the rest (S9.1, S9.2). What is too slow, objectives on latency say."""

    image: Image
    """OpenTelemetry Collector contrib."""
    endpoint: Endpoint
    """Where traces are kept: OTLP over gRPC, with TLS."""
    namespace: Name = "telemetry"
    kept_percent: Annotated[float, Field(ge=0.0, le=100.0)] = 5.0
    """Share of the traces that nothing was wrong with."""
    wait_seconds: Annotated[int, Field(ge=1, le=300)] = 15
    """How long spans of a trace are waited for: longer than the slowest request."""
    per_second: Annotated[int, Field(ge=1, le=10_000_000)] = 1000
    """Traces at the highest load. All that begin in twice ``waitSeconds`` are held in the samplers' memory."""
    receivers: Annotated[int, Field(ge=1, le=64)] = 2
    samplers: Annotated[int, Field(ge=1, le=64)] = 2
    """While their number changes, traces that are under way may be split, and each part judged by itself."""
    resources: Resources = Resources(cpu="250m", memory="1Gi")
    """Of each pod."""
    alerts: OnCall | None = None
    """Who is called when collectors lose spans, or are not there; the region needs a ``prometheus``. None: nobody."""


class SecretsDriver(Value):
    """The Secrets Store CSI driver of a region: it mounts what Vault keeps, and makes no Secret of it (S5.4)."""

    provider: Literal["vault"]
    """Whose provider for the driver runs there."""
    parameters: Annotated[dict[str, str], Field(default_factory=dict)]
    """As that provider takes them, like ``roleName``. ``objects`` is made of ``secrets``."""

    @field_validator("parameters")
    @classmethod
    def _objects_are_made(cls, parameters: dict[str, str]) -> dict[str, str]:
        if "objects" in parameters:
            raise PydanticCustomError("parameters", "objects is made of secrets of services", {"at": "objects"})
        return parameters


class SecretsAgent(Value):
    """Vault's agent injector of a region: it puts an agent into pods that say so, which writes secrets as files and
    keeps them fresh (S10.8)."""

    role: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,128}$")]
    """Role of Vault's Kubernetes login that accounts of services have."""
    namespace: Name = "vault"
    """Where Vault runs: pods with an agent may ask it."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 8200
    audience: Annotated[str, StringConstraints(pattern=r"^[^\s]{1,200}$")] = "vault"
    """Whom the token of the account that an agent logs in with is for; nobody else takes it."""
    resources: Resources = Resources(cpu="50m", memory="64Mi")
    """Of each agent; quotas and nodes count it."""


class Region(Value):
    """A place with a cluster."""

    zones: Annotated[tuple[Name, ...], Field(min_length=1, max_length=9)]
    gateway: Gateway
    """What players come through."""
    released_by: Literal["croupier", "kubernetes"] = "croupier"
    """``kubernetes``: croupier's operator is not there; Deployments roll by themselves, and no gate judges them."""
    operator_namespace: Name = "croupier"
    """Where croupier's operator runs: it reads the counters of every pod."""
    secret_store: Name | None = None
    """The ClusterSecretStore of External Secrets that Secrets come from (S5.4). None: they are there by other means."""
    secrets_driver: SecretsDriver | None = None
    """Pods get what has a ``remote`` from it, and no Secrets. Passwords of stores, and what KEDA asks queues with, need
    ``secretStore`` nevertheless."""
    secrets_agent: SecretsAgent | None = None
    """Who brings secrets that say ``sidecar``. None: nobody does."""
    monitoring_namespace: Name | None = None
    """Where a Prometheus runs that scrapes pods. None: nobody but the operator does."""
    prometheus: Monitoring | None = None
    """What is rendered for it. None: nothing, so nobody is called."""
    traces: Traces | None = None
    """None: pods are not told where to send spans."""
    egress: Egress | None = None
    """None: what stands in the namespaces labelled ``svc: psp-egress`` and so on is yours."""
    mesh: Mesh | None = None
    """None: calls between pods are in the clear."""
    http_add_on: HttpAddOn | None = None
    """Who counts requests on their way, for ``scaling.trigger`` of kind ``http``. None: nobody does."""
    stores: Stores | None = None
    """What databases, caches and queues stand on there. None: none is rendered."""
    vpa: bool = False
    """The recommender of the Vertical Pod Autoscaler runs there: each service has an object that asks it, and changes
    nothing (S6.3, S13.5)."""
    pools: Annotated[dict[Name, NodePool], Field(default_factory=dict, max_length=32)]
    """Nodes by purpose. Once one of them serves a kind of traffic, every service has its pool; before, only those that
    name one have."""
    warm: WarmNodes | None = None
    """What keeps room on the warm nodes of its pools. None: nothing, so none has any."""

    @property
    def proxy(self) -> Resources | None:
        """What a mesh puts beside each pod of its cells; None: nothing."""
        return self.mesh.proxy if self.mesh is not None and self.mesh.has_sidecars else None

    def pool_of(self, service: ServiceSpec) -> NodePool | None:
        """The nodes that pods of ``service`` go to; None where the region has no such pool, or none at all."""
        if service.pool is not None:
            return self.pools.get(service.pool)
        return next((each for each in self.pools.values() if service.traffic in each.serves), None)

    @model_validator(mode="after")
    def _prometheus_is_somewhere(self) -> Self:
        if self.prometheus is not None and self.monitoring_namespace is None:
            raise PydanticCustomError("prometheus", "prometheus needs monitoringNamespace: where it runs")
        if self.prometheus is None and self.traces is not None and self.traces.alerts is not None:
            raise PydanticCustomError("prometheus", "traces.alerts needs prometheus: who asks the collectors")
        if self.prometheus is None and self.egress is not None and self.egress.alerts is not None:
            raise PydanticCustomError("prometheus", "egress.alerts needs prometheus: who asks the gateways")
        return self

    @model_validator(mode="after")
    def _the_gateway_can_be_moved(self) -> Self:
        movable = able("releasedBy: croupier", self.released_by)
        if self.released_by == "croupier" and self.gateway.target not in movable:
            message = f"croupier moves no weights of {self.gateway.target}, but of {', '.join(movable)}"
            raise PydanticCustomError("target", message, {"at": "gateway"})
        return self

    @model_validator(mode="after")
    def _players_come_into_the_mesh(self) -> Self:
        if self.mesh is not None and self.mesh.has_sidecars and not self.gateway.is_of_istio:
            message = f"{self.gateway.target} does not speak what sidecars ask for; istioGateway and istio do"
            raise PydanticCustomError("mesh", f"{message}, and mode: ambient goes with any", {"at": "mesh"})
        return self

    @model_validator(mode="after")
    def _gateways_are_alone(self) -> Self:
        taken = {self.gateway.namespace, self.gateway.runs_in(""), self.operator_namespace, self.monitoring_namespace}
        taken.add(self.traces.namespace if self.traces is not None else None)
        taken.add(self.warm.namespace if self.warm is not None else None)
        taken |= {each.namespace for each in self.stores.operators.values()} if self.stores is not None else set()
        for kind in get_args(ProviderClass) if self.egress is not None else ():
            if (name := egress_namespace(kind)) in taken:
                raise PydanticCustomError("egress", f"{name} is the namespace of an egress gateway; name another")
        return self

    @model_validator(mode="after")
    def _namespaces_have_one_maker(self) -> Self:
        """A Namespace that is rendered says how far Pod Security lets pods go: pods of others would not start there."""
        whose = {"default": "Kubernetes's own", self.operator_namespace: "the operator's"}
        whose |= {self.monitoring_namespace: "for monitoring"} if self.monitoring_namespace is not None else {}
        whose |= {self.mesh.namespace: "that of the mesh"} if self.mesh is not None else {}
        whose |= {self.http_add_on.namespace: "that of KEDA's HTTP add-on"} if self.http_add_on is not None else {}
        operators = self.stores.operators.values() if self.stores is not None else ()
        whose |= {each.namespace: "that of an operator of stores" for each in operators}
        made = {"gateway": self.gateway.namespace} if self.gateway.makes_namespace else {}
        made |= {"traces": self.traces.namespace} if self.traces is not None else {}
        for key, name in made.items():
            if name is None:
                continue
            owner = "Kubernetes's own" if name.startswith("kube-") else whose.get(name)
            if owner is not None:
                message = f"the namespace {name} is {owner}; give {key} one that can be rendered"
                raise PydanticCustomError("namespace", message, {"at": key})
            whose[name] = f"for {key}"
        return self

    @field_validator("pools")
    @classmethod
    def _pools_are_told_apart(cls, pools: dict[str, NodePool]) -> dict[str, NodePool]:
        serving: dict[str, str] = {}
        for name, pool in pools.items():
            for traffic in pool.serves:
                if (other := serving.setdefault(traffic, name)) != name:
                    raise PydanticCustomError("pools", f"pool {other} serves {traffic} already", {"at": name})
            for other, its in pools.items():
                if other != name and pool.labels.items() <= its.labels.items():
                    message = f"nodes of pool {other} bear these labels, too"
                    raise PydanticCustomError("pools", message, {"at": name})
        return pools


class Cell(Value):
    """A brand in a market in a region, declared: combinations that nobody declares do not exist.

    Its name is ``<brand>-<market>-<region>``, its namespace ``<brand>-<market>``.
    """

    brand: Name
    market: Name
    region: Name
    hostnames: Annotated[tuple[Hostname, ...], Field(max_length=16)] = ()
    """Names under which players reach it."""
    services: tuple[Name, ...] | None = None
    """What runs in it. None: every service."""

    @property
    def name(self) -> str:
        return f"{self.brand}-{self.market}-{self.region}"

    @property
    def namespace(self) -> str:
        return f"{self.brand}-{self.market}"

    @property
    def certificate(self) -> str:
        """The Secret with the certificate for its hostnames, where its region's gateway takes it from."""
        return f"{self.name}-tls"

    @property
    def data_namespace(self) -> str:
        """Namespace of the stores that are rendered for it, in its region and in those that hold copies."""
        return f"{self.name}-data"


class PlacedCell(Value):
    """A cell with its region and all services that run in it, complete, by name."""

    cell: Cell
    brand: Brand
    market: Market
    region: Region
    services: tuple[ServiceSpec, ...]
    providers: dict[Name, Provider]
    """Those that its services call."""
    traces_kept: dict[Name, Endpoint]
    """Region that traces of its services go to -> where they are kept there. Empty: nobody collects them."""
    gitops: GitOps | None
    """None: nothing is rendered for whoever applies it."""
    elsewhere: Annotated[dict[Name, Region], Field(default_factory=dict)]
    """Other regions that copies, backups or keys of its stores are in."""
    patches: tuple[PlacedPatch, ...]
    """In the order in which they are applied."""
    events: Annotated[dict[Name, Event], Field(default_factory=dict)]
    """Those that its players watch."""
    warm: tuple[Warm, ...] = ()
    """What they ask for, by time, event and service."""

    def grace_seconds(self, service: ServiceSpec) -> int:
        """From the order to end until force: proxies hear of it, connections drain, the slowest call returns."""
        called = [name for name in service.egress if name in self.providers]
        slowest = max((call_seconds(name, self.providers, called) for name in called), default=0.0)
        return math.ceil(ENDPOINTS_SECONDS + max(service.drain_seconds, slowest) + SLACK_SECONDS)

    def is_called(self, service: ServiceSpec) -> bool:
        """Whether another service of the cell depends on it."""
        return any(service.name in each.depends_on for each in self.services)

    def splits_calls(self, service: ServiceSpec) -> bool:
        """Whether a mesh splits callers in the cell between versions (S8.5). The Gateway API knows no retries in its
        standard channel: where there are some (``calls.retries``), callers move at once. Ambient mode needs a waypoint,
        which is not rendered."""
        mesh, calls = self.region.mesh, service.calls
        is_split = mesh is not None and mesh.has_sidecars and self.region.released_by == "croupier"
        return is_split and self.is_called(service) and (calls is None or calls.retries is None)

    def where(self, region: str) -> Region:
        """The region of that name, of those that the cell has to do with."""
        return self.region if region == self.cell.region else self.elsewhere[region]
