"""When somebody is called about connections to a PostgreSQL that is rendered (S9.3, S13.6, S13.7): those who come wait,
or are turned away.

Names are those of CloudNativePG's exporters, of instances and of PgBouncer.
"""

from __future__ import annotations

from collections.abc import Iterator

from croupier.core.render.store_watch import POOL_USED, POOL_WAITING, Alert, group
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.postgres import Postgres
from croupier.model.slo import Severity
from croupier.model.store import Store, is_postgres, pooler_of, stores_of

CLUSTER, POOLER = "cnpg.io/cluster", "cnpg.io/poolerName"
"""Labels of pods: their database, or the pooler that they are."""
_LASTING = "5m"
_FULL = 0.9
_LONGEST_SECONDS = 1
"""A request that has waited longer for a connection is late already."""


def postgres_rules(placed: PlacedCell) -> list[JsonObject]:
    """Of every PostgreSQL of ``placed``, for a Prometheus that reads files."""
    return [group for store in stores_of(placed) if is_postgres(store) for group in store_rules(placed, store)]


def store_rules(placed: PlacedCell, store: Store[Postgres]) -> list[JsonObject]:
    """One group; nothing where nobody is to be called."""
    return group(placed, store, _alerts(placed, store), _LASTING, _recorded(placed, store))


def _recorded(placed: PlacedCell, store: Store[Postgres]) -> Iterator[tuple[str, str]]:
    most = store.engine.max_connections(store.users.values())
    used = f"sum by (pod) (cnpg_backends_total{_instances(placed, store)})"
    if (pooler := _pooler(placed, store)) is not None and store.engine.pooler is not None:
        used = f"sum by (pod) (cnpg_pgbouncer_pools_sv_active{pooler})"
        most = store.engine.pooler.size
        yield POOL_WAITING, f"sum(cnpg_pgbouncer_pools_cl_waiting{pooler})"
    yield POOL_USED, f"max({used}) / {most}"


def _alerts(placed: PlacedCell, store: Store[Postgres]) -> Iterator[Alert]:
    owner, where = store.owner, f"of {store.name} in {placed.cell.name}"
    urgent: Severity = "page" if owner.tier == "money" else "ticket"
    which = f'{{cell="{placed.cell.name}",store="{store.name}"}}'
    counters = [f"cnpg_backends_total{_instances(placed, store)}"]
    if (pooler := _pooler(placed, store)) is not None:
        counters.append(f"cnpg_pgbouncer_pools_cl_waiting{pooler}")
        yield Alert(
            "PoolWaits",
            urgent,
            f"max(cnpg_pgbouncer_pools_maxwait{pooler}) > {_LONGEST_SECONDS}",
            f"Clients of the pooler {where} wait for a connection",
            "The first in line for {{ $value | humanizeDuration }}: all connections to the database are busy. Look for "
            "long transactions before you raise pooler.size.",
            owner,
        )
    yield Alert(
        "PostgresConnectionsFull",
        "ticket",
        f"{POOL_USED}{which} > {_FULL:g}",
        f"Connections {where} are nearly used up",
        "{{ $value | humanizePercentage }} of those that may be are busy.",
        owner,
    )
    yield Alert(
        "PostgresCountersMissing",
        "ticket",
        "\nor\n".join(f"absent({each})" for each in counters),
        f"Nobody counts connections {where}",
        "Instances or poolers are not scraped: no alert on them can tell anything.",
        owner,
    )


def _instances(placed: PlacedCell, store: Store[Postgres]) -> str:
    return f'{{namespace="{placed.cell.data_namespace}",cnpg_io_cluster="{store.name}"}}'


def _pooler(placed: PlacedCell, store: Store[Postgres]) -> str | None:
    name = pooler_of(store)
    return f'{{namespace="{placed.cell.data_namespace}",cnpg_io_poolerName="{name}"}}' if name is not None else None
