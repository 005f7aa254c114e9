"""Every place that players' data of one service gets to, beside where its market lets it be (S10.14, S11).

The classic hole is not the database but what follows it: replicas, the region for disasters, backups, keys, logs, and
who is sent something. The one list: ``residency.py`` refuses by it, ``whereabouts.py`` shows it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from croupier.model.data import DataUse
from croupier.model.platform import Cell, DataClass, Residency
from croupier.model.service_spec import ServiceSpec
from croupier.model.whereabouts import What
from croupier.spec.load import Location

TELEMETRY = "telemetry"
HOME: Location = ()
"""Location of what is where the cell is, so that nothing but the region of the cell is at fault."""


class DataPlace(NamedTuple):
    """Data of one class in one region."""

    location: Location
    """Of what puts it there: a path in the service, or ``HOME``."""
    data: str
    """Its class; ``what is sent`` to a provider."""
    what: What
    where: str
    allowed: Sequence[str] | None
    """None: the market says nothing."""
    whose: str
    """The store or the provider; "" of telemetry."""
    message: str

    @property
    def is_forbidden(self) -> bool:
        return self.allowed is not None and self.where not in self.allowed


def data_places(
    cell: Cell,
    service: ServiceSpec,
    rules: Residency | None,
    *,
    providers: Mapping[str, str],
    keyed: Collection[str],
) -> Iterator[DataPlace]:
    """All places, store by store, then telemetry, then providers.

    Args:
        cell: where the service runs.
        service: complete; its stores that another one owns have no place here.
        rules: of the market. None: it has none.
        providers: name -> region in which it handles what it is sent; whom it lacks is left out.
        keyed: regions that name a key for backups; elsewhere an object store encrypts with its own, where it is.
    """
    for name, use in service.data.items():
        if use.of is None:  # who owns the store says where it is
            for each in use.classes:
                yield from _of_class(cell, name, use, each, rules=rules, keyed=keyed)
    told = None if rules is None else (rules.classes.get(TELEMETRY) or DataClass(store=(cell.region,))).store
    given: tuple[tuple[What, str | None], ...] = (
        ("logs", service.telemetry.logs),
        ("traces", service.telemetry.traces),
    )
    for kind, region in given:
        where = region or cell.region
        location = ("telemetry", kind) if region else HOME
        yield DataPlace(location, TELEMETRY, kind, where, told, "", f"{kind} go to {where}")
    sent_to = None if rules is None else rules.providers or None
    for number, name in enumerate(service.egress):
        if name in providers:
            message = f"{name} handles what it is sent in {providers[name]}"
            yield DataPlace(("egress", number), "what is sent", "provider", providers[name], sent_to, name, message)


def _of_class(
    cell: Cell, store: str, use: DataUse, name: str, *, rules: Residency | None, keyed: Collection[str]
) -> Iterator[DataPlace]:
    given = None if rules is None else rules.classes.get(name)
    stores = None if given is None else given.store
    backups, keys = (None, None) if given is None else (given.backup or given.store, given.keys or given.store)
    at: Location = ("data", store)
    home: Location = (*at, "region") if use.region else HOME
    primary = use.region or cell.region
    yield DataPlace(home, name, "primary", primary, stores, store, f"the primary of {name} is in {primary}")
    for number, region in enumerate(use.replicas):
        message = f"a replica of {name} is in {region}"
        yield DataPlace((*at, "replicas", number), name, "replica", region, stores, store, message)
    if use.dr is not None:
        refuges = None if rules is None else [each for each in rules.dr_regions if each in (stores or ())]
        message = f"{name} would move to {use.dr} in a disaster"
        yield DataPlace((*at, "dr"), name, "disaster", use.dr, refuges, store, message)
    if use.engine is not None and not use.engine.IS_BACKED_UP:
        return
    location, where = ((*at, "backup"), use.backup) if use.backup else (home, primary)
    yield DataPlace(location, name, "backup", where, backups, store, f"backups of {name} are in {where}")
    if use.dr_backup is not None:  # an archive is encrypted where it is
        location, where = (*at, "drBackup"), use.dr_backup
        message = f"a copy of {name} would archive to {where}"
        yield DataPlace(location, name, "disaster backup", where, backups, store, message)
        message = f"an archive of {name} would have its key in {where}"
        yield DataPlace(location, name, "keys", where, keys, store, message)
    location, where = ((*at, "keys"), use.keys) if use.keys else (home, primary)
    yield DataPlace(location, name, "keys", where, keys, store, f"keys of {name} are in {where}")
    if use.engine is not None and use.keys is None and use.backup and primary not in keyed:
        message = f"{primary} names no key, so that of backups of {name} is in {use.backup}"
        yield DataPlace((*at, "backup"), name, "keys", use.backup, keys, store, message)
