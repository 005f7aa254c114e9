"""Versions as they run: immutable sets of pods."""

from __future__ import annotations

from dataclasses import dataclass

from croupier.model.traffic import Endpoint


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod as observed. ``restarts`` counts starts after the first, over the pod's life."""

    name: str
    endpoint: Endpoint | None
    """None until the pod has an address."""
    ready: bool
    restarts: int
    reason: str = ""
    """Why it is not ready ("exit code 1, restart in 2 s"), or ""."""


@dataclass(frozen=True, slots=True)
class VersionPods:
    """The pods of one version. ``desired`` is what was asked for, 0 while it is being retired."""

    service: str
    digest: str
    desired: int
    pods: tuple[Pod, ...]

    @property
    def ready(self) -> int:
        return sum(pod.ready for pod in self.pods)

    @property
    def restarts(self) -> int:
        return sum(pod.restarts for pod in self.pods)
