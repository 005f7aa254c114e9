"""When somebody is called about a MySQL that is rendered (S9.3, S15.7): nobody takes writes, or they are not kept.

What nodes count mysqld_exporter says; where the region names none, nobody is called about them. How far the binary log
is kept, says what brings it away.
"""

from __future__ import annotations

from collections.abc import Iterator

from croupier.core.render.mysql_parts import COMPONENT, INSTANCE
from croupier.core.render.store_watch import Alert, group
from croupier.model.mysql import Mysql
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.slo import Severity
from croupier.model.store import Store, is_mysql, stores_of

COPIED = (INSTANCE, COMPONENT)
"""Labels of its pods that their series bear."""
_LABEL = "app_kubernetes_io_instance"
_LASTING = "2m"
_FULL = 0.9
"""Share of what there is at most, at which somebody looks."""
_PAUSED = 0.1
"""Share of the time for which writes waited for the slowest node."""


def mysql_rules(placed: PlacedCell) -> list[JsonObject]:
    """Of every MySQL of ``placed``, for a Prometheus that reads files."""
    return [group for store in stores_of(placed) if is_mysql(store) for group in store_rules(placed, store)]


def store_rules(placed: PlacedCell, store: Store[Mysql]) -> list[JsonObject]:
    """One group; nothing where nobody is to be called."""
    stands = placed.region.stores
    is_counted = stands is not None and stands.mysql is not None and stands.mysql.exporter is not None
    every = [*(_of_nodes(placed, store) if is_counted else ()), *_of_log(placed, store)]
    return group(placed, store, every, _LASTING)


def _of_nodes(placed: PlacedCell, store: Store[Mysql]) -> Iterator[Alert]:
    mysql, owner, which, where = store.engine, store.owner, _which(placed, store), _where(placed, store)
    urgent: Severity = "page" if owner.tier == "money" else "ticket"
    yield Alert(
        "MysqlWritesRefused",
        "page",
        f"max(mysql_global_status_wsrep_ready{which}) < 1",
        f"No node {where} takes writes",
        "None is in a group that has a majority. Bring nodes back; a group without one is never written to.",
        owner,
    )
    yield Alert(
        "MysqlNodesMissing",
        urgent,
        f"sum(mysql_global_status_wsrep_ready{which}) < {mysql.instances}",
        f"Nodes {where} are missing",
        f"{{{{ $value }}}} of {mysql.instances} are in the group: with less than a majority nothing is written.",
        owner,
    )
    yield Alert(
        "MysqlWritesWait",
        "ticket",
        f"max(rate(mysql_global_status_wsrep_flow_control_paused_ns{which}[5m])) / 1e9 > {_PAUSED:g}",
        f"Writes {where} wait for the slowest node",
        "{{ $value | humanizePercentage }} of the time. It applies changes later than others make them.",
        owner,
    )
    most = mysql.max_connections(store.users.values())
    yield Alert(
        "MysqlConnectionsFull",
        "ticket",
        f"max(mysql_global_status_threads_connected{which}) > {int(most * _FULL)}",
        f"Connections {where} are nearly used up",
        f"{{{{ $value }}}} are open; {most} may be.",
        owner,
    )
    yield Alert(
        "MysqlCountersMissing",
        "ticket",
        f"absent(mysql_up{which})",
        f"Nobody counts what becomes {where}",
        "Its exporters are not scraped: no alert on its nodes can tell anything.",
        owner,
    )


def _of_log(placed: PlacedCell, store: Store[Mysql]) -> Iterator[Alert]:
    owner, which, where = store.owner, _which(placed, store), _where(placed, store)
    urgent: Severity = "page" if owner.tier == "money" else "ticket"
    most = store.engine.region_rpo_seconds
    yield Alert(
        "MysqlLogNotArchived",
        urgent,
        f"time() - max(pxc_binlog_collector_last_processing_timestamp{which}) > {most}",
        f"The log {where} is not brought to the object store",
        f"{{{{ $value | humanizeDuration }}}} old; what is newer is lost with the region, and {most} s may be.",
        owner,
    )
    yield Alert(
        "MysqlLogHasGap",
        urgent,
        f"max(pxc_binlog_collector_gap_detected_total{which}) > 0",
        f"The log {where} has a gap",
        "No moment after it can be restored from a copy before it: take a whole one now, then restart what collects.",
        owner,
    )
    yield Alert(
        "MysqlLogCountersMissing",
        urgent,
        f"absent(pxc_binlog_collector_last_processing_timestamp{which})",
        f"Nobody says how far the log {where} is kept",
        "What brings it away does not run, or is not scraped.",
        owner,
    )


def _which(placed: PlacedCell, store: Store[Mysql]) -> str:
    return f'{{namespace="{placed.cell.data_namespace}",{_LABEL}="{store.name}"}}'


def _where(placed: PlacedCell, store: Store[Mysql]) -> str:
    return f"of {store.name} in {placed.cell.name}"
