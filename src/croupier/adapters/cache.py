"""Answers that cost seconds, kept in the user's cache folder under all that they hang on. Losing them loses nothing."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import croupier
from croupier.adapters.files import replace_file

_MOST = 64
"""Answers of one kind."""


def key(*parts: str) -> str:
    """A name for an answer that hangs on ``parts``, and on croupier as it is installed."""
    package = Path(croupier.__file__).parent
    stamps = [
        f"{path}{os.stat(path).st_mtime_ns}" for path in sorted(package.rglob("*.*")) if path.suffix in (".py", ".json")
    ]
    return hashlib.sha256("\0".join([croupier.__version__, *stamps, *parts]).encode()).hexdigest()


def recall(kind: str, name: str) -> Any:
    """The answer, or None."""
    try:
        return json.loads((_folder(kind) / name).read_bytes())
    except (OSError, ValueError, RuntimeError):  # RuntimeError: a user without a home
        return None


def remember(kind: str, name: str, answer: Any) -> None:
    """Keep an answer, and of its kind the newest ones only. Where nothing can be written, nothing is kept."""
    try:
        folder = _folder(kind)
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(folder / name, json.dumps(answer).encode(), durable=False)
        kept = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        for path in kept[:-_MOST]:
            path.unlink(missing_ok=True)
    except (OSError, RuntimeError):
        return


def _folder(kind: str) -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "croupier" / kind
