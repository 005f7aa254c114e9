"""What every data plane refuses before it asks the world."""

from __future__ import annotations

from croupier.errors import UnknownName
from croupier.model.service import Platform, Service
from croupier.model.traffic import Split


def service_of(platform: Platform, name: str) -> Service:
    """The declared service. Raises ``UnknownName``, which lists those declared."""
    service = platform.service(name)
    if service is None:
        raise UnknownName("service", name, [each.name for each in platform.services])
    return service


def check_split(platform: Platform, split: Split) -> None:
    """Raises ``UnknownName`` for an undeclared service, and ``ValueError`` for a split that nobody can have meant."""
    service_of(platform, split.service)
    check_weights(split)


def check_weights(split: Split) -> None:
    """Raises ``ValueError`` for a split that nobody can have meant."""
    canary = split.canary.weight if split.canary else 0
    if not 0 <= canary <= 100 or split.stable.weight + canary != 100:
        raise ValueError(f"weights must be 0-100 and add up to 100, got {split.stable.weight} and {canary}")
    if split.canary and split.canary.digest == split.stable.digest:
        raise ValueError(f"stable and canary are the same version, {split.stable.digest}")
