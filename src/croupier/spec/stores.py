"""Whether what a service says of its stores can be run: where they stand, who shares them, what they take (S7, S13.6).

Where data may be is asked in ``residency.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from croupier.model.data import ENGINES, DataUse, Engine
from croupier.model.kafka import Kafka
from croupier.model.mysql import Mysql
from croupier.model.nodes import NodePool
from croupier.model.platform import ALLOW_DNS, DEFAULT_DENY, PlacedCell, Region
from croupier.model.service_spec import SecretRef, ServiceSpec
from croupier.model.store import Store, authority_of, certificate_of, credentials_of, is_kafka, stores_of, used_by
from croupier.model.stores import ObjectStore
from croupier.model.trigger import KafkaLag
from croupier.spec.engines import declared_at, flaws_of, longest_name, made_by, use_flaws_of
from croupier.spec.load import Flaw, Location, did_you_mean
from croupier.spec.mysql import archive_flaws

LONGEST_NAMESPACE = 63
_SAID_THERE = (
    "region",
    "replicas",
    "dr",
    "backup",
    "dr_backup",
    "keys",
    "namespace",
    "port",
    *(each.KEY for each in ENGINES),
)


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
    engine: Engine

    @property
    def at(self) -> Location:
        return ("data", self.name)

    @property
    def declared(self) -> Location:
        return declared_at(self.name, self.engine)


def store_flaws(where: Where) -> Iterator[tuple[ServiceSpec, Flaw]]:
    """Services and what is wrong with their stores; locations are paths in the service."""
    owners: dict[str, str] = {}
    for service in where.placed.services:
        for name, use in service.data.items():
            flaws: Iterable[Flaw] = ()
            if use.of is not None:
                flaws = (*_shared(where, service, name, use), *_told(where, name, use, where.placed.cell.region))
            elif (engine := use.engine) is not None:
                owned = _Owned(where, service, name, use, engine)
                flaws = (
                    *_named(owned, owners.setdefault(name, service.name)),
                    *_placed(owned),
                    *(_kept(owned) if engine.IS_BACKED_UP else ()),
                    *_stays(owned),
                    *_looked_after(owned),
                )
            yield from ((service, flaw) for flaw in flaws)
    rendered = stores_of(where.placed)
    yield from _scaled(where.placed, rendered)
    if not rendered:
        return
    yield from _called_apart(where, rendered)
    yield from _read_apart(where.placed)
    for store in rendered:
        yield from ((store.owner, flaw) for flaw in flaws_of(store))
        for service in where.placed.services:
            if service.name in store.shares:
                yield from ((service, flaw) for flaw in use_flaws_of(store, service.name))
                if store.shares[service.name].access is not None and not is_kafka(store):
                    message = f"{store.name} is of {store.engine.PRODUCT}, which has no topics"
                    yield service, Flaw(("data", store.name, "access"), "STORE", message, "leave access out")
        if flaw := _shares_storage(where, store, rendered):
            yield store.owner, flaw


def regions_of(services: Iterable[ServiceSpec]) -> set[str]:
    """Regions that stores of ``services`` which are rendered name, whether or not there are such."""
    return {
        each
        for service in services
        for use in service.data.values()
        if use.engine is not None
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
    if owner is service or theirs is None or theirs.engine is None:
        hint = "give it one, with " + " or ".join(each.KEY for each in ENGINES)
        yield Flaw((*at, "of"), "STORE", f"{use.of} has no store {name} that is rendered", hint)
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
        yield Flaw(owned.declared, "DUPLICATE_NAME", f"store {name!r} of the cell is {first}'s already", hint)
    if len(name) > (longest := longest_name(owned.engine)):
        yield Flaw(owned.declared, "LENGTH", f"the name {name} has {len(name)} characters", f"at most {longest}")
    if len(namespace) > LONGEST_NAMESPACE:
        message = f"its namespace {namespace} has {len(namespace)} characters"
        yield Flaw(owned.declared, "LENGTH", message, f"at most {LONGEST_NAMESPACE}: shorten brand or region")
    for key in ("namespace", "port"):
        if getattr(owned.use, key) is not None:
            yield Flaw((*at, key), "STORE", f"{name} is rendered: its {key} is croupier's choice", "leave it out")
    if owned.service.tier == "money" and owned.engine.may_be_lost:
        message = f"{owned.service.name} is of tier money, and {owned.engine.may_be_lost} may be lost"
        key, hint = owned.engine.LOST_BY
        yield Flaw((*at, owned.engine.KEY, key), "STORE", message, hint)


def _called_apart(where: Where, stores: Iterable[Store[Engine]]) -> Iterator[tuple[ServiceSpec, Flaw]]:
    """No two objects of the stores' namespace have one name: the later would silently take the place of the first."""
    taken = {("NetworkPolicy", name): "for all stores" for name in (ALLOW_DNS, DEFAULT_DENY)}
    taken |= {("Secret", f"object-store-{region}"): "of the object store" for region in where.regions}
    for store in stores:
        for made in made_by(store):
            whose = taken.setdefault(made, f"of store {store.name}")
            if whose != f"of store {store.name}":
                kind, name = made
                message = f"its {kind} {name} would have the name of one {whose}"
                yield (
                    store.owner,
                    Flaw(declared_at(store.name, store.engine), "DUPLICATE_NAME", message, "call it otherwise"),
                )
                break


