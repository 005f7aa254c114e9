"""How one service is released on a cluster: what a ``ReleasePolicy`` says (DESIGN §7).

The schema of the custom resource is made from these values (``croupier.operator.crds``), so field names, bounds and
defaults stand here only.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.base import Name, Value
from croupier.model.checklist import ChecklistAsk
from croupier.model.objects import REPLICAS
from croupier.model.release import Gates, Percent, refuse_short_deadline, rising
from croupier.model.service import GatedObjectives, Tier

GROUP = "croupier.dev"
API_VERSION = f"{GROUP}/v1alpha1"
RETRY = f"{GROUP}/retry"
"""Annotation of a policy: the run after whose rollback the same version is to be tried again."""
LEAVE = f"{GROUP}/leave"
"""Annotation of a policy: "true" gives the service back to its Deployment."""
CHECKLIST = f"{GROUP}/checklist"
"""Annotation of a policy: a ``ChecklistResult`` as JSON, for the version that waits for it."""

Port = Annotated[int, Field(ge=1, le=65_535)]
PortName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=15)]
Seconds = Annotated[float, Field(ge=0.0, le=86_400.0)]
YEAR_SECONDS = 31_536_000
TLS_SERVICE_PORT = 443
"""Of the Service of a version, where its pods speak TLS to the gateway."""


class ClusterService(Value):
    """The Service that callers in the cluster use. It is the operator's, and follows the stable version."""

    name: Name
    port: Port = 80
    target_port: Port = 8080
    """Port of the pods."""


class ParentRef(Value):
    """The Gateway that a route hangs on. ``namespace`` None: that of the policy."""

    name: Name
    namespace: Name | None = None
    section_name: Name | None = None


class Hsts(Value):
    """Browsers are told to come back by TLS only (S8.3, RFC 6797). They believe it until its time is over."""

    max_age_seconds: Annotated[int, Field(ge=0, le=63_072_000)] = 31_536_000
    include_sub_domains: bool = False
    preload: bool = False
    """The host may be put on the list that browsers come with."""

    @model_validator(mode="after")
    def _preload_is_taken(self) -> Self:
        if self.preload and not (self.include_sub_domains and self.max_age_seconds >= YEAR_SECONDS):
            raise PydanticCustomError("hsts", "preload needs includeSubDomains, and a year at least")
        return self

    @property
    def value(self) -> str:
        """Of the header ``Strict-Transport-Security``."""
        words = [f"max-age={self.max_age_seconds}"]
        words += ["includeSubDomains"] if self.include_sub_domains else []
        return "; ".join([*words, *(["preload"] if self.preload else [])])


class RouteTls(Value):
    """How a gateway speaks TLS to the pods: a BackendTLSPolicy for the Service of each version (S8.1)."""

    port: Port
    """Port of the pods that speaks it. While the pods of a version that serves declare ports, and not this one, all are
    asked in the clear."""
    hostname: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
    """The name that their certificate bears."""
    ca: Name | None = None
    """ConfigMap with ``ca.crt``. None: whom the gateway's system trusts."""


PathPrefix = Annotated[
    str,
    StringConstraints(pattern=r"^/(([-A-Za-z0-9._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+/?)*$", max_length=1024),
]
RouteHost = Annotated[
    str,
    StringConstraints(
        pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", max_length=253
    ),
]
"""As the Gateway API takes them: a route that it refuses would bar the way back of a run that is live, too."""
_NOT_IN_PATHS = re.compile(r"/\.\.?(/|$)|%2f", re.IGNORECASE)


class Route(Value):
    """The HTTPRoute that the operator makes. Weights are the operator's alone: Git holds none."""

    parent_refs: Annotated[tuple[ParentRef, ...], Field(min_length=1, max_length=8)]
    hostnames: Annotated[tuple[RouteHost, ...], Field(max_length=16)] = ()
    path_prefixes: Annotated[tuple[PathPrefix, ...], Field(min_length=1, max_length=16)] = ("/",)
    timeout_seconds: Annotated[float, Field(ge=0.1, le=86_400.0)] | None = None
    """How long the gateway waits for an answer (S8.6). None: as long as it does by itself."""
    hsts: Hsts | None = None
    """None: browsers are told nothing."""
    tls: RouteTls | None = None
    """None: pods are asked in the clear."""

    @field_validator("path_prefixes")
    @classmethod
    def _lead_nowhere_else(cls, prefixes: tuple[str, ...]) -> tuple[str, ...]:
        for at, prefix in enumerate(prefixes):
            if _NOT_IN_PATHS.search(prefix):
                raise PydanticCustomError("path", "{prefix} has a part of dots, or %2F", {"prefix": prefix, "at": at})
        return prefixes


