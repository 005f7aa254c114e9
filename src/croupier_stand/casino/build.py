"""Build descriptors: which code a pod runs, and with which configuration.

A version is the service's code, plus the changes its descriptor names, plus the settings it has of its own.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import yaml

Parts = TypeVar("Parts")


@dataclass(frozen=True, slots=True)
class Build:
    """A descriptor as a pod needs it. ``changes`` are names of modules in ``changes/``, written with hyphens."""

    service: str
    label: str
    module: str
    changes: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    """Settings that differ from those in the code. They are part of the version as much as its code."""

    def applied(self, parts: Parts) -> Parts:
        """The parts of a service as this build has them. Raises ImportError or AttributeError for unknown changes."""
        for name in self.changes:
            change = import_module(f"croupier_stand.casino.changes.{name.replace('-', '_')}")
            parts = getattr(change, self.module)(parts)
        return parts


def load(path: Path) -> Build:
    """Read a descriptor. Raises OSError, KeyError or yaml.YAMLError."""
    raw = yaml.safe_load(path.read_text())
    build = raw.get("build") or {}
    return Build(raw["service"], raw["label"], raw["module"], tuple(build.get("changes", ())), build.get("config", {}))


def from_command_line() -> Build:
    parser = argparse.ArgumentParser(description="Run one pod of a casino service")
    parser.add_argument("--build", type=Path, required=True, help="build descriptor of the version")
    return load(parser.parse_args().build)