def _read_apart(placed: PlacedCell) -> Iterator[tuple[ServiceSpec, Flaw]]:
    """Each service reads its own password: no Secret, and no folder of a pod, is that of two."""
    taken = {each.secret: service.name for service in placed.services for each in service.secrets.values()}
    for service in placed.services:
        taken |= {key.secret: f"provider {name}" for name, key in _keys(placed, service).items()}
    for service in placed.services:
        keys = _keys(placed, service)
        for name, at in _mounted(placed, service):
            if name in service.secrets:
                message = f"secrets of {service.name} has {name} already, which pods find in the same place"
                yield service, Flaw(at, "SECRET", message, "call the store or the secret otherwise")
                continue
            if name in keys:
                message = f"{service.name} calls provider {name}, whose key pods find in the same place"
                yield service, Flaw(at, "SECRET", message, "call the store or the provider otherwise")
                continue
            secret = credentials_of(service, name)
            if secret in taken:
                message = f"its Secret {secret} in the cell is {taken[secret]}'s already"
                yield service, Flaw(at, "SECRET", message, "call the store or the secret otherwise")
            taken.setdefault(secret, service.name)


def _keys(placed: PlacedCell, service: ServiceSpec) -> dict[str, SecretRef]:
    """Provider that ``service`` calls -> its key, unless the service has a secret of that name itself."""
    called = {name: placed.providers[name].key for name in service.egress if name in placed.providers}
    return {name: key for name, key in called.items() if key is not None and name not in service.secrets}


def _stays(owned: _Owned) -> Iterator[Flaw]:
    """What is kept nowhere else says no place for that."""
    use, product = owned.use, owned.engine.PRODUCT
    refused: dict[str, object] = {}
    kept, hint = "", "leave it out; what must outlive a region is in a database"
    if not owned.engine.HAS_COPIES:
        refused |= {"replicas": use.replicas, "dr": use.dr, "dr_backup": use.dr_backup}
    if not owned.engine.IS_BACKED_UP:
        refused |= {"backup": use.backup, "keys": use.keys}
        kept = " and no backup"
    else:
        hint = "leave it out; backup: another region keeps what a region's loss would take"
    for key, given in refused.items():
        if given not in (None, ()):
            alias = DataUse.model_fields[key].alias or key
            message = f"{owned.name} is of {product}, of which croupier keeps no copy{kept}"
            yield Flaw((*owned.at, alias), "STORE", message, hint)


def _mounted(placed: PlacedCell, service: ServiceSpec) -> Iterator[tuple[str, Location]]:
    """Folders below ``/secrets`` that stores bring, and what asks for them."""
    for name, use in service.data.items():
        if use.credentials is not None and (use.engine is not None or use.of is not None):
            yield name, ("data", name, "credentials")
    for store in used_by(placed, service):
        if certificate_of(store.engine) is not None:
            yield authority_of(store.name), ("data", store.name, "classes")


