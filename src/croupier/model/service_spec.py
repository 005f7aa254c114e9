"""A service as a cell runs it: what the desk needs of it (``Service``) and all that becomes manifests.

Field names are the keys of the platform file; ``docs/reference/platform.md`` is made from this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.base import Groups, KmsKey, Memory, Name, Value
from croupier.model.container import Image, Resources
from croupier.model.data import DataUse
from croupier.model.edge import Edge, RouteBreaker, Sticky
from croupier.model.flags import Flag, FlagName
from croupier.model.interceptor import Http
from croupier.model.mesh import Calls
from croupier.model.release import Gates
from croupier.model.release_policy import MetricsSource, Port, PortName, Strategy
from croupier.model.service import LATENCY_EDGES, Path, Service
from croupier.model.trigger import Trigger

Layer = Literal["edge", "api", "service", "stream", "data"]
"""Where a service stands between players and storage (S2.1)."""


SECRETS = "/secrets"
"""Folder of mounted secrets."""
CONFIG = "/config"
"""Folder of configuration, where it comes as files."""
FLAGS = "/flags"
"""Folder of the file with the flags."""
RESERVED = ("POD_NAME", "NAMESPACE", "CROUPIER_VERSION", "CROUPIER_SERVICE")
"""Variables that every container has: what it counts, it counts for its version."""
LIST_KEYS = {"objectives": "signal", "ports": "name"}
"""Lists whose items are told apart by one of their fields; items of the others are told apart by all they are."""
MOST_CONFIG_BYTES = 900_000
"""Kubernetes takes a ConfigMap of 1 MiB, names and labels included."""

Runbook = Annotated[str, StringConstraints(pattern=r"^https?://([^\s{}#]|\{service\}|\{cell\})+$", max_length=500)]

EnvName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=120)]
ConfigText = Annotated[str, StringConstraints(max_length=32_768)]
Pods = Annotated[int, Field(ge=0, le=1000)] | Annotated[str, StringConstraints(pattern=r"^(100|[1-9]?[0-9])%$")]
SecretKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}$")]


Journey = Literal["deposits", "logins"]
"""What players do in a service that is promised by itself (S1.5, S1.6)."""


class NamedPort(Value):
    """A port of the container. The one called ``http`` serves requests, probes and, by default, metrics. Others are for
    callers in the cell, where croupier does not release."""

    name: PortName
    port: Port


class Probes(Value):
    """How a pod is asked whether it is well. Whether it is ready is asked at ``readinessPath``."""

    liveness_path: Path = "/healthz"
    """Answers as long as a restart would not help; asks nobody else."""
    warm_up_path: Path | None = None
    """Answers once caches are filled and code is compiled: before, nothing else is asked, so no player comes (S13.3).
    None: the start ends with the first answer at ``livenessPath``."""
    warm_up_command: Annotated[tuple[str, ...], Field(max_length=32)] = ()
    """A command in the container instead, which ends with 0 once it is warm."""
    period_seconds: Annotated[int, Field(ge=1, le=60)] = 5
    timeout_seconds: Annotated[int, Field(ge=1, le=30)] = 2
    failure_threshold: Annotated[int, Field(ge=1, le=20)] = 3

    @model_validator(mode="after")
    def _warm_up_is_asked_one_way(self) -> Self:
        if self.warm_up_path is not None and self.warm_up_command:
            raise PydanticCustomError("probes", "warmUpPath and warmUpCommand: give one")
        return self


class Rollout(Value):
    """How pods are replaced where Deployments roll by themselves (S4.2): whole pods, or a share like ``25%``."""

    max_surge: Pods = "25%"
    """How many more there may be meanwhile."""
    max_unavailable: Pods = 0
    """How many may be missing meanwhile."""

    @model_validator(mode="after")
    def _something_moves(self) -> Self:
        if self.max_surge in (0, "0%") and self.max_unavailable in (0, "0%"):
            raise PydanticCustomError(
                "rollout", "maxSurge and maxUnavailable are both nothing: no pod could be replaced"
            )
        return self


class PodMetric(Value):
    """A metric of the service's own, as the adapter of application metrics names it, to be kept at an average a pod."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_:]*$")]
    average: Annotated[float, Field(ge=0.001, le=1e12)]


