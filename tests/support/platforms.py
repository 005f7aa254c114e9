"""Platforms that tests render."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from croupier.core.render.cell import render
from croupier.model.address import Endpoint
from croupier.model.container import Resources
from croupier.model.data import DataUse
from croupier.model.edge import BackendTls, Edge, RateLimit, RouteBreaker, RouteRetries, Sticky
from croupier.model.events import Event, Expected
from croupier.model.flags import Flag
from croupier.model.gateway import Feature, Gateway, Target, able
from croupier.model.gitops import GitOps
from croupier.model.interceptor import HttpAddOn
from croupier.model.kafka import Access, Kafka, Topic
from croupier.model.mesh import Calls, Mesh
from croupier.model.monitoring import Monitoring, OnCall
from croupier.model.mysql import Mysql
from croupier.model.nodes import Node, NodePool, Taint, WarmNodes
from croupier.model.platform import PlacedCell, SecretsAgent, Traces
from croupier.model.postgres import Pooler, Postgres
from croupier.model.providers import Egress, ProviderBreaker, ProviderObjective, SourceNode, Sources
from croupier.model.redis import Redis
from croupier.model.release_policy import Hsts, MetricsSource, PodMetrics
from croupier.model.service_spec import NamedPort, ReleaseSettings, Scaling, ServiceSpec, Volume
from croupier.model.stores import (
    KafkaOperator,
    MysqlOperator,
    ObjectStore,
    PostgresOperator,
    RedisOperator,
    StorageClass,
    Stores,
)
from croupier.spec.cells import Described
from croupier.spec.events import Times, is_in, times_of, warm_of
from croupier.spec.platform import load_described

EXAMPLE = Path(str(files("croupier.cli").joinpath("example")))
"""What ``init`` writes."""
_EXAMPLES = Path(__file__).parents[2] / "examples"
LARGE, REFERENCE = _EXAMPLES / "platform", _EXAMPLES / "reference"


@cache
def described(folder: Path) -> Described:
    """The platform of a folder that stays as it is; read once a process, for nothing that was read can be changed."""
    return load_described(folder)


def example(**of_region: object) -> list[PlacedCell]:
    """The cells of the example; ``of_region``: fields that every region has instead."""
    return [
        placed.model_copy(update={"region": placed.region.model_copy(update=of_region)})
        for placed in described(EXAMPLE).cells
    ]


def manifests(cells: Iterable[PlacedCell]) -> dict[str, str]:
    """What is rendered, without what a Prometheus reads: file -> its text."""
    return {name: text for name, text in render(cells).items() if name.endswith(".yaml")}


_CREDENTIALS = {"secret": "queue", "key": "value"}
TRIGGERS = (
    {"kind": "kafka", "servers": ["kafka.streams:9092"], "topic": "bets", "group": "settlement", "lag": 500}
    | {"credentials": {"password": _CREDENTIALS, "username": _CREDENTIALS}},
    {"kind": "rabbitmq", "queue": "payouts", "length": 20, "credentials": {"host": _CREDENTIALS}},
    {"kind": "redis", "address": "redis.streams:6379", "list": "mails", "length": 100},
    {"kind": "prometheus", "url": "http://prometheus.monitoring:9090", "query": "sum(queued)", "average": 12.5},
)
"""One of each kind of queue."""


def queued() -> list[PlacedCell]:
    """The cells of the example where croupier does not release, each service scaled by another queue."""
    triggers = itertools.cycle(TRIGGERS)

    def scaled(service: ServiceSpec) -> ServiceSpec:
        scaling = Scaling.model_validate_json(json.dumps({"min": 2, "max": 9, "trigger": next(triggers)}))
        return service.model_copy(update={"scaling": scaling})

    return [
        placed.model_copy(update={"services": tuple(map(scaled, placed.services))})
        for placed in example(released_by="kubernetes")
    ]


def intercepted(target: Target = "gatewayApi") -> list[PlacedCell]:
    """The cells of the example where croupier does not release and KEDA's HTTP add-on counts who comes to the lobby:
    from no pod on, and another service answers while there is none."""
    http = {"kind": "http", "requestRate": 50, "coldStartSeconds": 40, "fallback": "sorry"}
    scaling = Scaling.model_validate_json(json.dumps({"min": 0, "max": 9, "trigger": http}))
    gateway = Gateway(name="web", namespace="gateway", target=target)
    made = []
    for placed in example(released_by="kubernetes", http_add_on=HttpAddOn(), gateway=gateway):
        lobby = next(each for each in placed.services if each.name == "lobby")
        plain = {"name": "sorry", "routes": (), "depends_on": (), "objectives": (), "data": {}, "scaling": None}
        others = [each for each in placed.services if each is not lobby]
        services = (lobby.model_copy(update={"scaling": scaling}), *others, lobby.model_copy(update=plain))
        made.append(placed.model_copy(update={"services": services}))
    return made


def kept(**of_region: object) -> list[PlacedCell]:
    """The cells of the example with their Secrets in a store, or with ``of_region``."""

    def held(service: ServiceSpec) -> ServiceSpec:
        secrets = {
            name: reference.model_copy(update={"remote": f"casino/{reference.secret}"})
            for name, reference in service.secrets.items()
        }
        return service.model_copy(update={"secrets": secrets})

    return [
        placed.model_copy(update={"services": tuple(map(held, placed.services))})
        for placed in example(**(of_region or {"secret_store": "vault"}))
    ]


def agented() -> list[PlacedCell]:
    """The cells of the example where croupier does not release and an agent beside each program brings its secrets."""

    def beside(service: ServiceSpec) -> ServiceSpec:
        secrets = {name: each.model_copy(update={"sidecar": True}) for name, each in service.secrets.items()}
        return service.model_copy(update={"secrets": secrets})

    return [
        placed.model_copy(update={"services": tuple(map(beside, placed.services))})
        for placed in kept(secrets_agent=SecretsAgent(role="casino"), released_by="kubernetes")
    ]


POSTGRES = f"registry.example/postgresql:17.6@sha256:{64 * 'd'}"


MONEY_NODES = NodePool(labels={"pool": "money"}, taints=(Taint(key="pool", value="money"),))


def stands(region: str, **changes: object) -> Stores:
    """What stores of a region stand on."""
    held = {
        "api_servers": ("10.0.0.1/32",),
        "postgres": PostgresOperator(image=POSTGRES),
        "object_store": ObjectStore(bucket=f"s3://{region}", credentials="casino/object-store"),
        "kms_key": f"key-of-{region}",
        "storage": {
            "money": StorageClass(purpose="local", provisioner="local.csi.example", pool="money"),
            "plain": StorageClass(purpose="replicated"),
        },
    }
    return Stores(**{**held, **changes})


def database(**changes: object) -> Postgres:
    resources = Resources(cpu="2", memory="8Gi")
    return Postgres(**{"storage": "money", "size": "100Gi", "resources": resources, **changes})


def stored(postgres: Postgres | None = None, **of_use: object) -> list[PlacedCell]:
    """The cells of the example with the wallet's ledger rendered, which lobby shares. Where the market lets it be
    elsewhere, it has a copy there; ``of_use``: fields of the ledger instead."""
    made = []
    held = postgres or database(wal_size="20Gi", pooler=Pooler(size=40))
    for placed in example(secret_store="vault"):
        regions = {
            name: placed.region.model_copy(update={"stores": stands(name), "pools": {"money": MONEY_NODES}})
            for name in ("eu-north", "eu-south")
        }
        services = []
        for service in placed.services:
            data = dict(service.data)
            if service.name == "wallet":
                ledger = {"namespace": None, "postgres": held, "credentials": "casino/ledger", **of_use}
                data["ledger"] = data["ledger"].model_copy(update=ledger)
            elif service.name == "lobby":
                shared = {"classes": ("wallet-ledger",), "of": "wallet", "credentials": "casino/lobby"}
                data["ledger"] = DataUse(**shared, connections=5)
            services.append(service.model_copy(update={"data": data}))
        here = placed.cell.region
        elsewhere = {name: each for name, each in regions.items() if name != here}
        of_cell = {"services": tuple(services), "region": regions[here], "elsewhere": elsewhere}
        made.append(placed.model_copy(update=of_cell))
    return made


def traced() -> list[PlacedCell]:
    """The cells of the example with collectors in every region."""
    endpoint = Endpoint(host="traces.example.net", port=4317)
    image = f"registry.example/collector@sha256:{64 * 'c'}"
    return [
        placed.model_copy(update={"traces_kept": {placed.cell.region: endpoint}})
        for placed in example(traces=Traces(image=image, endpoint=endpoint))
    ]


def gated(**of_provider: object) -> list[PlacedCell]:
    """The cells of the example with egress gateways in every region; ``of_provider``: fields that every one has."""
    return [
        placed.model_copy(
            update={"providers": {name: each.model_copy(update=of_provider) for name, each in placed.providers.items()}}
        )
        for placed in example(egress=Egress(image=f"registry.example/envoy@sha256:{64 * 'e'}"))
    ]


def eventful(cells: Iterable[PlacedCell]) -> list[PlacedCell]:
    """``cells``, with a match in Sweden that asks for nine pods of lobby."""
    event = Event(
        title="Final",
        starts="2030-07-14T18:00",
        zone="Europe/Stockholm",
        lasts_minutes=120,
        markets=("se",),
        services={"lobby": Expected(pods=9)},
    )
    times = times_of(event)
    assert isinstance(times, Times)
    made = []
    for placed in cells:
        lobby = next(each for each in placed.services if each.name == "lobby")
        warm = warm_of("final", event, times, lobby) if is_in(event, placed.cell) else None
        here = {"events": {"final": event}, "warm": (warm,)} if warm is not None else {}
        made.append(placed.model_copy(update=here))
    return made


def watched() -> list[PlacedCell]:
    """The cells of the example with all that a Prometheus operator is told of a region, and by which addresses calls to
    providers leave."""
    called = OnCall(team="platform", runbook="https://runbooks.example")
    nodes = tuple(SourceNode(address=f"203.0.113.{each}", labels={"egress": str(each)}) for each in (8, 9))
    endpoint = Endpoint(host="traces.example.net", port=4317)
    region = {
        "monitoring_namespace": "monitoring",
        "prometheus": Monitoring(form="operator", labels={"prometheus": "platform"}),
        "traces": Traces(image=f"registry.example/collector@sha256:{64 * 'c'}", endpoint=endpoint, alerts=called),
        "egress": Egress(
            image=f"registry.example/envoy@sha256:{64 * 'e'}",
            sources=Sources(addresses=("203.0.113.8/31",), cilium=nodes),
            alerts=called,
        ),
    }
    promised = {
        "objectives": (ProviderObjective(signal="connections", success_ratio=0.99),),
        "alerts": called,
        "breaker": ProviderBreaker(failures=3, eject_seconds=10.0),
    }
    return [
        placed.model_copy(
            update={
                "providers": {name: each.model_copy(update=promised) for name, each in placed.providers.items()},
                "traces_kept": {placed.cell.region: endpoint},
            }
        )
        for placed in example(**region)
    ]


def volumed() -> list[PlacedCell]:
    """The cells of the example where croupier does not release and a recommender runs; pods of lobby have disks."""
    volume = Volume(path="/var/cache/lobby", size="1Gi", storage="plain")
    return [
        placed.model_copy(
            update={
                "services": tuple(
                    each.model_copy(update={"volumes": {"cache": volume}}) if each.name == "lobby" else each
                    for each in placed.services
                )
            }
        )
        for placed in example(released_by="kubernetes", vpa=True)
    ]


def applied(tool: Literal["argocd", "flux"], *, released_by: str = "croupier", **of_gitops: Any) -> list[PlacedCell]:
    """The cells of the example, and who applies them."""
    repository = "https://git.example.net/casino/deployments.git"
    wanted = GitOps(tool=tool, repository=repository, path="clusters", **of_gitops)
    return [placed.model_copy(update={"gitops": wanted}) for placed in example(released_by=released_by)]


def mysql(**changes: object) -> Mysql:
    resources = Resources(cpu="2", memory="8Gi")
    return Mysql(**{"storage": "money", "size": "100Gi", "resources": resources, **changes})


def galera(engine: Mysql | None = None, **of_region: object) -> list[PlacedCell]:
    """The cells of the example with the wallet's ledger in MySQL, which lobby shares."""
    images = {
        name: f"registry.example/{name.replace('_', '-')}@sha256:{digit * 64}"
        for name, digit in zip(
            ("image", "proxy_image", "backup_image", "operator_image", "exporter"), "12345", strict=True
        )
    }
    made = []
    for placed in example(secret_store="vault", **of_region):
        name = placed.cell.region
        bucket = {"bucket": f"s3://{name}/archive", "credentials": "casino/object-store"}
        archive = ObjectStore(**bucket, region="eu-north-1", key=f"key-of-{name}")
        held = stands(name, mysql=MysqlOperator(**images), object_store=archive)
        services = []
        for service in placed.services:
            own = {
                "wallet": DataUse(classes=("wallet-ledger",), mysql=engine or mysql(), credentials="casino/ledger"),
                "lobby": DataUse(classes=("wallet-ledger",), of="wallet", credentials="casino/lobby", connections=5),
            }
            data = {**service.data, **({"ledger": own[service.name]} if service.name in own else {})}
            services.append(service.model_copy(update={"data": data}))
        region = placed.region.model_copy(update={"stores": held, "pools": {"money": MONEY_NODES}})
        made.append(placed.model_copy(update={"services": tuple(services), "region": region}))
    return made


