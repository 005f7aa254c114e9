"""Connections to databases: what all pods may open at their greatest number, against what the database takes (S16.2,
S13.6).

Which database a pod uses is told by the host in its environment: ``<cluster>-rw``, ``-ro`` or ``-r`` of a CloudNativePG
Cluster, or the name of a Pooler. How many connections a pod opens: the size of its pool, times the processes it starts.
Pods are those at their greatest, those that surge, and those that still drain.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from croupier.core.policy.demand import Peak, called, peak
from croupier.core.policy.objects import Container, Object, Pod, at, items, mapping, text
from croupier.core.policy.quantities import number, whole
from croupier.core.policy.rule import Found, Hit, Level, bundle_rule, pod_rule
from croupier.core.policy.sums import Budget, Part
from croupier.core.policy.world import World
from croupier.model.connections import RESERVED
from croupier.model.objects import JsonObject

DATABASE = re.compile(r"(^|_)(DATABASE|DB|PG|POSTGRES(QL)?|MYSQL|JDBC)(_|$)|(^|_)DSN$|^PGHOST$", re.IGNORECASE)
CONNECTS = re.compile(r"URL$|URI$|DSN$|HOST$|ADDR(ESS)?$|JDBC", re.IGNORECASE)
POOL = re.compile(r"POOL.*(SIZE|MAX|LIMIT)|MAX.*POOL|MAX_?(OPEN_?)?CONN(ECTION)?S?|CONNECTION_LIMIT", re.IGNORECASE)
IN_URL = re.compile(r"[?&](pool_max_conns|connection_limit|maximumPoolSize|pool_size|max_size)=([0-9]+)")
PROCESSES = re.compile(r"^(WEB_CONCURRENCY|WORKERS|PROCESSES|GUNICORN_WORKERS|UWSGI_PROCESSES)$", re.IGNORECASE)
LONGEST_NAME = 256
"""Characters of a variable's name that are looked at: ``POOL`` takes the square of their number."""
DEFAULT_MAX_CONNECTIONS, DEFAULT_POOL, DEFAULT_CLIENTS = 100, 20, 100
APP = "{name: app, image: registry.example/bets, env: [{name: DATABASE_URL, value: 'postgres://db-rw/bets'}%s]}"
CLUSTER = """
---
apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata: {name: db}
spec: {instances: 3, postgresql: {parameters: {max_connections: "200"}}}
"""
BETS = (
    "{apiVersion: apps/v1, kind: Deployment, metadata: {name: bets}, spec: {replicas: %s, template: {spec: "
    "{containers: "
    "[{name: app, env: [{name: DATABASE_URL, value: 'postgres://db-rw/bets'}, {name: DB_POOL_SIZE, value: '10'}]}]}}}}"
)


def _environment(container: Container) -> Iterator[tuple[int, str, str]]:
    """(index, name, value) of variables; the value is "" where it comes from elsewhere."""
    for index, held in items(container.value.get("env")):
        value = held.get("value")
        yield index, text(held.get("name"))[:LONGEST_NAME], value if type(value) is str else ""


def _connects(name: str) -> bool:
    return bool(DATABASE.search(name) and CONNECTS.search(name))


def _pool(container: Container) -> int | None:
    """The size of its pool, where it is written as a number."""
    for _, name, value in _environment(container):
        if POOL.search(name) and (size := number(value)) is not None:
            return size
        if (found := IN_URL.search(value)) and (size := number(found[2])) is not None:
            return size
    return None


@pod_rule(
    "connection-avalanche", "Every pool of database connections has a limit", level=Level.ERROR,
    source="S13.6, S13.7, S16.2",
    why="When the database slows down, pools without a limit open connections until it takes none any more, for "
    "anybody.",
    fix="Set the size of the pool (DB_POOL_SIZE or what the library reads), best in front of a pooler.",
    bad=f"containers: [{APP % ''}]",
    good=f"containers: [{APP % ', {name: DB_POOL_SIZE, value: 10}'}]".replace("10", "'10'"),
)  # fmt: skip
def connection_avalanche(pod: Pod) -> Iterator[Hit]:
    for each in pod.containers:
        variables = list(_environment(each))
        limited = any(POOL.search(name) or IN_URL.search(value) for _, name, value in variables)
        for index, name, _ in variables:
            if _connects(name) and not limited:
                path = (*each.path, "env", index)
                yield Hit(path, f"{each.called} knows a database ({name}) and no limit of its pool")
                break


