"""Settings of a desk: which platform it serves and through which back ends (``desk.yaml``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints

from croupier.model.base import Value
from croupier.model.checklist import ChecklistPolicy, Sources
from croupier.model.freeze import FreezeWindows
from croupier.model.release import BakeSeconds

HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+(/\S*)?$")]


class EnvoySettings(Value):
    """Traffic by Envoy."""

    kind: Literal["envoy"]
    directory: Path
    """Where its files are."""
    admin: HttpUrl
    """Its admin interface."""
    log: Path | None = None
    """Its log, the only place where it says why it refused something. None: messages name what it refused."""


class ProcessesSettings(Value):
    """Workloads as processes of one machine."""

    kind: Literal["processes"]
    directory: Path
    """Where the desk writes which pods there are to be, and reads which there are."""
    versions: Path
    """Folder of build descriptors."""


class ScrapeSettings(Value):
    """Metrics by scraping."""

    kind: Literal["scrape"]
    urls: Annotated[tuple[HttpUrl, ...], Field(min_length=1)]
    """Pages in Prometheus text form."""


class DeskSettings(Value):
    """All a desk needs to be wired. Relative paths are relative to the file they stand in."""

    platform: Path
    """File of the platform: what runs, and what is promised."""
    traffic: EnvoySettings
    """What moves players."""
    workloads: ProcessesSettings
    """What starts versions."""
    metrics: ScrapeSettings
    """Where it is counted what becomes of players."""
    state: Path
    """Folder of journal, evidence, keys and token."""
    most_live_runs: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """How many releases may be live at a time. None: one a service."""

    checklists: Annotated[Sources, Field(default_factory=dict)]
    """Service -> where it is described, for its checklist (S15). Of a service that is not named here, nothing but the
    release itself is known."""
    checklist: ChecklistPolicy = ChecklistPolicy()
    """Whether a release starts while a line of the checklist is red."""
    bake_seconds: BakeSeconds = BakeSeconds()
    """How long a release keeps the old version after 100 % where it does not say."""
    freezes: Annotated[FreezeWindows, Field(default_factory=dict)]
    """Windows in which nothing new starts and nothing goes forward."""

    def anchored(self, directory: Path) -> Self:
        """The same with paths below ``directory``; absolute paths stay."""
        return self.model_copy(
            update={
                "platform": directory / self.platform,
                "state": directory / self.state,
                "checklists": {name: each.anchored(directory) for name, each in self.checklists.items()},
                "traffic": self.traffic.model_copy(
                    update={
                        "directory": directory / self.traffic.directory,
                        "log": self.traffic.log and directory / self.traffic.log,
                    }
                ),
                "workloads": self.workloads.model_copy(
                    update={
                        "directory": directory / self.workloads.directory,
                        "versions": directory / self.workloads.versions,
                    }
                ),
            }
        )