class Scaling(Value):
    """How many pods there are when load moves (S6). None of a service: always ``replicas``."""

    min: Annotated[int, Field(ge=0, le=64)]
    """0, and requests wait for the first pod, is of ``trigger: {kind: http}`` only."""
    max: Annotated[int, Field(ge=1, le=1000)]
    metric: PodMetric | None = None
    """None: the trigger decides, or, of batch work, CPU alone."""
    trigger: Trigger | None = None
    """A queue, or what counts requests, asked by KEDA (S6.2), which is for regions that croupier does not release in:
    its operator copies scalers for each version, and a queue is read by all versions together."""
    cpu_percent: Annotated[int, Field(ge=10, le=95)] | None = None
    """Of the request. None: not by CPU, or 70 where no metric is given either."""
    down_seconds: Annotated[int, Field(ge=0, le=3600)] = 300
    """How long load must be lower before pods are taken away."""

    @model_validator(mode="after")
    def _max_holds_min(self) -> Self:
        if self.max < self.min:
            raise PydanticCustomError("scaling", f"max {self.max} is below min {self.min}")
        if self.min == 0 and not isinstance(self.trigger, Http):
            message = "min 0 needs trigger: {kind: http}: nobody else holds a request until there is a pod"
            raise PydanticCustomError("scaling", message, {"at": "min"})
        if self.min == 0 and isinstance(self.trigger, Http) and self.trigger.cold_start_seconds is None:
            message = "min 0 needs trigger.coldStartSeconds: how long requests wait for the first pod"
            raise PydanticCustomError("scaling", message, {"at": "min"})
        if self.trigger is not None and self.metric is not None:
            raise PydanticCustomError("scaling", "metric and trigger: one scaler would follow one, another the other")
        return self


class SecretRef(Value):
    """Keys of a Kubernetes Secret, mounted as files below ``/secrets/<name>/``; never environment (S5.4)."""

    secret: Name
    keys: Annotated[tuple[SecretKey, ...], Field(min_length=1)]
    remote: Annotated[str, StringConstraints(pattern=r"^[^\s{}]{1,500}$")] | None = None
    """Where it is in the secret store of the region, like ``casino/psp-a``. None: somebody else makes the Secret."""
    refresh_seconds: Annotated[int, Field(ge=30, le=86_400)] = 3600
    """How often ``remote`` is read: after a rotation the files below ``/secrets`` change by themselves."""
    rotate_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    """How old a value may get before the manager, or whoever answers for it, replaces it (S5.5). The money tier needs
    it. None: nobody says."""
    kms_key: KmsKey | None = None
    """The key of the key management service that it is encrypted with in the manager. None: the manager's own."""
    key_region: Name | None = None
    """Where ``kmsKey`` is. None: in the region of the cell."""
    version: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,46}[a-z0-9])?$")] | None = None
    """For a program that reads it at its start only: this version of ``remote`` is mounted. Another is another version
    of the service, released behind its gates. None: always the newest, and the program reads the files again."""

    sidecar: bool = False
    """An agent beside the program brings it from ``remote`` (S10.8): no Secret is made. The region needs
    ``secretsAgent``."""

    @model_validator(mode="after")
    def _parts_are_of_something(self) -> Self:
        if self.sidecar and self.remote is None:
            raise PydanticCustomError("secret", "sidecar needs remote: where the agent reads it")
        if self.sidecar and self.version is not None:
            raise PydanticCustomError("secret", "sidecar brings the newest version only; leave version out")
        if self.version is not None and self.remote is None:
            raise PydanticCustomError("secret", "version needs remote: where it is a version")
        if self.key_region is not None and self.kms_key is None:
            raise PydanticCustomError("secret", "keyRegion needs kmsKey")
        return self

    @property
    def mounted(self) -> str:
        """Name of the Secret in the cluster: of each version another, so that no pod starts with an old value."""
        return self.secret if self.version is None else f"{self.secret}-{self.version}"