def part(world: World, pod: Pod) -> Part | None:
    """What the workload of ``pod`` may open, or None where the size of its pool is not written."""
    sizes = [(container, size) for container in pod.main if (size := _pool(container)) is not None]
    if not sizes:
        return None
    most = peak(world, pod.owner) or Peak(world.most_replicas(pod.owner), 0)
    processes = 1
    for container, _ in sizes:
        for _, name, value in _environment(container):
            if PROCESSES.search(name):
                processes = max(processes, number(value) or 1)
    return Part(called(pod.owner), most, sum(size for _, size in sizes), processes)


_Key = tuple[str, str]
"""Namespace and name. A namespace that is not written is whichever one is meant."""


def _uses(pod: Pod, hosts: Mapping[str, Iterable[_Key]]) -> _Key | None:
    """Which of ``hosts``, by the first part of their names, the environment of the pod names."""
    for container in pod.main:
        for _, _, value in _environment(container):
            for found in re.finditer(r"[a-z0-9][a-z0-9.-]*", value):
                name, _, rest = found.group().partition(".")
                namespace = rest.partition(".")[0] or pod.owner.namespace
                for key in hosts.get(name, ()):
                    if not namespace or key[0] in ("", namespace):
                        return key
    return None


@bundle_rule(
    "connection-budget", "All pods together fit into the connections of their database", level=Level.ERROR,
    source="S13.6, S16.2",
    why="At the greatest number of pods, in the middle of the match, the next connection is refused: for every "
    "service.",
    fix="Lower the pools or the greatest number of pods, give them minReadySeconds so that fewer end at once, raise "
    "max_connections, or put a Pooler between.",
    bad=BETS % 30 + CLUSTER, good=BETS % 6 + CLUSTER,
)  # fmt: skip
def connection_budget(world: World) -> Iterator[Found]:
    yield from (each.found for each in connections(world) if not each.fits)


def connections(world: World) -> Iterator[Budget]:
    """Clients of each Pooler, then connections to each Cluster; those of its Poolers are open all the time."""
    poolers = {_key(each): each for each in world.of("Pooler")}
    clusters = [each for each in world.of("Cluster") if each.group == "postgresql.cnpg.io"]
    hosts: dict[str, list[_Key]] = defaultdict(list)
    for each in poolers.values():
        hosts[each.name].append(_key(each))
    ends = {(each.namespace, f"{each.name}-{end}"): each for each in clusters for end in ("rw", "ro", "r")}
    for end in ends:
        hosts[end[1]].append(end)
    parts: dict[tuple[str, _Key], list[Part]] = defaultdict(list)
    unsaid: dict[tuple[str, _Key], list[str]] = defaultdict(list)
    for pod in world.pods if hosts else ():
        named = _uses(pod, hosts)
        if named is None:
            continue
        of = ("pooler", named) if named in poolers else ("cluster", _key(ends[named]))
        asked = part(world, pod)
        if asked is None:
            unsaid[of].append(called(pod.owner))
        else:
            parts[of].append(asked)
    for key, pooler in poolers.items():
        instances = whole(pooler.spec.get("instances")) or 1
        limits = mapping(at(pooler.spec, "pgbouncer", "parameters"))
        clients = instances * _limit(limits, "max_client_conn", DEFAULT_CLIENTS)
        where = "pooler", key
        held = tuple(parts[where]), clients, tuple(unsaid[where])
        yield Budget("connection-budget", "clients", pooler, ("spec", "pgbouncer"), *held)
        to = (pooler.namespace, text(at(pooler.spec, "cluster", "name")))
        size = _limit(limits, "default_pool_size", DEFAULT_POOL)
        parts["cluster", to].append(Part(f"pooler {pooler.name}", Peak(instances, 0), size))
    for cluster in clusters:
        parameters = mapping(at(cluster.spec, "postgresql", "parameters"))
        room = _limit(parameters, "max_connections", DEFAULT_MAX_CONNECTIONS)
        room -= _limit(parameters, "superuser_reserved_connections", RESERVED)
        where = "cluster", _key(cluster)
        path = ("spec", "postgresql", "parameters", "max_connections")
        yield Budget("connection-budget", "connections", cluster, path, tuple(parts[where]), room, tuple(unsaid[where]))


def _key(each: Object) -> _Key:
    return each.namespace, each.name


def _limit(parameters: JsonObject, key: str, otherwise: int) -> int:
    held = number(parameters.get(key))
    return otherwise if held is None else held


RULES = (connection_avalanche, connection_budget)