SESSIONS = f"registry.example/redis@sha256:{64 * 'b'}"


def redis(**changes: object) -> Redis:
    resources = Resources(cpu="500m", memory="1Gi")
    return Redis(**{"holds": "cache", "storage": "plain", "size": "10Gi", "resources": resources, **changes})


def remembered(engine: Redis | None = None, **of_region: object) -> list[PlacedCell]:
    """The cells of the example with sessions of lobby in Redis, which payments-api shares."""
    exporter = f"registry.example/redis-exporter@sha256:{64 * 'a'}"
    made = []
    for placed in example(secret_store="vault", **of_region):
        held = stands(placed.cell.region, redis=RedisOperator(image=SESSIONS, exporter=exporter))
        services = []
        for service in placed.services:
            own = {
                "lobby": DataUse(classes=("wallet-ledger",), redis=engine or redis(), credentials="casino/sessions"),
                "payments-api": DataUse(classes=("wallet-ledger",), of="lobby", credentials="casino/payments"),
            }
            data = {**service.data, **({"sessions": own[service.name]} if service.name in own else {})}
            services.append(service.model_copy(update={"data": data}))
        region = placed.region.model_copy(update={"stores": held, "pools": {"money": MONEY_NODES}})
        made.append(placed.model_copy(update={"services": tuple(services), "region": region}))
    return made


