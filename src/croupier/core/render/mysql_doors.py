"""Who may reach which part of a MySQL that is rendered, and whom that part may reach (S2.4, S8.9).

A backup joins the group of nodes without a vote, and is sent a copy by one of them.
"""

from __future__ import annotations

from croupier.core.render.mysql_parts import (
    COLLECTOR,
    COLLECTOR_METRICS,
    EXPORTER_PORT,
    NODES,
    PROXIES,
    PROXY_METRICS,
    backup_jobs,
    labels_of,
    restores,
)
from croupier.core.render.peers import allowed, door, within
from croupier.core.render.store import NETWORK, Home, buckets, callers, object_stores, watchers
from croupier.model.mysql import MYSQL_PORT, Mysql
from croupier.model.objects import JsonObject
from croupier.model.store import Store

_ADMIN = 33062
"""Where the operator and its scripts log in, however many clients there are."""
_COPY, _GROUP, _CHANGES = 4444, 4567, 4568
"""Where a whole copy is received, the group talks, and what a node missed is received."""


def doors(home: Home, store: Store[Mysql]) -> list[JsonObject]:
    """A policy for each part."""
    operator = home.stands.mysql
    assert operator is not None, "check refuses a region that runs no MySQL"
    first, _ = buckets(home.placed, store.use)
    from_operator, archive = within(operator.namespace), object_stores([first])
    nodes, proxies, collector = (
        {"podSelector": {"matchLabels": labels_of(store.name, part)}} for part in (NODES, PROXIES, COLLECTOR)
    )
    backups, restoring = {"podSelector": backup_jobs(store.name)}, {"podSelector": restores(store.name)}
    to_admin = allowed("to", [nodes], [_ADMIN])
    made = {
        store.name: door(
            nodes["podSelector"],
            [
                allowed("from", [proxies], [MYSQL_PORT]),
                allowed("from", [nodes, proxies, backups, collector, restoring, from_operator], [_ADMIN]),
                allowed("from", [nodes], [_COPY, _CHANGES]),
                allowed("from", [nodes, backups], [_GROUP]),
                *watchers(home, EXPORTER_PORT),
            ],
            [
                allowed("to", [nodes], [_COPY, _GROUP, _CHANGES, _ADMIN]),
                allowed("to", [backups], [_COPY, _GROUP]),
            ],
        ),
        f"{store.name}-{PROXIES}": door(
            proxies["podSelector"],
            [
                allowed("from", [*callers(home.placed, store), from_operator], [MYSQL_PORT]),
                *watchers(home, PROXY_METRICS),
            ],
            [allowed("to", [nodes], [MYSQL_PORT, _ADMIN])],
        ),
        f"{store.name}-{COLLECTOR}": door(
            collector["podSelector"], watchers(home, COLLECTOR_METRICS), [to_admin, *archive]
        ),
        f"{store.name}-backup": door(
            backups["podSelector"],
            [allowed("from", [nodes], [_COPY, _GROUP])],
            [allowed("to", [nodes], [_GROUP, _ADMIN]), *archive],
        ),
        f"{store.name}-restore": door(restoring["podSelector"], [], [to_admin, *archive]),
    }
    return [home.made(store, NETWORK, "NetworkPolicy", name, spec) for name, spec in made.items()]
