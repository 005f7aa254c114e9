"""When somebody is called about a Redis that is rendered (S9.3, S15.7): nobody takes writes, or data may be lost.

The counters are redis_exporter's; where the region names none, nobody is called.
"""

from __future__ import annotations

from collections.abc import Iterator

from croupier.core.render.names import APP
from croupier.core.render.store_watch import POOL_USED, Alert, group
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.redis import Redis
from croupier.model.slo import Severity
from croupier.model.store import Store, is_redis, stores_of

COPIED = (APP, "redis-role")
"""Labels of its pods that their series bear."""
_LABEL = "app_kubernetes_io_name"
_LASTING = "2m"
_FULL = 0.9
"""Share of what there is at most, at which somebody looks."""
_AGREEING = 2
"""Sentinels of three that have to agree."""


def redis_rules(placed: PlacedCell) -> list[JsonObject]:
    """Of every Redis of ``placed``, for a Prometheus that reads files."""
    return [group for store in stores_of(placed) if is_redis(store) for group in store_rules(placed, store)]


def store_rules(placed: PlacedCell, store: Store[Redis]) -> list[JsonObject]:
    """One group; nothing where nobody is to be called, or nobody counts."""
    stands = placed.region.stores
    if stands is None or stands.redis is None or stands.redis.exporter is None:
        return []
    which = f'{{namespace="{placed.cell.data_namespace}",{_LABEL}="{store.name}"}}'
    used = f"max(redis_connected_clients{which}) / {store.engine.max_clients(store.users.values())}"
    return group(placed, store, _alerts(placed, store), _LASTING, [(POOL_USED, used)])


def _alerts(placed: PlacedCell, store: Store[Redis]) -> Iterator[Alert]:
    redis, owner, where = store.engine, store.owner, f"of {store.name} in {placed.cell.name}"
    which = f'namespace="{placed.cell.data_namespace}",{_LABEL}="{store.name}"'
    urgent: Severity = "ticket" if redis.is_cache else "page"
    yield Alert(
        "RedisPrimaryMissing",
        "page",
        f'(count(redis_instance_info{{{which},role="master"}}) or 0 * count(redis_instance_info{{{which}}}))'
        f" < {redis.primaries}",
        f"A primary {where} is missing",
        f"{{{{ $value }}}} of {redis.primaries} take writes.",
        owner,
    )
    copies = redis.primaries * (redis.instances - 1)
    yield Alert(
        "RedisCopiesMissing",
        urgent,
        f"sum(redis_connected_slaves{{{which}}}) < {copies}",
        f"Copies {where} are missing",
        f"{{{{ $value }}}} of {copies} follow. Of data, a primary that none follows takes no writes.",
        owner,
    )
    if redis.mode == "cluster":
        yield Alert(
            "RedisSlotsMissing",
            "page",
            f"min(redis_cluster_state{{{which}}}) == 0",
            f"A shard {where} is gone",
            "Keys of it can be neither written nor read.",
            owner,
        )
    else:
        yield Alert(
            "RedisFailoverImpossible",
            "page",
            f"max(redis_sentinel_master_ok_sentinels{{{which}}}) < {_AGREEING}",
            f"Too few sentinels {where} agree",
            "{{ $value }} are there: with the primary gone, none would take its place.",
            owner,
        )
    if not redis.is_cache:
        yield Alert(
            "RedisMemoryFull",
            "page",
            f"max(redis_memory_used_bytes{{{which}}} / (redis_memory_max_bytes{{{which}}} > 0)) > {_FULL:g}",
            f"Memory {where} is nearly full",
            "{{ $value | humanizePercentage }} are used. Nothing goes by itself: writes fail then.",
            owner,
        )
        yield Alert(
            "RedisLogFailing",
            "page",
            f"min(redis_aof_last_write_status{{{which}}}) == 0",
            f"The log {where} cannot be written",
            "What is written now is lost with its machine.",
            owner,
        )
    most = int(redis.max_clients(store.users.values()) * _FULL)
    yield Alert(
        "RedisConnectionsFull",
        "ticket",
        f"max(redis_connected_clients{{{which}}}) > {most}",
        f"Connections {where} are nearly used up",
        f"{{{{ $value }}}} are open; {redis.max_clients(store.users.values())} may be.",
        owner,
    )
    yield Alert(
        "RedisCountersMissing",
        "ticket",
        f"absent(redis_up{{{which}}})",
        f"Nobody counts what becomes {where}",
        "Its exporters are not scraped: no alert on it can tell anything.",
        owner,
    )
