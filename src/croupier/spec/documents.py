"""The files croupier reads: platform, release, settings of the desk, build descriptor. One loader each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from croupier.model.release import ReleaseFile
from croupier.model.service import BuildDescriptor, Platform
from croupier.model.settings import DeskSettings
from croupier.spec.load import Flaw, load


def load_platform(path: Path) -> Platform:
    """The declared services. Names are unique, dependencies declared, routes whole segments and nobody else's."""
    return load(path, Platform, _platform_flaws)


def load_release(path: Path) -> ReleaseFile:
    """A release as a person wrote it; ``ReleaseFile.complete`` makes a ``Release`` of it."""
    return load(path, ReleaseFile)


def load_settings(path: Path) -> DeskSettings:
    """Settings of a desk (``desk.yaml``); relative paths in it are relative to the file and come back absolute."""
    return load(path, DeskSettings).anchored(path.absolute().parent)


def load_descriptor(path: Path) -> BuildDescriptor:
    """One build of a service."""
    return load(path, BuildDescriptor)


def _platform_flaws(platform: Platform) -> Iterator[Flaw]:
    names = [service.name for service in platform.services]
    owners: dict[str, str] = {}
    for index, service in enumerate(platform.services):
        at = ("services", index)
        if service.name in names[:index]:
            yield Flaw((*at, "name"), "DUPLICATE_NAME", f"service {service.name!r} is declared twice")
        for number, needed in enumerate(service.depends_on):
            if needed not in names:
                yield Flaw(
                    (*at, "dependsOn", number),
                    "UNKNOWN_NAME",
                    f"{needed!r} is not declared",
                    f"declared: {', '.join(sorted(names))}",
                )
        for number, route in enumerate(service.routes):
            if not (route.startswith("/") and route.endswith("/")):
                yield Flaw((*at, "routes", number), "ROUTE", f"{route!r} must start and end with /")
            elif route in owners:
                yield Flaw((*at, "routes", number), "ROUTE", f"{route!r} belongs to {owners[route]} already")
            owners.setdefault(route, service.name)
        for number, objective in enumerate(service.objectives):
            wanted = "p95Seconds" if objective.signal == "latency" else "successRatio"
            given = {"p95Seconds": objective.p95_seconds, "successRatio": objective.success_ratio}
            if [key for key, value in given.items() if value is not None] != [wanted]:
                yield Flaw(
                    (*at, "objectives", number), "OBJECTIVE", f"{objective.signal} needs {wanted} and nothing else"
                )
