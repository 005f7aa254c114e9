"""Versions that a stand can run: which there are, which serves first, and what the agent needs to start one.

A version is a module of the casino (``module`` in its descriptor) or a program that somebody brought
(``build.command``; ``croupier_stand.programs``).
"""

from __future__ import annotations

import logging
import sys
from importlib import resources
from pathlib import Path
from typing import cast

from croupier.adapters.workloads.descriptors import Descriptor, read_descriptors
from croupier.errors import EnvironmentFault, SpecError
from croupier.model.service import Platform, Version
from croupier_stand.agent import Build
from croupier_stand.home import Home
from croupier_stand.programs import FIRST, program_directory

_LOG = logging.getLogger(__name__)


def listed(home: Home) -> list[Version]:
    """All versions, of the stand if it was ever up, else as packaged; sorted by service and label."""
    if home.versions.is_dir() and any(home.versions.iterdir()):
        return [each.version for each in read_descriptors(home.versions)]
    with resources.as_file(resources.files("croupier_stand") / "platform" / "versions") as directory:
        return [each.version for each in read_descriptors(directory)]


class Builds:
    """How to start each version of a stand. Versions that are added while it runs are found when they are asked for."""

    def __init__(self, home: Home, platform: Platform) -> None:
        self._home = home
        self._platform = platform
        self._known: dict[str, Build] = {}
        self._read_at = -1
        """Time of change of the folder when it was read last."""

    def find(self, digest: str) -> Build | None:
        """None for a version that does not exist, or of a service that is not declared."""
        if digest not in self._known:
            changed_at = self._home.versions.stat().st_mtime_ns
            if changed_at != self._read_at:
                self._read_at = changed_at
                try:
                    found = read_descriptors(self._home.versions)
                except SpecError as error:  # the pods of all the others run on
                    _LOG.warning("no version is added: %s", error)
                    return None
                self._known |= {
                    each.version.digest: build for each in found if (build := self._build(each)) is not None
                }
        return self._known.get(digest)

    def _build(self, descriptor: Descriptor) -> Build | None:
        version, content = descriptor.version, descriptor.content
        service = self._platform.service(version.service)
        if service is None:
            return None
        drain, readiness = service.drain_seconds, service.readiness_path
        if "module" in content:
            module = f"croupier_stand.casino.{content['module']}"
            return Build(
                service.name, (sys.executable, "-m", module, "--build", str(descriptor.path)), drain, readiness
            )
        build = cast("dict[str, object]", content["build"])
        return Build(
            service.name,
            tuple(cast("list[str]", build["command"])),
            drain,
            readiness,
            cast("dict[str, str]", build["environment"]),
            program_directory(self._home, version.digest),
        )


def first_digest(directory: Path, service: str) -> str:
    """Digest of the version of ``service`` that serves first: the one labelled "stable", or the only one.

    Raises EnvironmentFault when it is not clear which.
    """
    versions = [each.version for each in read_descriptors(directory) if each.version.service == service]
    first = [version for version in versions if version.label == FIRST] or versions
    if len(first) != 1:
        labels = ", ".join(version.label for version in versions) or "there is none"
        raise EnvironmentFault(
            f"which version of {service} is to serve first is not clear: {labels}", hint=f"label one {FIRST!r}"
        )
    return first[0].digest
