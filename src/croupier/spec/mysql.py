"""What is wrong with a store of MySQL that only MySQL and its operator know of (S7, S13.6)."""

from __future__ import annotations

from collections.abc import Iterator

from croupier.model.base import KmsKey
from croupier.model.connections import HANDS, RESERVED
from croupier.model.mysql import PROXY_CONNECTIONS, SYSTEM_USERS, Mysql
from croupier.model.store import Store, largest_first, role_of
from croupier.model.stores import ObjectStore
from croupier.spec.load import Flaw, Location

LONGEST_NAME = 22
"""The operator takes no longer one."""
_LONGEST_USER = 32
"""Characters, in MySQL."""
_SECRETS = (
    "ca-cert", "custom-user-secret", "env-vars-haproxy", "env-vars-pxc", "log-collector", "mysql-init",
    "object-store", "secrets", "ssl", "ssl-internal", "tls", "vault",
)  # fmt: skip
"""Secrets of a MySQL end so: the operator's, and those that are rendered beside the users'."""
_POLICIES = ("", "-haproxy", "-pitr", "-backup", "-restore")
_SERVICES = ("-pxc", "-pxc-unready", "-haproxy", "-haproxy-replicas", "-pitr")
_WORKLOADS = ("-pxc", "-haproxy")
_DATABASES = frozenset({"information_schema", "mysql", "performance_schema", "sys"})
_RESERVED = """
accessible add all alter analyze and as asc asensitive before between bigint binary blob both by call cascade case
change char character check collate column condition constraint continue convert create cross cube cume_dist
current_date current_time current_timestamp current_user cursor database databases day_hour day_microsecond day_minute
day_second dec decimal declare default delayed delete dense_rank desc describe deterministic distinct distinctrow div
double drop dual each else elseif empty enclosed escaped except exists exit explain false fetch first_value float float4
float8 for force foreign from fulltext function generated get grant group grouping groups having high_priority
hour_microsecond hour_minute hour_second if ignore in index infile inner inout insensitive insert int int1 int2 int3
int4 int8 integer intersect interval into io_after_gtids io_before_gtids is iterate join json_table key keys kill lag
last_value lateral lead leading leave left like limit linear lines load localtime localtimestamp lock long longblob
longtext loop low_priority manual master_bind master_ssl_verify_server_cert match maxvalue mediumblob mediumint
mediumtext middleint minute_microsecond minute_second mod modifies natural no_write_to_binlog not nth_value ntile null
numeric of on optimize optimizer_costs option optionally or order out outer outfile over parallel partition
percent_rank precision primary procedure purge qualify range rank read read_write reads real recursive references
regexp release rename repeat replace require resignal restrict return revoke right rlike row row_number rows schema
schemas second_microsecond select sensitive separator set show signal smallint spatial specific sql sql_big_result
sql_calc_found_rows sql_small_result sqlexception sqlstate sqlwarning ssl starting stored straight_join system table
tablesample terminated then tinyblob tinyint tinytext to trailing trigger true undo union unique unlock unsigned update
usage use using utc_date utc_time utc_timestamp values varbinary varchar varcharacter varying virtual when where while
window with write xor year_month zerofill
"""
_WORDS = frozenset(_RESERVED.split())
"""Words of MySQL 8.0 and 8.4: the operator makes databases without quoting their names."""


def made(store: Store[Mysql]) -> Iterator[tuple[str, str]]:
    """Kind and name of what is rendered, and of what the operator makes, where names of stores can meet."""
    name = store.name
    yield "ServiceAccount", name
    yield "ConfigMap", f"{name}-mysql-exporter"
    yield from (("StatefulSet", f"{name}{end}") for end in _WORKLOADS)
    yield from (("PodDisruptionBudget", f"{name}{end}") for end in _WORKLOADS)
    yield from (("NetworkPolicy", f"{name}{end}") for end in _POLICIES)
    yield from (("Service", f"{name}{end}") for end in _SERVICES)
    yield "Secret", f"internal-{name}"  # what the operator keeps of its own users' passwords
    yield from (("Secret", f"{name}-{each}") for each in _SECRETS)
    yield from (("Secret", store.secret(each)) for each in store.users)