class MeshRoute(Value):
    """How callers inside the cluster are split: an HTTPRoute whose parent is the Service, which a mesh reads (S8.5; the
    Gateway API calls it GAMMA). Requests are split, with the weights that players have; who calls past the mesh goes on
    coming to the stable version."""

    timeout_seconds: Annotated[float, Field(ge=0.1, le=86_400.0)] | None = None
    """How long the mesh waits for an answer (S8.6). None: as long as it does by itself."""


class Strategy(Value):
    """How players move to a new version; fields as in a release. ``steps`` (100,) is a blue-green switch."""

    steps: Annotated[tuple[Percent, ...], Field(min_length=1, max_length=20)] = (5, 10, 25, 50, 100)
    dwell_seconds: Seconds = 15.0
    deadline_seconds: Annotated[float, Field(gt=0.0, le=604_800.0)] = 900.0
    ready_seconds: Annotated[float, Field(gt=0.0, le=3600.0)] = 120.0
    bake_seconds: Seconds | None = None
    """None: 300 for the money tier, 60 for others."""
    hold_back_percent: Annotated[int, Field(ge=0, le=5)] | None = None
    """Percent of requests the old version keeps through the bake, so that there is still something to compare with.
    None: 1 for the money tier, 0 for others; 0 where steps are (100,). At most 99 less the step before."""
    scrape_seconds: Annotated[float, Field(ge=1.0, le=60.0)] = 5.0

    @field_validator("steps")
    @classmethod
    def _steps_rise(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        return rising(steps)

    @model_validator(mode="after")
    def _steps_can_pass(self) -> Self:
        refuse_short_deadline(self.dwell_seconds, self.deadline_seconds, self.scrape_seconds)
        return self


class PodMetrics(Value):
    """Where each pod shows its own counters of requests (errors, latency), in Prometheus text form."""

    port: Port = 8080
    path: Annotated[str, Field(pattern=r"^/")] = "/metrics"


Url = Annotated[str, Field(pattern=r"^https?://[^\s/]+(/\S*)?$")]


class MetricsSource(Value):
    """Where counters come from. At least one source must give each signal that a gate watches."""

    pods: PodMetrics | None = PodMetrics()
    tally: Url | None = None
    """Page of a tally, which counts business outcomes and is never under release itself."""
    prometheus: Url | None = None
    """A Prometheus that scrapes pods and tally every ``strategy.scrapeSeconds``: they are then read from it, and not by
    ``pods`` and ``tally``."""


class ReleasePolicySpec(Value):
    """One service under croupier."""

    deployment: Name
    """The Deployment in Git that holds the intent: the template of the next version."""
    service: ClusterService
    route: Route | None = None
    """How players come. None: by no route of croupier's."""
    mesh: MeshRoute | None = None
    """None: callers inside the cluster move all at once, when a release has the players. Without this and ``route``
    only steps of (100,) are possible."""
    tier: Tier = "standard"
    traffic: Literal["http", "websocket"] = "http"
    """``websocket``: players hold connections to it. A version that they have left ends when its pods count none any
    more (``croupier_open_sockets`` on the page of ``metrics.pods``), or ``drainSeconds`` later."""
    replicas: Annotated[int, Field(ge=1, le=64)] = REPLICAS
    """Pods of the stable version where nothing scales it."""
    drain_seconds: Annotated[float, Field(ge=0.0, le=600.0)] = 5.0
    objectives: GatedObjectives = ()
    strategy: Strategy = Strategy()
    gates: Gates = ()
    """Empty: the default gates of the service's tier and objectives."""
    metrics: MetricsSource = MetricsSource()
    history_limit: Annotated[int, Field(ge=1, le=20)] = 3
    """How many versions that serve nobody are kept."""
    checklist: ChecklistAsk = "warn"
    """``require``: a new version waits until the release checklist (S15) has been shown for it
    (``kubectl croupier checklist``). ``warn``: it starts, and the run says what was shown."""
    suspend: bool = False
    """True: a new template starts no release; one that runs goes on."""

    @model_validator(mode="after")
    def _ports_are_two(self) -> Self:
        """Of the Service of each version: one without TLS, for callers, and one with it, for gateways."""
        if self.route is not None and self.route.tls is not None and self.service.port == TLS_SERVICE_PORT:
            raise PydanticCustomError("port", f"with route.tls, service.port cannot be {TLS_SERVICE_PORT}")
        return self
