"""What the Vertical Pod Autoscaler would have services ask for, beside what they ask for (S6.3, S13.5)."""

from __future__ import annotations

from typing import Literal

from croupier.model.base import Value

Resource = Literal["cpu", "memory"]
Fit = Literal["too little", "fits", "too much"]


class Recommendation(Value):
    """One resource of the pods of one service in one cell. Amounts as Kubernetes writes them."""

    cell: str
    service: str
    resource: Resource
    asked: str
    """The request in the platform file."""
    target: str
    """What the recommender would ask for."""
    lower: str
    """Below this pods are likely to be slowed down, or killed."""
    upper: str
    """What is asked for above this is likely to lie idle."""
    fit: Fit
    """Where the request lies."""


class Recommendations(Value):
    recommendations: tuple[Recommendation, ...]
    """Those whose requests do not fit first, then by cell, service and resource."""
    unknown: tuple[str, ...]
    """Services with a VerticalPodAutoscaler that has recommended nothing yet, like ``wallet in acme-mt-west``."""
    others: int = 0
    """VerticalPodAutoscalers that are of no service of the platform, by name and label ``cell``."""
