"""Histories in files: ``<directory>/<service>.json``, replaced whole.

Whoever deletes one while no desk runs has the next desk learn that service anew.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from croupier.adapters.files import replace_file
from croupier.errors import Unreachable
from croupier.model.history import HistoryRecord

log = logging.getLogger(__name__)


class FileHistory:
    """The store of one desk; any number of readers."""

    def __init__(self, directory: Path) -> None:
        """``directory`` is created (0700) when the first record is written."""
        self._directory = directory

    def services(self) -> Sequence[str]:
        """See ``HistoryStore.services``."""
        try:
            return sorted(path.stem for path in self._directory.glob("*.json"))
        except OSError as error:
            raise Unreachable(f"histories cannot be read: {error.strerror}") from error

    def load(self, service: str) -> HistoryRecord | None:
        """See ``HistoryStore.load``."""
        path = self._path(service)
        try:
            record = HistoryRecord.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unreachable(f"the history of {service} cannot be read: {error.strerror}") from error
        except ValidationError as error:
            why = error.errors(include_url=False, include_input=False)[0]["msg"]
            log.warning("%s is not used, its service is learned anew: %s", path, why)
            return None
        if record.service != service:
            log.warning("%s is not used: it is the history of %s", path, record.service)
            return None
        return record

    def save(self, record: HistoryRecord) -> None:
        """See ``HistoryStore.save``. A power cut may cost the newest one: it is not worth an fsync."""
        data = record.model_dump_json(by_alias=True).encode()
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(self._path(record.service), data, durable=False)
        except OSError as error:
            raise Unreachable(f"the history of {record.service} cannot be written: {error.strerror}") from error

    def forget(self, service: str) -> None:
        """See ``HistoryStore.forget``."""
        try:
            self._path(service).unlink(missing_ok=True)
        except OSError as error:
            raise Unreachable(f"the history of {service} cannot be removed: {error.strerror}") from error

    def _path(self, service: str) -> Path:
        return self._directory / f"{service}.json"
