"""What watches a region, and whom it calls (S9, S15.7).

Field names are the keys of the platform file; ``docs/reference/platform.md`` is made from this module.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from croupier.model.base import LabelKey, LabelValue, Name, Value
from croupier.model.slo import Form

Page = Annotated[str, StringConstraints(pattern=r"^https?://[^\s{}#]+$", max_length=500)]


class Monitoring(Value):
    """The Prometheus of a region: what it shall scrape and record, and when to call (S9, S15.7)."""

    form: Form
    """``operator``: PodMonitor, ScrapeConfig and PrometheusRule objects beside the others; ``files``: a rule file for
    each cell, and a file of scrape jobs, below ``prometheus/<region>/``."""
    labels: Annotated[dict[LabelKey, LabelValue], Field(default_factory=dict)]
    """Of ``operator``: labels by which the Prometheus there finds its objects."""
    series_budget: Annotated[int, Field(ge=1000, le=1_000_000_000)] = 3_000_000
    """Most series that all that is declared may come to at the highest load. More is refused."""
    resources: bool = False
    """Kubelets and kube-state-metrics are scraped there, by other means: what pods use is recorded, and somebody is
    called when it is used up (S9.3). False: nobody is."""
    dashboards: dict[LabelKey, LabelValue] | None = None
    """Labels by which the sidecar of Grafana finds a ConfigMap with the dashboard of each service, like
    ``grafana_dashboard: "1"``. None: no dashboards are made."""

    @field_validator("labels")
    @classmethod
    def _labels_are_of_objects(cls, labels: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        if labels and info.data.get("form") == "files":
            raise PydanticCustomError("labels", "labels are of objects, and form: files makes none")
        return labels


class OnCall(Value):
    """Who is called, and what they open first (S15.9)."""

    team: Name
    """Label ``team`` of every alert: on-call schedules go by it."""
    runbook: Page
    """Address of the page to open. The alert's name follows as an anchor, like ``#spans-lost``."""
