"""The files behind Envoy: what it watches, and our own memory of splits, one file a service.

A record says which split is in force (``confirmed``) and, while a change is under way or was cut off by a crash, which
one was ``wanted``. It is written before Envoy's files change and again after Envoy has confirmed.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from croupier.adapters.files import replace_file
from croupier.adapters.traffic.envoy_config import FILES, JsonObject
from croupier.errors import Unreachable
from croupier.model.base import Value
from croupier.model.traffic import Split

RESERVE_BYTES = 1024 * 1024
"""Room for one change of a large platform."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Record(Value):
    """``confirmed``: None until the first split of a service is. ``wanted``: None unless a change is under way."""

    confirmed: Split | None = None
    wanted: Split | None = None


class EnvoyFiles:
    """All methods block; they raise ``Unreachable`` when the disk does not do what it must.

    A reserve of disk space lies beside the files: the way back must not wait until somebody has made room.
    """

    def __init__(self, directory: Path) -> None:
        self.watched = directory.absolute() / "d"
        self._splits = directory.absolute() / "splits"
        self._reserve = directory.absolute() / "reserve"

    def prepare(self) -> None:
        """Make directories and the reserve. Envoy refuses to start without the directory it watches."""
        with _on_disk(self.watched.parent):
            for each in (self.watched, self._splits):
                each.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._reserve.exists():
            with suppress(OSError):  # on a full disk there is none until there is room again
                replace_file(self._reserve, b"\0" * RESERVE_BYTES)

    def records(self) -> dict[str, Record]:
        """Service -> record, of every service that ever had a split."""
        found: dict[str, Record] = {}
        for path in sorted(self._splits.glob("*.json")):
            with _on_disk(path):
                found[path.stem] = Record.model_validate_json(path.read_bytes())
        return found

    def save(self, service: str, record: Record) -> None:
        self._replace(self._splits / f"{service}.json", record.model_dump_json(by_alias=True, indent=1).encode())

    def put(self, name: str, content: JsonObject) -> bool:
        """Give Envoy a new version of a file; False if it has just this content already.

        Not durable: players wait for it, and ``EnvoyTraffic.write_files`` makes these files anew from the records
        before Envoy is started on a machine that lost its power.
        """
        data = json.dumps(content).encode()
        path = self.watched / name
        with _on_disk(path):
            if path.exists() and path.read_bytes() == data:
                return False
        self._replace(path, data, durable=False)
        return True

    def drop_endpoints(self, keep: Iterable[str]) -> None:
        """Remove endpoint files of clusters that are not among ``keep``. Envoy must have dropped them before."""
        kept = {FILES.endpoints.format(cluster=cluster) for cluster in keep}
        with _on_disk(self.watched):
            for path in self.watched.glob(FILES.endpoints.format(cluster="*")):
                if path.name not in kept:
                    path.unlink(missing_ok=True)

    def _replace(self, path: Path, data: bytes, *, durable: bool = True) -> None:
        with _on_disk(path):
            try:
                replace_file(path, data, durable=durable)
            except OSError as error:
                if error.errno not in _FULL or not self._reserve.exists():
                    raise
                self._reserve.unlink()
                replace_file(path, data, durable=durable)


@contextmanager
def _on_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unreachable(
            f"cannot use {path}: {error.strerror}", hint="look at the disk and its permissions"
        ) from error
    except ValidationError as error:
        raise Unreachable(f"{path} is not what we wrote: {error}") from error
