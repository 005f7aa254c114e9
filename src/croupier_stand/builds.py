"""Versions of the casino: which there are, which serves first, and what the agent needs to start one."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import yaml

from croupier.adapters.workloads.descriptors import Descriptor, read_descriptors
from croupier.errors import EnvironmentFault
from croupier.model.service import Platform, Version
from croupier_stand.agent import Build
from croupier_stand.home import Home

FIRST = "stable"
"""Label of the version of each service that serves when a stand comes up."""


def listed(home: Home) -> list[Version]:
    """All versions, of the stand if it was ever up, else as packaged; sorted by service and label."""
    if home.versions.is_dir() and any(home.versions.iterdir()):
        return [each.version for each in read_descriptors(home.versions)]
    with resources.as_file(resources.files("croupier_stand") / "platform" / "versions") as directory:
        return [each.version for each in read_descriptors(directory)]


def platform_of(path: Path) -> Platform:
    """The platform that a stand consists of, from its own file."""
    return Platform.model_validate(yaml.safe_load(path.read_bytes()))


def builds(directory: Path, platform: Platform) -> dict[str, Build]:
    """Digest -> how to start it. Versions of undeclared services are left out."""
    return {
        each.version.digest: _build(each, platform)
        for each in read_descriptors(directory)
        if platform.service(each.version.service) is not None
    }


def first_digest(directory: Path, service: str) -> str:
    """Digest of the version of ``service`` that serves first. Raises EnvironmentFault when there is none."""
    for each in read_descriptors(directory):
        if (each.version.service, each.version.label) == (service, FIRST):
            return each.version.digest
    raise EnvironmentFault(f"there is no version {FIRST!r} of {service} in {directory}")


def _build(descriptor: Descriptor, platform: Platform) -> Build:
    service = platform.service(descriptor.version.service)
    assert service is not None
    module = str(descriptor.content["module"])
    return Build(
        service=service.name,
        descriptor=descriptor.path,
        module=f"croupier_stand.casino.{module}",
        drain_seconds=service.drain_seconds,
        readiness_path=service.readiness_path,
    )
