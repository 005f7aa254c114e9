"""What the supervisor lays out for others to read, and what it ends."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from croupier.adapters.clock import SystemClock
from croupier.model.settings import EnvoySettings
from croupier.spec.documents import load_settings
from croupier_stand import postgres
from croupier_stand.home import Home
from croupier_stand.keeper import Keeper
from croupier_stand.load import Load
from croupier_stand.parts import PORTS
from croupier_stand.supervisor import Supervisor, settings

LOAD = Load(players=1, seed=1)


def test_the_desk_of_a_stand_reads_why_envoy_refused_something(tmp_path: Path) -> None:
    path = tmp_path / "desk.yaml"
    path.write_text(settings({name: 20_000 + number for number, name in enumerate(PORTS)}))
    traffic = load_settings(path).traffic
    assert isinstance(traffic, EnvoySettings)
    assert traffic.log == tmp_path / "logs" / "envoy.log"


def test_pods_are_told_to_end_whatever_a_stand_is_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand of somebody's own services has no providers before its pods."""
    monkeypatch.setattr(postgres, "remove", lambda where: None)
    for parts in (["postgres", "psp-a", "provider", "envoy", "desk"], ["envoy", "desk"], []):
        ended: list[str] = []
        home = Home("unit", tmp_path / "home")
        home.clear()
        supervisor = Supervisor(home, LOAD, with_desk=False, clock=SystemClock())
        agent = SimpleNamespace(stop=lambda ended=ended: ended.append("pods"), records=tuple)
        monkeypatch.setattr(supervisor, "_agent", agent)
        for name in parts:
            monkeypatch.setitem(supervisor._keepers, name, Keeper(Child(name, ended), None, 1.0))  # type: ignore[arg-type]
        supervisor._fall()
        before = [name for name in reversed(parts) if name in ("envoy", "desk")]
        assert ended == [*before, "pods", *(name for name in reversed(parts) if name not in before)]


class Child:
    identity = None

    def __init__(self, name: str, ended: list[str]) -> None:
        self.name, self._ended = name, ended

    def stop(self, *, patience_seconds: float) -> None:
        self._ended.append(self.name)