EDGE = Edge(
    hsts=Hsts(include_sub_domains=True),
    rate_limit=RateLimit(requests=50),
    retries=RouteRetries(attempts=2, per_try_seconds=2.0, idempotent=True),
    breaker=RouteBreaker(per_pod=200),
    backend_tls=BackendTls(ca="cell-ca"),
    sticky=Sticky(),
)
"""All that a gateway may be asked for a service."""
GATEWAYS: Mapping[Target, Mapping[str, object]] = {
    "gatewayApi": {"class_name": "any", "issuer": "letters", "client_certificate": "gateway-client"},
    "envoyGateway": {"class_name": "envoy", "issuer": "letters", "http3": True},
    "istioGateway": {"class_name": "istio", "issuer": "letters"},
    "istio": {"selector": {"istio": "ingressgateway"}},
    "nginxIngress": {},
}
"""Target -> fields of a gateway that is rendered as far as it can be."""
_FEATURES: Mapping[str, Feature] = {
    "hsts": "edge.hsts",
    "rate_limit": "edge.rateLimit by address",
    "retries": "edge.retries",
    "breaker": "edge.breaker",
    "backend_tls": "edge.backendTls",
    "sticky": "edge.sticky",
}


def fronted(
    target: Target, *, released_by: str | None = None, issuer: str | None = "letters", **of_edge: object
) -> list[PlacedCell]:
    """The cells of the example behind a gateway that does all it can; ``of_edge``: fields that every service has
    instead. ``released_by`` None: croupier, where it can."""
    by = released_by or ("croupier" if target in able("releasedBy: croupier", "croupier") else "kubernetes")
    of_gateway = {**GATEWAYS[target], **({"issuer": issuer} if "issuer" in GATEWAYS[target] else {})}
    name = "nginx" if target == "nginxIngress" else "web"
    gateway = Gateway(name=name, namespace="gateway", target=target, **of_gateway)
    fields: dict[str, object] = {name: None for name, each in _FEATURES.items() if target not in able(each, by)}
    if target == "istio":
        fields["rate_limit"] = RateLimit(requests=50, by="everybody")
    edge = EDGE.model_copy(update={**fields, **of_edge})
    port = NamedPort(name="https", port=8443)
    return [
        placed.model_copy(
            update={
                "services": tuple(
                    each.model_copy(update={"edge": edge, "ports": (*each.ports, port)}) for each in placed.services
                )
            }
        )
        for placed in example(gateway=gateway, released_by=by)
    ]


