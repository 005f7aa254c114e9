"""What is wrong with a store of Redis that only Redis and redis-operator know of (S7.1, S13.6)."""

from __future__ import annotations

from collections.abc import Iterator

from croupier.model.redis import HANDS, Redis
from croupier.model.store import Store, largest_first, role_of
from croupier.spec.load import Flaw

LONGEST_NAME = 40
"""redis-operator makes longer ones of it, and StatefulSets longer ones of those."""
_WORKLOADS = {"sentinel": ("", "-sentinel"), "cluster": ("-leader", "-follower")}
_SERVICES = {"sentinel": ("-master", "-replica"), "cluster": ("-master",)}
_BUDGETS = {"sentinel": ("-replication", "-sentinel"), "cluster": ("-leader", "-follower")}


def made(store: Store[Redis]) -> Iterator[tuple[str, str]]:
    """Kind and name of what is rendered, and of what redis-operator makes, where names of stores can meet."""
    mode, name = store.engine.mode, store.name
    for end in _WORKLOADS[mode]:
        yield "StatefulSet", f"{name}{end}"
        yield from (("Service", f"{name}{end}{of_service}") for of_service in ("", "-headless", "-additional"))
    yield from (("Service", f"{name}{end}") for end in _SERVICES[mode])
    yield from (("PodDisruptionBudget", f"{name}{end}") for end in _BUDGETS[mode])
    yield "NetworkPolicy", name
    yield "ServiceAccount", name
    yield "Secret", f"{name}-users"
    if mode == "sentinel":
        yield "NetworkPolicy", f"{name}-sentinel"


def flaws(store: Store[Redis]) -> Iterator[Flaw]:
    """Locations are paths in the service that owns it."""
    redis, users = store.engine, store.users.values()
    declared = ("data", store.name, Redis.KEY, Redis.DECLARED)
    for name in store.users:
        if name != store.owner.name and role_of(name) == "default":
            message = f"the user {name} is the owner's"
            yield Flaw(declared, "STORE", message, f"call service {name} otherwise")
    if (needed := redis.max_clients(users)) > redis.most_connections:
        message = (
            f"{largest_first(store)} = {redis.used(users)} connections; with {HANDS} for copies and people, {needed}"
        )
        hint = "lower connections or scaling.max, or raise mostConnections"
        at = ("data", store.name, Redis.KEY, "mostConnections")
        yield Flaw(at, "CONNECTIONS", f"{message}; mostConnections is {redis.most_connections}", hint)


def use_flaws(store: Store[Redis], service: str) -> Iterator[Flaw]:
    """Locations are paths in ``service``. Nobody comes without a password: users are told apart by it."""
    if store.shares[service].credentials is None:
        message = f"{service} has no credentials for {store.name}, and Redis asks for some"
        yield Flaw(("data", store.name), "SECRET", message, "credentials: where they are in the secret store")