def _looked_after(owned: _Owned) -> Iterator[Flaw]:
    """What a Kafka or a MySQL wants of its region and its service."""
    engine, region, service = owned.engine, owned.where.placed.region, owned.service
    read = {"certificate": ("the certificate", certificate_of(engine))}
    if isinstance(engine, Mysql):
        read["system"] = ("passwords of the operator", engine.system)
    for key, (what, remote) in read.items():
        if remote is not None and region.secret_store is None:
            home = owned.where.placed.cell.region
            message = f"region {home} has no secretStore to read {what} of {owned.name} from"
            yield Flaw((*owned.at, engine.KEY, key), "SECRET", message, f"give it one, or leave {key} out")
    lost = {Kafka: "messages of {} may be lost or are not read", Mysql: "{} takes no writes, or they are not kept"}
    if (said := lost.get(type(engine))) and region.prometheus is not None and service.alerts is None:
        message = f"nobody is called when {said.format(owned.name)}"
        yield Flaw(owned.declared, "ALERTS", message, "give alerts: {team: …, runbook: …}, under defaults for all")


def _scaled(placed: PlacedCell, stores: Iterable[Store[Engine]]) -> Iterator[tuple[ServiceSpec, Flaw]]:
    """Scalers that ask a rendered store ask for what the service reads there."""
    known = {store.name: store for store in stores}
    for service in placed.services:
        trigger = service.scaling.trigger if service.scaling is not None else None
        if not isinstance(trigger, KafkaLag) or trigger.store is None:
            continue
        at: Location = ("scaling", "trigger")
        store = known.get(trigger.store)
        mine = [name for name, each in known.items() if is_kafka(each) and service.name in each.shares]
        if store is None or trigger.store not in mine:
            hint = did_you_mean(trigger.store, mine) or "name a store of Kafka under data"
            message = f"{service.name} uses no Kafka {trigger.store!r} that is rendered"
            yield service, Flaw((*at, "store"), "UNKNOWN_NAME", message, hint)
            continue
        access = store.shares[service.name].access
        if access is not None and trigger.topic not in access.consumes:
            hint = did_you_mean(trigger.topic, access.consumes) or f"add it to data.{store.name}.access.consumes"
            message = f"{service.name} reads no topic {trigger.topic!r} of {store.name}"
            yield service, Flaw((*at, "topic"), "UNKNOWN_NAME", message, hint)
        if trigger.group not in (None, service.name) and not str(trigger.group).startswith(f"{service.name}."):
            message = f"{service.name} may not ask how far {trigger.group} is"
            yield service, Flaw((*at, "group"), "STORE", message, f"{service.name}, or {service.name}. and more")


def _placed(owned: _Owned) -> Iterator[Flaw]:
    """What it runs on, in every region that has it."""
    at, use, home = owned.at, owned.use, owned.where.placed.cell.region
    if use.region not in (None, home):
        message = f"{owned.name} would run in {use.region}, and its service runs in {home}"
        yield Flaw((*at, "region"), "STORE", message, "declare the cell there, or leave region out")
    said: dict[str, Location] = {home: owned.declared}
    for region in use.copies if owned.engine.HAS_COPIES else ():
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
    stores, engine = owned.where.regions[region].stores, owned.engine
    if stores is None or engine.KEY not in stores.operators:
        message = f"{owned.name} would run in {region}, which runs no {engine.PRODUCT}"
        yield Flaw(said, "STORE", message, f"give the region stores.{engine.KEY}")
        return
    wanted = engine.storage
    held = stores.storage.get(wanted)
    place = (*owned.at, engine.KEY, "storage")
    if held is None:
        hint = did_you_mean(wanted, list(stores.storage)) or "declare it under stores.storage of the region"
        yield Flaw(place, "UNKNOWN_NAME", f"storage class {wanted!r} is not declared in {region}", hint)
    elif held.purpose == "local" and engine.may_be_lost:
        message = f"{wanted} is lost with its machine, and {owned.name} confirms what no second machine has"
        yield Flaw(place, "STORE", message, f"{engine.LOST_BY[1]}, or replicated storage")