class Volume(Value):
    """A disk of each pod's own, that outlives it: what a pod keeps there, no other pod has."""

    path: Path
    """Where it is mounted."""
    size: Memory
    """Of each pod's, like ``10Gi``. Kubernetes lets nobody change it here: it is grown by hand, in the claims."""
    storage: Name
    """StorageClass; one of ``stores.storage`` where the region has ``stores``."""


class Telemetry(Value):
    """Where logs and traces of a service go, and what is taken out of them before."""

    logs: Name | None = None
    """Region. None: the region of the cell."""
    traces: Name | None = None
    """Region. None: the region of the cell."""
    redact: tuple[str, ...] = ()
    """Fields taken out before anything leaves the cell's region."""


class Logging(Value):
    """How each pod writes logs (S9.5), told by environment: what it writes is the program's own work."""

    format: Literal["json", "text"] = "json"
    """``LOG_FORMAT``. JSON lines are what log pipelines find ``trace_id`` and other fields in."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """``LOG_LEVEL``."""


class Metrics(Value):
    """What each pod exposes to be counted (S9.3)."""

    latency_buckets: Annotated[tuple[float, ...], Field(min_length=1, max_length=20)] = LATENCY_EDGES
    """Upper edges, in seconds, of ``http_request_duration_seconds`` that are kept; others are dropped at the scrape. A
    latency objective needs an edge at its bound."""
    series_per_pod: Annotated[int, Field(ge=20, le=100_000)] = 500
    """Most series a pod may expose. A page with more is refused as a whole, and somebody is called."""

    @field_validator("latency_buckets")
    @classmethod
    def _edges_rise(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        for at, (edge, before) in enumerate(zip(edges, (0.0, *edges), strict=False)):
            if not before < edge <= 3600:
                raise PydanticCustomError("edges", f"{edge:g} must be above {before:g}, at most 3600", {"at": at})
        return edges


class Alerts(Value):
    """Who is called when an objective is missed, and what they open first (S15.7, S15.9)."""

    team: Name
    """Label ``team`` of every alert: on-call schedules go by it."""
    runbook: Runbook
    """Address of the page to open; ``{service}`` and ``{cell}`` in it are replaced. The alert's name follows as an
    anchor, like ``#error-budget-burns-fast``."""
    minimum_failures: Annotated[int, Field(ge=1, le=1_000_000)] = 5
    """Fewer failures than these in the long window call nobody: one failure of ten is no outage."""
    busy_events: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """A quarter of an hour is busy if yesterday and a week ago it had so many; a tenth of that, or nothing, calls."""


class People(Value):
    """The team of a service: what it may do in the cells where the service runs, beside those whom the brand names
    (S1.3). Access rights of Kubernetes do not tell releases of one service from those of another in its namespace."""

    readers: Groups = ()
    """Groups that may look at the cell; never at Secrets."""
    releasers: Groups = ()
    """Groups that may also pause, promote and abort releases there."""


class ReleaseSettings(Value):
    """How a new version of the service is released; fields as in a ReleasePolicy."""

    strategy: Strategy = Strategy()
    gates: Gates = ()
    """Empty: the default gates of the service's tier and objectives."""
    metrics: MetricsSource = MetricsSource()