def flaws(store: Store[Mysql]) -> Iterator[Flaw]:
    """Locations are paths in the service that owns it."""
    yield from (flaw for flaw in (_name_flaw(store), _budget(store)) if flaw is not None)


def use_flaws(store: Store[Mysql], service: str) -> Iterator[Flaw]:
    """None: who may do what follows from who owns it."""
    yield from ()


def archive_flaws(name: str, region: str, held: ObjectStore, key: KmsKey | None) -> Iterator[tuple[str, str]]:
    """Why the backups of ``name`` cannot go to the object store of ``region``, encrypted by ``key``, and what helps."""
    if held.credentials is None:
        message = f"what brings the log of {name} to the object store of {region} knows no roles, and there are no keys"
        yield message, "give stores.objectStore of the region credentials"
    if held.endpoint is None and held.region is None:
        message = f"backups of {name} go to AWS, and which of its regions {region} is, is not said"
        yield message, "give stores.objectStore of the region a region, like eu-north-1"
    if key is not None and held.key != key:
        message = f"the log of {name} names no key where it is written, so that it is not encrypted by {key[:40]}"
        yield message, f"have the bucket of {region} encrypt by that key, and say so: stores.objectStore.key"


def _name_flaw(store: Store[Mysql]) -> Flaw | None:
    """Users of one database are told apart, none is the operator's own, and all have names that MySQL takes."""
    at: Location = ("data", store.name, Mysql.KEY, Mysql.DECLARED)
    if store.role in _DATABASES or store.role in _WORDS:
        return Flaw(at, "STORE", f"MySQL keeps the name {store.role} for itself", "call the store otherwise")
    others = [name for name in store.users if name != store.owner.name]
    for name in store.users:
        if name in _SECRETS:
            message = f"the Secret {store.name}-{name} of service {name} is the operator's"
            return Flaw(at, "DUPLICATE_NAME", message, "call the service otherwise")
    if store.name in others:
        message = f"the user of service {store.name} is the owner's, which is called like the store"
        return Flaw(at, "DUPLICATE_NAME", message, "call the store otherwise")
    for name in (store.name, *others):
        if (role := role_of(name)) in SYSTEM_USERS or role.startswith("pmmserver"):
            return Flaw(at, "STORE", f"the operator logs in as {role}", f"call {name} otherwise")
        if len(role) > _LONGEST_USER:
            message = f"the user {role} has {len(role)} characters"
            return Flaw(at, "LENGTH", message, f"at most {_LONGEST_USER}: call the service otherwise")
    return None


def _budget(store: Store[Mysql]) -> Flaw | None:
    """Why who connects does not fit; None: it does."""
    mysql, users = store.engine, store.users.values()
    used, needed = mysql.used(users), mysql.max_connections(users)
    if needed > mysql.most_connections:
        message = (
            f"{largest_first(store)} = {used} connections; with {RESERVED + HANDS} for people, in tens, {needed}; "
            f"mostConnections is {mysql.most_connections}"
        )
        at: Location = ("data", store.name, Mysql.KEY, "mostConnections")
        return Flaw(at, "CONNECTIONS", message, "lower connections or scaling.max, or raise mostConnections")
    if used > (most := (mysql.proxies - 1) * PROXY_CONNECTIONS):
        message = f"{largest_first(store)} = {used} connections, and {mysql.proxies} proxies take {most} with one away"
        at = ("data", store.name, Mysql.KEY, Mysql.DECLARED)
        return Flaw(at, "CONNECTIONS", message, f"proxies: {-(-used // PROXY_CONNECTIONS) + 1}")
    return None