def _shares_storage(where: Where, store: Store[Engine], others: Iterable[Store[Engine]]) -> Flaw | None:
    """Money has disks and nodes that it shares with nothing else (S7.8)."""
    wanted, home = store.engine.storage, where.placed.cell.region
    place: Location = ("data", store.name, store.engine.KEY, "storage")
    if store.owner.tier != "money" or store.engine.is_cache:
        return None
    for region in (home, *store.use.copies):
        stores = where.regions[region].stores if region in where.regions else None
        held = stores.storage.get(wanted) if stores else None
        if held is not None and held.pool is None:
            there = "" if region == home else f" in {region}"
            hint = f"give stores.storage.{wanted} a pool, or name a class that has one"
            return Flaw(place, "STORE", f"{wanted} has no nodes of its own{there}, and {store.name} is money", hint)
    beside = next((each for each in others if each.owner.tier != "money" and each.engine.storage == wanted), None)
    if beside is not None:
        message = f"{wanted} also holds {beside.name} of {beside.owner.name}, which is not money"
        return Flaw(place, "STORE", message, "give one of them another class")
    return _shares_nodes(where.placed, store)


def _shares_nodes(placed: PlacedCell, store: Store[Engine]) -> Flaw | None:
    """Whose pods beside the owner's would run on the nodes of a money store; None: nobody's."""
    region, wanted = placed.region, store.engine.storage
    held = region.stores.storage.get(wanted) if region.stores is not None else None
    if held is None or held.pool is None or (pool := region.pools.get(held.pool)) is None:
        return None
    for service in placed.services:
        if service.name != store.owner.name and region.pool_of(service) is pool:
            message = f"pods of {service.name} go to the nodes of {wanted}, too, and {store.name} is money"
            hint = f"name another pool for {service.name}"
            return Flaw(("data", store.name, store.engine.KEY, "storage"), "STORE", message, hint)
        if service.name != store.owner.name and region.pool_of(service) is None and not _keeps_away(pool):
            message = f"pods of {service.name} may go to the nodes of {wanted}, too, and {store.name} is money"
            hint = f"give pool {held.pool} taints, or {service.name} a pool"
            return Flaw(("data", store.name, store.engine.KEY, "storage"), "STORE", message, hint)
    return None


def _keeps_away(pool: NodePool) -> bool:
    """Whether pods that name no pool stay away from its nodes."""
    return any(each.effect != "PreferNoSchedule" for each in pool.taints)


def _told(where: Where, name: str, use: DataUse, region: str) -> Iterator[Flaw]:
    """Credentials can be read in ``region``."""
    if use.credentials is not None and region in where.regions and where.regions[region].secret_store is None:
        message = f"region {region} has no secretStore to read credentials of {name} from"
        yield Flaw(("data", name, "credentials"), "SECRET", message, "give it one, or leave credentials out")


def _kept(owned: _Owned) -> Iterator[Flaw]:
    """Backups have a place, and a key where one is asked for."""
    at, use, regions = owned.at, owned.use, owned.where.regions
    own = owned.where.placed.cell.region
    places = {use.backup or own: (*at, "backup") if use.backup else owned.declared}
    if use.dr_backup is not None and owned.engine.HAS_COPIES:
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
            if stores.object_store.credentials is not None and owned.where.placed.region.secret_store is None:
                message = f"region {own} has no secretStore to read credentials of the object store of {region} from"
                roles = "" if isinstance(owned.engine, Mysql) else ", or leave credentials of stores.objectStore out"
                yield Flaw(place, "SECRET", message, f"give it one{roles}")
            if isinstance(owned.engine, Mysql):
                of_keys = regions[use.keys or own].stores if (use.keys or own) in regions else None
                key = of_keys.kms_key if of_keys is not None else None
                for message, hint in archive_flaws(owned.name, region, stores.object_store, key):
                    yield Flaw(place, "STORE", message, hint)
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
