"""Whether what a service says of its stores can be run: where they stand, who shares them, what they take (S7, S13.6).

Where data may be is asked in ``residency.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from croupier.model.connections import HANDS, RESERVED
from croupier.model.data import DataUse, Postgres
from croupier.model.platform import ALLOW_DNS, DEFAULT_DENY, PlacedCell, Region
from croupier.model.service_spec import ServiceSpec
from croupier.model.store import Store, credentials_of, role_of, stores_of
from croupier.model.stores import ObjectStore
from croupier.spec.load import Flaw, Location, did_you_mean

LONGEST_STORE = 40
"""CloudNativePG makes longer names of it."""
LONGEST_NAMESPACE = 63
_OPERATORS_SECRETS = ("app", "ca", "pull", "replication", "server", "superuser")
"""CloudNativePG makes Secrets of a database whose names end so."""
_RESERVED_ROLES = frozenset(
    {"cnpg_pooler_pgbouncer", "none", "postgres", "public", "streaming_replica", "template0", "template1"}
)
"""Users and databases that PostgreSQL or CloudNativePG has already."""
_SAID_THERE = ("region", "replicas", "dr", "backup", "dr_backup", "keys", "namespace", "port", "postgres")


class Where(NamedTuple):
    """What a cell is held against. ``beside``: services that run there and cannot be looked at."""

    placed: PlacedCell
    regions: Mapping[str, Region]
    beside: Collection[str]


class _Owned(NamedTuple):
    """A store that is rendered, as its owner declares it."""

    where: Where
    service: ServiceSpec
    name: str
    use: DataUse
    postgres: Postgres

    @property
    def at(self) -> Location:
        return ("data", self.name)


def _declared(store: str) -> Location:
    """Where a rendered store is declared, for what is wrong with all of it: a key that every one has."""
    return ("data", store, "postgres", "storage")


def store_flaws(where: Where) -> Iterator[tuple[ServiceSpec, Flaw]]:
    """Services and what is wrong with their stores; locations are paths in the service."""
    owners: dict[str, str] = {}
    for service in where.placed.services:
        for name, use in service.data.items():
            flaws: Iterable[Flaw] = ()
            if use.of is not None:
                flaws = (*_shared(where, service, name, use), *_told(where, name, use, where.placed.cell.region))
            elif use.postgres is not None:
                owned = _Owned(where, service, name, use, use.postgres)
                flaws = (*_named(owned, owners.setdefault(name, service.name)), *_placed(owned), *_kept(owned))
            yield from ((service, flaw) for flaw in flaws)
    rendered = stores_of(where.placed)
    if not rendered:
        return
    yield from _called_apart(where, rendered)
    yield from _read_apart(where.placed)
    for store in rendered:
        if flaw := _role_flaw(store):
            yield store.owner, flaw
        if flaw := _budget(store):
            yield store.owner, flaw
        if flaw := _shares_storage(where, store, rendered):
            yield store.owner, flaw


def regions_of(services: Iterable[ServiceSpec]) -> set[str]:
    """Regions that stores of ``services`` which are rendered name, whether or not there are such."""
    return {
        each
        for service in services
        for use in service.data.values()
        if use.postgres is not None
        for each in (*use.copies, use.backup, use.dr_backup, use.keys)
        if each is not None
    }


def _shared(where: Where, service: ServiceSpec, name: str, use: DataUse) -> Iterator[Flaw]:
    at: Location = ("data", name)
    for key in _SAID_THERE:
        if getattr(use, key) not in (None, ()):
            alias = DataUse.model_fields[key].alias or key
            yield Flaw((*at, alias), "STORE", f"{alias} of {name} is said by {use.of}", "leave it out, or leave out of")
    owner = next((each for each in where.placed.services if each.name == use.of), None)
    if owner is None:
        if use.of not in where.beside:
            known = [each.name for each in where.placed.services if each.name != service.name]
            hint = did_you_mean(use.of or "", known) or "name the service that declares the store"
            yield Flaw((*at, "of"), "UNKNOWN_NAME", f"service {use.of!r} does not run in the cell", hint)
        return
    theirs = owner.data.get(name)
    if owner is service or theirs is None or theirs.postgres is None:
        yield Flaw((*at, "of"), "STORE", f"{use.of} has no store {name} that is rendered", "give it one, with postgres")
        return
    rules = where.placed.market.residency
    if rules is not None and not rules.classes.keys() >= set(theirs.classes):
        return  # what the owner calls otherwise than its market is told of the owner
    for number, each in enumerate(use.classes):
        if each not in theirs.classes:
            message = f"{each} would be kept in {name}, and {use.of} does not say so"
            yield Flaw((*at, "classes", number), "STORE", message, f"add it to data.{name}.classes of {use.of}")


def _named(owned: _Owned, first: str) -> Iterator[Flaw]:
    """``first``: the first service of the cell with a store of this name."""
    name, at, namespace = owned.name, owned.at, owned.where.placed.cell.data_namespace
    if first != owned.service.name:
        hint = f"call it otherwise, or share: of: {first}"
        yield Flaw(_declared(name), "DUPLICATE_NAME", f"store {name!r} of the cell is {first}'s already", hint)
    if len(name) > LONGEST_STORE:
        yield Flaw(
            _declared(owned.name), "LENGTH", f"the name {name} has {len(name)} characters", f"at most {LONGEST_STORE}"
        )
    if len(namespace) > LONGEST_NAMESPACE:
        message = f"its namespace {namespace} has {len(namespace)} characters"
        yield Flaw(_declared(owned.name), "LENGTH", message, f"at most {LONGEST_NAMESPACE}: shorten brand or region")
    for key in ("namespace", "port"):
        if getattr(owned.use, key) is not None:
            yield Flaw((*at, key), "STORE", f"{name} is rendered: its {key} is croupier's choice", "leave it out")
    if owned.service.tier == "money" and not owned.postgres.is_synchronous:
        message = f"{owned.service.name} is of tier money, and {owned.postgres.rpo_seconds} s of it may be lost"
        yield Flaw((*at, "postgres", "rpoSeconds"), "STORE", message, "leave rpoSeconds out")


def _called_apart(where: Where, stores: Iterable[Store]) -> Iterator[tuple[ServiceSpec, Flaw]]:
    """No two objects of the stores' namespace have one name: the later would silently take the place of the first."""
    taken = {("NetworkPolicy", name): "for all stores" for name in (ALLOW_DNS, DEFAULT_DENY)}
    taken |= {("Secret", f"object-store-{region}"): "of the object store" for region in where.regions}
    for store in stores:
        for made in _made(store):
            whose = taken.setdefault(made, f"of store {store.name}")
            if whose != f"of store {store.name}":
                kind, name = made
                message = f"its {kind} {name} would have the name of one {whose}"
                yield store.owner, Flaw(_declared(store.name), "DUPLICATE_NAME", message, "call it otherwise")
                break


