"""What of a store each engine makes its own way: its objects, what pods are told of it, and where they reach it.

A new engine is a module beside ``postgres.py``, and a line in ``_ENGINES``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from croupier.core.render import kafka, mysql, mysql_watch, postgres, postgres_watch, redis, redis_watch
from croupier.core.render.kafka_watch import COMPONENT, STRIMZI
from croupier.core.render.mysql_parts import COLLECTOR_PORT, EXPORTER
from croupier.core.render.store import Home
from croupier.model.data import Engine
from croupier.model.kafka import Kafka
from croupier.model.mysql import Mysql
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.postgres import Postgres
from croupier.model.redis import Redis
from croupier.model.service_spec import ServiceSpec
from croupier.model.store import Store, role_of, used_by


class _Rendering(NamedTuple):
    made: Callable[[Home, Store[Any]], list[JsonObject]]
    """All that one store is in one region."""
    told: Callable[[Store[Any], str, str], Mapping[str, str]]
    """To a service, in a namespace: end of a variable's name -> its value."""
    reached: Callable[[Store[Any]], Iterable[tuple[Mapping[str, str], Sequence[int]]]]
    """Labels of the pods that its users connect to, and by which ports."""
    copied: Sequence[str]
    """Labels of its pods that their series bear."""
    ports: Sequence[str]
    """Names of the ports by which its pods say what they count."""


_ENGINES: Mapping[type[Engine], _Rendering] = {
    Postgres: _Rendering(
        postgres.database,
        postgres.told,
        postgres.reached,
        (postgres_watch.CLUSTER, postgres_watch.POOLER),
        ("metrics",),
    ),
    Mysql: _Rendering(mysql.database, mysql.told, mysql.reached, mysql_watch.COPIED, (EXPORTER, COLLECTOR_PORT)),
    Redis: _Rendering(redis.database, redis.told, redis.reached, redis_watch.COPIED, (redis.METRICS_PORT,)),
    Kafka: _Rendering(kafka.cluster, kafka.told, kafka.reached, (STRIMZI, COMPONENT), (kafka.METRICS_PORT,)),
}
COPIED: Sequence[str] = tuple(dict.fromkeys(label for each in _ENGINES.values() for label in each.copied))
"""Labels of pods of stores that their series bear."""
PORTS: Sequence[str] = tuple(dict.fromkeys(port for each in _ENGINES.values() for port in each.ports))
"""Names of ports by which pods of stores say what they count."""


def made_of(home: Home, store: Store[Engine]) -> list[JsonObject]:
    """All that one store is in one region."""
    return _ENGINES[type(store.engine)].made(home, store)


def told(placed: PlacedCell, service: ServiceSpec) -> dict[str, str]:
    """What a pod must know to reach its stores; never a password. What its own configuration says stays as it is."""
    said: dict[str, str] = {}
    for store in used_by(placed, service):
        of_store = _ENGINES[type(store.engine)].told(store, service.name, placed.cell.data_namespace)
        said |= {variable(store.name, end): value for end, value in of_store.items()}
    return {name: value for name, value in said.items() if name not in service.variables}


def variable(store: str, end: str) -> str:
    """Name of the variable by which pods are told something of a store: ``LEDGER_HOST``."""
    return f"{role_of(store).upper()}_{end}"


def reached(store: Store[Engine]) -> Iterable[tuple[Mapping[str, str], Sequence[int]]]:
    """Labels of the pods that users of ``store`` connect to, and by which ports."""
    return _ENGINES[type(store.engine)].reached(store)
