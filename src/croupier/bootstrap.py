"""Settings to a wired desk: the only place that picks back ends."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from croupier.adapters.clock import SystemClock
from croupier.adapters.history.files import FileHistory
from croupier.adapters.journal.evidence import FileEvidence
from croupier.adapters.journal.sqlite import SqliteJournal
from croupier.adapters.registry import METRICS, TRAFFIC, WORKLOADS, Place, make
from croupier.engine.desk import Desk
from croupier.spec.documents import load_settings, refuse_unknown_services
from croupier.spec.freezes import freezes_of
from croupier.spec.platform import load_platform

SETTINGS = "desk.yaml"


def wire(settings_path: Path) -> Desk:
    """A desk as its settings say; it holds the journal until ``Desk.run`` ends or ``Desk.close`` is called.

    Args:
        settings_path: ``desk.yaml``, or the folder it stands in.

    Raises:
        SpecError: for settings or a platform file with problems, each with its place.
        Conflict: when another desk holds the journal.
        IntegrityError: when the journal is not what this desk wrote.
    """
    path = settings_path / SETTINGS if settings_path.is_dir() else settings_path
    settings = load_settings(path)
    platform = load_platform(settings.platform)
    refuse_unknown_services(path, settings, platform)
    clock, closing = SystemClock(), AsyncExitStack()
    place = Place(platform=platform, clock=clock, closing=closing)
    traffic = make("traffic", TRAFFIC, settings.traffic, place)
    workloads = make("workloads", WORKLOADS, settings.workloads, place)
    metrics = make("metrics", METRICS, settings.metrics, place)
    journal = SqliteJournal(settings.state / "journal.sqlite")
    closing.callback(journal.close)
    return Desk(
        platform=platform,
        traffic=traffic,
        workloads=workloads,
        metrics=metrics,
        journal=journal,
        evidence=FileEvidence(settings.state / "evidence"),
        clock=clock,
        closing=closing,
        most_live=settings.most_live_runs,
        checklists=settings.checklists,
        checklist=settings.checklist,
        freezes=freezes_of(settings.freezes),
        bake_seconds=settings.bake_seconds,
        history=FileHistory(settings.state / "history"),
    )
