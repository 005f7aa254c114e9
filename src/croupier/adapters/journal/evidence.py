"""Evidence in files: ``<directory>/<run>.jsonl``, one segment a run, append-only.

The first line is a header, then one line a sample. The running hash is the SHA-256 of the file up to and with a line,
so ``head -n $((samples + 1)) <run>.jsonl | sha256sum`` gives the hash that a verdict names.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from croupier.adapters.files import sync_directory
from croupier.adapters.journal.codec import decode_sample, encode_sample, header
from croupier.errors import IntegrityError, Unreachable
from croupier.model.evidence import Sample

_RUN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")


@dataclass(slots=True)
class _Tail:
    """Where the next sample of a run goes."""

    size: int
    at: float
    """Time of the last sample; minus infinity when there is none."""
    running: hashlib._Hash
    count: int


class FileEvidence:
    """The store of one desk. One writer at a time (the desk holds the journal's lock); any number of readers."""

    def __init__(self, directory: Path) -> None:
        """``directory`` is created (0700) when the first sample is written."""
        self._directory = directory
        self._tails: dict[str, _Tail] = {}

    def append(self, run: str, sample: Sample) -> str:
        """See ``EvidenceStore.append``. Raises ``Unreachable``, and keeps nothing, when the file cannot be written."""
        path = self._path(run)
        try:
            tail = self._tails.get(run) or self._open(run, path)
            if sample.at <= tail.at:
                return tail.running.hexdigest()
            line = encode_sample(sample)
            with path.open("r+b") as file:
                # Cuts off what a crash or a full disk left behind the last whole line.
                file.truncate(tail.size)
                file.seek(tail.size)
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self._tails.pop(run, None)
            raise Unreachable(f"evidence of {run} cannot be written: {error.strerror}") from error
        tail.running.update(line)
        tail.size += len(line)
        tail.at = sample.at
        tail.count += 1
        self._tails[run] = tail
        return tail.running.hexdigest()

    def read(self, run: str) -> Sequence[Sample]:
        """See ``EvidenceStore.read``."""
        samples: list[Sample] = []
        for number, line in enumerate(self._lines(run)[1:], start=2):
            try:
                samples.append(decode_sample(line))
            except ValueError as error:
                raise IntegrityError(f"evidence of {run}, line {number}: {error}") from error
        return samples

    def digest(self, run: str, *, count: int | None = None) -> str:
        """See ``EvidenceStore.digest``. Raises ``IntegrityError`` when there are fewer than ``count`` samples."""
        hashes = self.digests(run)
        if count is not None and count >= len(hashes):
            raise IntegrityError(f"evidence of {run} has {len(hashes) - 1} samples, not {count}")
        return hashes[-1 if count is None else count]

    def digests(self, run: str) -> Sequence[str]:
        """See ``EvidenceStore.digests``. Reads the file: nothing remembered vouches for it."""
        running = hashlib.sha256()
        hashes: list[str] = []
        for line in self._lines(run):
            running.update(line)
            hashes.append(running.hexdigest())
        return hashes

    def _path(self, run: str) -> Path:
        if not _RUN.match(run):
            raise ValueError(f"{run!r} cannot name a run")
        return self._directory / f"{run}.jsonl"

    def _lines(self, run: str) -> list[bytes]:
        """Whole lines, the header first; the header alone for an unknown run."""
        try:
            data = self._path(run).read_bytes()
        except FileNotFoundError:
            return [header(run)]
        except OSError as error:
            raise Unreachable(f"evidence of {run} cannot be read: {error.strerror}") from error
        lines = [line + b"\n" for line in data.split(b"\n")]
        lines[-1] = lines[-1].removesuffix(b"\n")
        # A crash leaves a last line without its end, or one that the file system never filled.
        if not lines[-1].endswith(b"\n"):
            lines.pop()
        if lines and b"\0" in lines[-1]:
            lines.pop()
        if not lines:
            return [header(run)]
        if lines[0] != header(run):
            raise IntegrityError(f"evidence of {run}, line 1: not the header of this run")
        return lines

    def _open(self, run: str, path: Path) -> _Tail:
        if not path.exists():
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(header(run))
                file.flush()
                os.fsync(file.fileno())
            sync_directory(self._directory)
        lines = self._lines(run)
        samples = self.read(run)
        whole = b"".join(lines)
        if path.stat().st_size < len(whole):
            path.write_bytes(whole)  # only the header can be missing: it was torn
        at = samples[-1].at if samples else float("-inf")
        return _Tail(len(whole), at, hashlib.sha256(whole), len(samples))
