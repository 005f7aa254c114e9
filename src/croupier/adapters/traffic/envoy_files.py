"""The files behind Envoy: what it watches, and our own memory of splits, one file a service.

A record says which split is in force (``confirmed``) and, while a change is under way or was cut off by a crash, which
one was ``wanted``. It is written before Envoy's files change and again after Envoy has confirmed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from croupier.adapters.files import replace_file
from croupier.adapters.traffic.envoy_config import FILES, JsonObject
from croupier.errors import Unreachable
from croupier.model.base import Value
from croupier.model.traffic import Split


class Record(Value):
    """``confirmed``: None until the first split of a service is. ``wanted``: None unless a change is under way."""

    confirmed: Split | None = None
    wanted: Split | None = None


class EnvoyFiles:
    """All methods block; they raise ``Unreachable`` when the disk does not do what it must."""

    def __init__(self, directory: Path) -> None:
        self.watched = directory.absolute() / "d"
        self._splits = directory.absolute() / "splits"

    def prepare(self) -> None:
        """Make the directories. Envoy refuses to start without the one it watches."""
        for each in (self.watched, self._splits):
            each.mkdir(parents=True, exist_ok=True, mode=0o700)

    def records(self) -> dict[str, Record]:
        """Service -> record, of every service that ever had a split."""
        found: dict[str, Record] = {}
        for path in sorted(self._splits.glob("*.json")):
            try:
                found[path.stem] = Record.model_validate_json(path.read_bytes())
            except (OSError, ValidationError) as error:
                raise Unreachable(f"cannot use {path}: {error}") from error
        return found

    def save(self, service: str, record: Record) -> None:
        self._replace(self._splits / f"{service}.json", record.model_dump_json(by_alias=True, indent=1).encode())

    def put(self, name: str, content: JsonObject) -> bool:
        """Give Envoy a new version of a file; False if it has just this content already."""
        data = json.dumps(content).encode()
        path = self.watched / name
        if path.exists() and path.read_bytes() == data:
            return False
        self._replace(path, data)
        return True

    def drop_endpoints(self, keep: Iterable[str]) -> None:
        """Remove endpoint files of clusters that are not among ``keep``. Envoy must have dropped them before."""
        kept = {FILES.endpoints.format(cluster=cluster) for cluster in keep}
        for path in self.watched.glob(FILES.endpoints.format(cluster="*")):
            if path.name not in kept:
                path.unlink(missing_ok=True)

    def _replace(self, path: Path, data: bytes) -> None:
        try:
            replace_file(path, data)
        except OSError as error:
            raise Unreachable(f"cannot write {path}: {error.strerror}", hint="is the disk full?") from error