def _read_apart(placed: PlacedCell) -> Iterator[tuple[ServiceSpec, Flaw]]:
    """Each service reads its own password: no Secret, and no folder of a pod, is that of two."""
    taken = {each.secret: service.name for service in placed.services for each in service.secrets.values()}
    for service in placed.services:
        for name, use in service.data.items():
            if use.credentials is None or (use.postgres is None and use.of is None):
                continue
            at: Location = ("data", name, "credentials")
            if name in service.secrets:
                message = f"secrets of {service.name} has {name} already, which pods find in the same place"
                yield service, Flaw(at, "SECRET", message, "call the store or the secret otherwise")
                continue
            secret = credentials_of(service, name)
            if secret in taken:
                message = f"its Secret {secret} in the cell is {taken[secret]}'s already"
                yield service, Flaw(at, "SECRET", message, "call the store or the secret otherwise")
            taken.setdefault(secret, service.name)


def _made(store: Store) -> Iterator[tuple[str, str]]:
    """Kind and name of what is rendered, and of what CloudNativePG makes, where names of stores can meet."""
    yield from (("NetworkPolicy", name) for name in (store.name, store.pooler) if name is not None)
    yield "ObjectStore", store.name
    if store.use.dr_backup is not None:
        yield "ObjectStore", f"{store.name}-dr"
    yield from (("Secret", f"{store.name}-{each}") for each in _OPERATORS_SECRETS)
    yield from (("Secret", store.secret(each)) for each in store.users)