class ServiceSpec(Service):
    """A service as one cell runs it, complete."""

    layer: Layer
    """Where it stands between players and storage (S2.1)."""
    journeys: Annotated[tuple[Journey, ...], Field(max_length=2)] = ()
    """What players do here: of each there is an objective, also where nobody gives one. Said where it is declared."""
    image: Image
    """``registry/name@sha256:…``; a tag is refused (S3.7, S3.8)."""
    args: tuple[str, ...] = ()
    ports: Annotated[tuple[NamedPort, ...], Field(min_length=1, max_length=8)] = (NamedPort(name="http", port=8080),)
    probes: Probes = Probes()
    start_seconds: Annotated[int, Field(ge=1, le=1800)] = 30
    """Longest time from the start of a pod to its first answer, or until it is warm."""
    edge: Edge = Edge()
    """What the gateway does for it, where players reach it."""
    calls: Calls | None = None
    """How callers in its cell reach it. None: in time, and never twice, where the mesh of its region has sidecars;
    elsewhere nobody stands between them."""
    resources: Resources
    scaling: Scaling | None = None
    pool: Name | None = None
    """Node pool of its region (S2.3). None: the one that serves its ``traffic``."""
    egress: tuple[Name, ...] = ()
    """Providers it may call; nothing else outside is reachable (S8.9)."""
    config: Annotated[dict[EnvName, ConfigText], Field(default_factory=dict)]
    """What the container is told. A change is a new version, released like code (S12.3)."""
    config_as: Literal["environment", "files"] = "environment"
    """Of ``config``: variables, or files of these names below ``/config`` and no variables at all (S10.7)."""
    flags: Annotated[dict[FlagName, Flag], Field(default_factory=dict, max_length=200)]
    """Switches, in ``/flags/flags.json``, which it reads again when that changes: no version, and no gate (S12.1)."""
    secrets: Annotated[dict[Name, SecretRef], Field(default_factory=dict)]
    data: Annotated[dict[Name, DataUse], Field(default_factory=dict)]
    """Where it keeps players' data, by a name of your own."""
    volumes: Annotated[dict[Name, Volume], Field(default_factory=dict, max_length=8)]
    """Disks of its pods by name: it becomes a StatefulSet. Not where croupier releases, whose versions run beside each
    other, each with pods of its own."""
    telemetry: Telemetry = Telemetry()
    logging: Logging | None = None
    """Beside it pods are told what to call themselves in each line: ``OTEL_SERVICE_NAME`` and brand, market, region,
    cell and version in ``OTEL_RESOURCE_ATTRIBUTES``. None: nothing is told of logs."""
    metrics: Metrics = Metrics()
    people: People | None = None
    """None: nobody but those whom the brand names."""
    alerts: Alerts | None = None
    """Needed where its region has a ``prometheus`` and it has objectives."""
    user: Annotated[int, Field(ge=1, le=2_147_483_647)] = 65_532
    """Number of the user the container runs as; never 0 (S3.10)."""
    writable: tuple[Path, ...] = ("/tmp",)
    """Folders it may write to; the rest of the image is read-only (S3.9)."""
    release: ReleaseSettings = ReleaseSettings()
    rollout: Rollout | None = None
    """None: a quarter more pods, none missing. Not where croupier releases, nor with ``volumes``."""

    @property
    def variables(self) -> Mapping[str, str]:
        """What of ``config`` is in the environment of its container."""
        return self.config if self.config_as == "environment" else {}

    @property
    def port(self) -> int:
        """The port called ``http``."""
        return next(each.port for each in self.ports if each.name == "http")

    @property
    def spare_ports(self) -> tuple[NamedPort, ...]:
        """Ports beside those that players, probes and who reads counters come to."""
        pods, tls = self.release.metrics.pods, self.edge.backend_tls
        named, numbers = {"http", *([tls.port] if tls else [])}, {pods.port} if pods else set()
        return tuple(each for each in self.ports if each.name not in named and each.port not in numbers)

    @property
    def is_reached(self) -> bool:
        """Whether players come to it."""
        return bool(self.routes) and not self.internal

    @property
    def intercepted(self) -> Http | None:
        """How its requests are counted on their way; None: nobody stands between the gateway and its pods."""
        trigger = self.scaling.trigger if self.scaling is not None else None
        return trigger if isinstance(trigger, Http) else None

    @property
    def sticky(self) -> Sticky | None:
        """How players come back to the same pod; None: they need not."""
        wanted = self.edge.sticky or (Sticky() if self.traffic == "websocket" else None)
        return wanted if wanted is not None and wanted.by != "nothing" and self.is_reached else None

    @property
    def breaker(self) -> RouteBreaker | None:
        """What gateways that can are told to let through; None: what they do by themselves, which is 1,024."""
        if self.edge.breaker is None and self.traffic == "websocket" and self.sockets is not None:
            return RouteBreaker(per_pod=self.sockets)
        return self.edge.breaker

    @property
    def most_pods(self) -> int:
        """Of one version."""
        return self.scaling.max if self.scaling is not None else self.replicas

    @field_validator("ports")
    @classmethod
    def _ports_are_told_apart(cls, ports: tuple[NamedPort, ...]) -> tuple[NamedPort, ...]:
        if len({each.name for each in ports}) < len(ports):
            raise PydanticCustomError("ports", "two ports have the same name")
        if len({each.port for each in ports}) < len(ports):
            raise PydanticCustomError("ports", "two ports have the same number")
        if all(each.name != "http" for each in ports):
            raise PydanticCustomError("ports", "one port must be called http")
        return ports

    @field_validator("writable")
    @classmethod
    def _folders_do_not_cover_others(cls, writable: tuple[str, ...]) -> tuple[str, ...]:
        seen: set[str] = set()
        for at, path in enumerate(writable):
            if ":" in path or {"", ".", ".."} & set(path.rstrip("/").split("/")[1:]):
                raise PydanticCustomError("writable", f"{path} is not a plain path", {"at": at})
            if path.rstrip("/") in ("", SECRETS, FLAGS, *seen) or path.startswith((f"{SECRETS}/", f"{FLAGS}/")):
                raise PydanticCustomError("writable", f"{path} would cover what is there", {"at": at})
            seen.add(path.rstrip("/"))
        return writable

    @field_validator("volumes")
    @classmethod
    def _disks_do_not_cover_others(cls, volumes: dict[str, Volume]) -> dict[str, Volume]:
        seen: set[str] = set()
        for name, each in volumes.items():
            path = each.path.rstrip("/")
            if path in ("", SECRETS, *seen) or path.startswith(f"{SECRETS}/"):
                raise PydanticCustomError("volumes", f"{each.path} would cover what is there", {"at": name})
            seen.add(path)
        return volumes

    @model_validator(mode="after")
    def _a_folder_is_one_thing(self) -> Self:
        for each in self.volumes.values():
            if each.path.rstrip("/") in (path.rstrip("/") for path in self.writable):
                raise PydanticCustomError("volumes", f"{each.path} is a volume, and writable, too")
        return self

    @model_validator(mode="after")
    def _configuration_is_not_covered(self) -> Self:
        for path in (*self.writable, *(each.path for each in self.volumes.values())):
            if self.config_as == "files" and (path.rstrip("/") == CONFIG or path.startswith(f"{CONFIG}/")):
                message = f"{path} would cover the files of config"
                raise PydanticCustomError("config", message, {"at": "configAs"})
        return self

    @field_validator("config")
    @classmethod
    def _config_fits(cls, config: dict[str, str]) -> dict[str, str]:
        for name in RESERVED:
            if name in config:
                raise PydanticCustomError("config", f"{name} is given by croupier", {"at": name})
        if sum(len(name) + len(text.encode()) for name, text in config.items()) > MOST_CONFIG_BYTES:
            raise PydanticCustomError("config", f"configuration is larger than {MOST_CONFIG_BYTES} bytes")
        return config
