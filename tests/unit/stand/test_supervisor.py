"""What the supervisor lays out for others to read."""

from __future__ import annotations

from pathlib import Path

from croupier.model.settings import EnvoySettings
from croupier.spec.documents import load_settings
from croupier_stand.parts import PORTS
from croupier_stand.supervisor import settings


def test_the_desk_of_a_stand_reads_why_envoy_refused_something(tmp_path: Path) -> None:
    path = tmp_path / "desk.yaml"
    path.write_text(settings({name: 20_000 + number for number, name in enumerate(PORTS)}))
    traffic = load_settings(path).traffic
    assert isinstance(traffic, EnvoySettings)
    assert traffic.log == tmp_path / "logs" / "envoy.log"