def _role_flaw(store: Store) -> Flaw | None:
    """Users of one database are told apart, and none is PostgreSQL's or the operator's own."""
    at = _declared(store.name)
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


def _placed(owned: _Owned) -> Iterator[Flaw]:
    """What it runs on, in every region that has it."""
    at, use, home = owned.at, owned.use, owned.where.placed.cell.region
    if use.region not in (None, home):
        message = f"{owned.name} would run in {use.region}, and its service runs in {home}"
        yield Flaw((*at, "region"), "STORE", message, "declare the cell there, or leave region out")
    said: dict[str, Location] = {home: _declared(owned.name)}
    for region in use.copies:
        place: Location = (*at, "dr") if use.dr == region else (*at, "replicas", use.replicas.index(region))
        if region == home:
            yield Flaw(place, "STORE", f"the primary of {owned.name} is in {home}, too", "name another region")
        said.setdefault(region, place)
    for region, place in said.items():
        if region in owned.where.regions:
            yield from _stands(owned, region, place)
            yield from _told(owned.where, owned.name, use, region)


def _stands(owned: _Owned, region: str, said: Location) -> Iterator[Flaw]:
    """``said``: where ``region`` was asked for."""
    stores, wanted = owned.where.regions[region].stores, owned.postgres.storage
    if stores is None or stores.postgres is None:
        message = f"{owned.name} would run in {region}, which runs no PostgreSQL"
        yield Flaw(said, "STORE", message, "give the region stores.postgres")
        return
    held = stores.storage.get(wanted)
    place = (*owned.at, "postgres", "storage")
    if held is None:
        hint = did_you_mean(wanted, list(stores.storage)) or "declare it under stores.storage of the region"
        yield Flaw(place, "UNKNOWN_NAME", f"storage class {wanted!r} is not declared in {region}", hint)
    elif held.purpose == "local" and not owned.postgres.is_synchronous:
        message = f"{wanted} is lost with its machine, and {owned.name} confirms what no second machine has"
        yield Flaw(place, "STORE", message, "rpoSeconds: 0, or replicated storage")


def _shares_storage(where: Where, store: Store, others: Iterable[Store]) -> Flaw | None:
    """Money has disks and nodes that it shares with nothing else (S7.8)."""
    wanted, home = store.postgres.storage, where.placed.cell.region
    place: Location = ("data", store.name, "postgres", "storage")
    if store.owner.tier != "money":
        return None
    for region in (home, *store.use.copies):
        stores = where.regions[region].stores if region in where.regions else None
        held = stores.storage.get(wanted) if stores else None
        if held is not None and held.pool is None:
            there = "" if region == home else f" in {region}"
            hint = f"give stores.storage.{wanted} a pool, or name a class that has one"
            return Flaw(place, "STORE", f"{wanted} has no nodes of its own{there}, and {store.name} is money", hint)
    beside = next((each for each in others if each.owner.tier != "money" and each.postgres.storage == wanted), None)
    if beside is not None:
        message = f"{wanted} also holds {beside.name} of {beside.owner.name}, which is not money"
        return Flaw(place, "STORE", message, "give one of them another class")
    return _shares_nodes(where.placed, store)