def meshed(mode: Literal["ambient", "sidecar"], *, released_by: str = "croupier") -> list[PlacedCell]:
    """The cells of the example in a mesh, behind Istio's own gateway where there are sidecars, with egress gateways.
    Counters have a port of their own; the wallet, which lobby asks, is asked again."""
    target: Target = "istioGateway" if mode == "sidecar" else "envoyGateway"
    counted = ReleaseSettings(metrics=MetricsSource(pods=PodMetrics(port=9090)))
    retries = RouteRetries(attempts=1, per_try_seconds=2.0, idempotent=True)
    calls = Calls(timeout_seconds=5.0, retries=retries) if mode == "sidecar" else None
    made = []
    for placed in example(
        mesh=Mesh(mode=mode),
        gateway=Gateway(name="web", namespace="gateway", target=target, **GATEWAYS[target]),
        released_by=released_by,
        egress=Egress(image=f"registry.example/envoy@sha256:{64 * 'e'}"),
    ):
        services = tuple(
            each.model_copy(update={"release": counted, **({"calls": calls} if each.name == "wallet" else {})})
            for each in placed.services
        )
        called = {
            name: each.model_copy(update={"addresses": ("192.0.2.0/28",)}) for name, each in placed.providers.items()
        }
        made.append(placed.model_copy(update={"services": services, "providers": called}))
    return made


