"""What only one engine of stores can say is wrong with a store: names that its operator takes, numbers that do not fit.

A new engine is a module beside ``postgres.py``, and a line in ``_ENGINES``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from croupier.model.data import Engine
from croupier.model.kafka import Kafka
from croupier.model.mysql import Mysql
from croupier.model.postgres import Postgres
from croupier.model.redis import Redis
from croupier.model.store import Store
from croupier.spec import kafka, mysql, postgres, redis
from croupier.spec.load import Flaw, Location


class _Rules(NamedTuple):
    longest_name: int
    """Characters of a store's name, from which the operator makes longer ones."""
    made: Callable[[Store[Any]], Iterable[tuple[str, str]]]
    """Kind and name of what is rendered, and of what the operator makes, where names of stores can meet."""
    flaws: Callable[[Store[Any]], Iterable[Flaw]]
    use_flaws: Callable[[Store[Any], str], Iterable[Flaw]]
    """What is wrong with what a service does with it."""


_ENGINES: Mapping[type[Engine], _Rules] = {
    Postgres: _Rules(postgres.LONGEST_NAME, postgres.made, postgres.flaws, postgres.use_flaws),
    Mysql: _Rules(mysql.LONGEST_NAME, mysql.made, mysql.flaws, mysql.use_flaws),
    Redis: _Rules(redis.LONGEST_NAME, redis.made, redis.flaws, redis.use_flaws),
    Kafka: _Rules(kafka.LONGEST_NAME, kafka.made, kafka.flaws, kafka.use_flaws),
}


def declared_at(name: str, engine: Engine) -> Location:
    """Where a rendered store is declared, for what is wrong with all of it: a key that every one has."""
    return ("data", name, engine.KEY, engine.DECLARED)


def longest_name(engine: Engine) -> int:
    return _ENGINES[type(engine)].longest_name


def made_by(store: Store[Engine]) -> Iterable[tuple[str, str]]:
    """Kind and name of the objects in the stores' namespace that could meet those of another store."""
    return _ENGINES[type(store.engine)].made(store)


def flaws_of(store: Store[Engine]) -> Iterable[Flaw]:
    """Locations are paths in the service that owns it."""
    return _ENGINES[type(store.engine)].flaws(store)


def use_flaws_of(store: Store[Engine], service: str) -> Iterable[Flaw]:
    """Locations are paths in ``service``, one of its users."""
    return _ENGINES[type(store.engine)].use_flaws(store, service)