def _shares_nodes(placed: PlacedCell, store: Store) -> Flaw | None:
    """Whose pods beside the owner's would run on the nodes of a money store; None: nobody's."""
    region, wanted = placed.region, store.postgres.storage
    held = region.stores.storage.get(wanted) if region.stores is not None else None
    pool = region.pools.get(held.pool) if held is not None and held.pool is not None else None
    for service in placed.services if pool is not None else ():
        if service.name != store.owner.name and region.pool_of(service) is pool:
            message = f"pods of {service.name} go to the nodes of {wanted}, too, and {store.name} is money"
            hint = f"name another pool for {service.name}"
            return Flaw(("data", store.name, "postgres", "storage"), "STORE", message, hint)
    return None


def _told(where: Where, name: str, use: DataUse, region: str) -> Iterator[Flaw]:
    """Credentials can be read in ``region``."""
    if use.credentials is not None and region in where.regions and where.regions[region].secret_store is None:
        message = f"region {region} has no secretStore to read credentials of {name} from"
        yield Flaw(("data", name, "credentials"), "SECRET", message, "give it one, or leave credentials out")


def _kept(owned: _Owned) -> Iterator[Flaw]:
    """Backups have a place, and a key where one is asked for."""
    at, use, regions = owned.at, owned.use, owned.where.regions
    own = owned.where.placed.cell.region
    places = {use.backup or own: (*at, "backup") if use.backup else _declared(owned.name)}
    if use.dr_backup is not None:
        places.setdefault(use.dr_backup, (*at, "drBackup"))
        if not use.copies:
            message = f"{owned.name} has no copy that could archive there"
            yield Flaw((*at, "drBackup"), "STORE", message, "name dr, too")
    for region, place in places.items():
        stores = regions[region].stores if region in regions else None
        if region in regions and (stores is None or stores.object_store is None):
            message = f"backups of {owned.name} go to {region}, which has no object store"
            yield Flaw(place, "STORE", message, "give the region stores.objectStore")
        elif region in regions and stores is not None and stores.object_store is not None:
            yield from _out_of_reach(owned, region, stores.object_store, place)
    if use.keys is not None and use.keys in regions:
        stores = regions[use.keys].stores
        if stores is None or stores.kms_key is None:
            message = f"keys of {owned.name} are in {use.keys}, which names none"
            yield Flaw((*at, "keys"), "STORE", message, "give the region stores.kmsKey")


def _out_of_reach(owned: _Owned, region: str, held: ObjectStore, place: Location) -> Iterator[Flaw]:
    """A Service of one cluster is another Service, or none, in the next: there backups would be read that are not."""
    others = [each for each in (owned.where.placed.cell.region, *owned.use.copies) if each != region]
    if others and held.endpoint is not None and held.endpoint.namespace is not None:
        message = f"the object store of {region} is inside its cluster, and {owned.name} in {others[0]} has to reach it"
        yield Flaw(place, "STORE", message, "give it an endpoint outside")


def _budget(store: Store) -> Flaw | None:
    """Why who connects does not fit; None: it does."""
    postgres, needed = store.postgres, store.max_connections
    if needed <= postgres.most_connections:
        return None
    at: Location = ("data", store.name, "postgres", "mostConnections")
    pooler = postgres.pooler
    if pooler is not None:
        words, hint = f"pooler {pooler.instances} × {pooler.size}", "lower the pooler's size, or raise mostConnections"
    else:
        largest = sorted(store.users.items(), key=lambda each: (-each[1].connections, each[0]))
        words = " + ".join(each.told(name) for name, each in largest)
        hint = "put a pooler between, lower connections or scaling.max, or raise mostConnections"
    message = f"{words} = {store.used} connections; with {RESERVED + HANDS} for operator and people, in tens, {needed}"
    return Flaw(at, "CONNECTIONS", f"{message}; mostConnections is {postgres.most_connections}", hint)