def warmed() -> list[PlacedCell]:
    """The cells of the example with two warm nodes of a pool in every region."""
    pool = NodePool(labels={"pool": "api"}, serves=("http",), node=Node(cpu="4", memory="14Gi"), warm_nodes=2)
    return example(pools={"api": pool}, warm=WarmNodes(image=f"registry.example/pause@sha256:{64 * 'f'}"))


def ahead() -> list[PlacedCell]:
    """The same, and nodes for the pods of a match ten minutes before those come."""
    made = []
    for placed in warmed():
        assert placed.region.warm is not None
        warm = placed.region.warm.model_copy(update={"ahead_minutes": 10})
        made.append(placed.model_copy(update={"region": placed.region.model_copy(update={"warm": warm})}))
    return eventful(made)


def flagged() -> list[PlacedCell]:
    """The cells of the example with flags of the lobby."""
    tiles = Flag(variants={"few": 12, "many": 48.5}, default="few", enabled=False)
    flags = {"ticker": Flag(default="on", heavy=True), "tiles": tiles}
    return [
        placed.model_copy(
            update={
                "services": tuple(
                    each.model_copy(update={"flags": flags}) if each.name == "lobby" else each
                    for each in placed.services
                )
            }
        )
        for placed in example()
    ]


def streams(**changes: object) -> Kafka:
    """Kafka with one topic that must not be lost and one that may."""
    topics = {
        "bets.settled": Topic(classes=("wallet-ledger",), partitions=24, partition_size="1Gi"),
        "clicks": Topic(partitions=6, may_be_lost=True, retention_hours=24),
    }
    resources = Resources(cpu="2", memory="8Gi")
    made = {"storage": "money", "size": "200Gi", "resources": resources, "topics": topics, "certificate": "casino/tls"}
    return Kafka(**{**made, **changes})


STRIMZI = KafkaOperator(
    version="4.2.0",
    image=f"registry.example/kafka@sha256:{64 * '1'}",
    operator_image=f"registry.example/operator@sha256:{64 * '2'}",
)


def streamed(kafka: Kafka | None = None, *, scaled: bool = False, **of_region: object) -> list[PlacedCell]:
    """The cells of the example where croupier does not release, with messages of the wallet that the lobby reads.

    ``scaled``: lobby has as many pods as it is behind; ``of_region``: fields that every region has instead.
    """
    held = kafka or streams()
    made = []
    for placed in example(released_by="kubernetes", secret_store="vault", **of_region):
        here = placed.cell.region
        region = placed.region.model_copy(
            update={"stores": stands(here, kafka=STRIMZI), "pools": {"money": MONEY_NODES}}
        )
        services = []
        for service in placed.services:
            changed: dict[str, object] = {}
            if service.name == "wallet":
                access = Access(produces=("bets.settled", "clicks"))
                use = {"classes": ("wallet-ledger",), "kafka": held, "credentials": "casino/events", "access": access}
                changed["data"] = {**service.data, "events": DataUse(**use)}
            elif service.name == "lobby":
                access = Access(consumes=("bets.settled",), consume_rate="20Mi")
                use = {"classes": ("wallet-ledger",), "of": "wallet", "credentials": "casino/lobby", "access": access}
                changed["data"] = {**service.data, "events": DataUse(**use)}
                if scaled:
                    asked = {"kind": "kafka", "store": "events", "topic": "bets.settled", "lag": 500}
                    scaling = {"min": 2, "max": 9, "trigger": asked}
                    changed["scaling"] = Scaling.model_validate_json(json.dumps(scaling))
            services.append(service.model_copy(update=changed))
        made.append(placed.model_copy(update={"services": tuple(services), "region": region}))
    return made
