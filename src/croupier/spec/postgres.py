"""What is wrong with a store of PostgreSQL that only PostgreSQL and CloudNativePG know of (S7, S13.6)."""

from __future__ import annotations

from collections.abc import Iterator

from croupier.model.connections import HANDS, RESERVED
from croupier.model.postgres import Postgres
from croupier.model.store import Store, largest_first, pooler_of, role_of
from croupier.spec.load import Flaw, Location

LONGEST_NAME = 40
"""CloudNativePG makes longer names of it."""
_OPERATORS_SECRETS = ("app", "ca", "pull", "replication", "server", "superuser")
"""CloudNativePG makes Secrets of a database whose names end so."""
_RESERVED_ROLES = frozenset(
    {"cnpg_pooler_pgbouncer", "none", "postgres", "public", "streaming_replica", "template0", "template1"}
)
"""Users and databases that PostgreSQL or CloudNativePG has already."""


def made(store: Store[Postgres]) -> Iterator[tuple[str, str]]:
    """Kind and name of what is rendered, and of what CloudNativePG makes, where names of stores can meet."""
    yield from (("NetworkPolicy", name) for name in (store.name, pooler_of(store)) if name is not None)
    yield "ServiceAccount", store.name
    yield from (("Service", f"{store.name}-{end}") for end in ("r", "ro", "rw"))
    if pooler := pooler_of(store):
        yield "Service", pooler
    yield "ObjectStore", store.name
    if store.use.dr_backup is not None:
        yield "ObjectStore", f"{store.name}-dr"
    yield from (("Secret", f"{store.name}-{each}") for each in _OPERATORS_SECRETS)
    yield from (("Secret", store.secret(each)) for each in store.users)


def flaws(store: Store[Postgres]) -> Iterator[Flaw]:
    """Locations are paths in the service that owns it."""
    yield from (flaw for flaw in (_role_flaw(store), _budget(store)) if flaw is not None)


def use_flaws(store: Store[Postgres], service: str) -> Iterator[Flaw]:
    """None: every user of a database may do the same with it."""
    yield from ()


def _role_flaw(store: Store[Postgres]) -> Flaw | None:
    """Users of one database are told apart, and none is PostgreSQL's or the operator's own."""
    at = ("data", store.name, Postgres.KEY, Postgres.DECLARED)
    for name in store.users:
        if name in _OPERATORS_SECRETS:
            message = f"the Secret {store.name}-{name} of service {name} is CloudNativePG's"
            return Flaw(at, "DUPLICATE_NAME", message, "call the service otherwise")
    others = [name for name in store.users if name != store.owner.name]
    if store.name in others:
        message = f"the user of service {store.name} is the owner's, which is called like the store"
        return Flaw(at, "DUPLICATE_NAME", message, "call the store otherwise")
    for name in (store.name, *others):
        if (role := role_of(name)) in _RESERVED_ROLES or role.startswith("pg_"):
            return Flaw(at, "STORE", f"PostgreSQL keeps the name {role} for itself", f"call {name} otherwise")
    return None


def _budget(store: Store[Postgres]) -> Flaw | None:
    """Why who connects does not fit; None: it does."""
    postgres, users = store.engine, store.users.values()
    needed = postgres.max_connections(users)
    if needed <= postgres.most_connections:
        return None
    at: Location = ("data", store.name, "postgres", "mostConnections")
    pooler = postgres.pooler
    if pooler is not None:
        words, hint = f"pooler {pooler.instances} × {pooler.size}", "lower the pooler's size, or raise mostConnections"
    else:
        words = largest_first(store)
        hint = "put a pooler between, lower connections or scaling.max, or raise mostConnections"
    message = f"{words} = {postgres.used(users)} connections; with {RESERVED + HANDS} for operator and people, in tens"
    return Flaw(at, "CONNECTIONS", f"{message}, {needed}; mostConnections is {postgres.most_connections}", hint)
