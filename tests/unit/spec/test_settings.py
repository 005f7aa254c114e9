"""Settings of a desk: where a service is described for its checklist (S15) is a place beside the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from croupier.errors import SpecError
from croupier.spec.documents import load_settings

SETTINGS = """
platform: platform.yaml
traffic: {kind: envoy, directory: envoy, admin: http://127.0.0.1:9901}
workloads: {kind: processes, directory: pods, versions: versions}
metrics: {kind: scrape, urls: [http://127.0.0.1:9902/metrics]}
state: desk
checklists:
  payments-api: %s
"""


def write(folder: Path, source: str) -> Path:
    file = folder / "desk.yaml"
    file.write_text(SETTINGS % source)
    return file


def test_places_of_checklists_are_relative_to_the_file(tmp_path: Path) -> None:
    written = "{platform: ../platform, cell: lucky-se-eu-north, manifests: [deploy, /srv/alerts.yaml]}"
    source = load_settings(write(tmp_path, written)).checklists["payments-api"]
    assert source.platform == tmp_path / "../platform"
    assert source.manifests == (tmp_path / "deploy", Path("/srv/alerts.yaml"))
    assert source.cell == "lucky-se-eu-north"


def test_a_desk_bakes_longer_in_the_money_tier_unless_its_settings_say(tmp_path: Path) -> None:
    file = write(tmp_path, "{}")
    assert load_settings(file).bake_seconds.of("money") == 300.0
    file.write_text(file.read_text() + "bakeSeconds: {money: 20}\n")
    bake = load_settings(file).bake_seconds
    assert (bake.of("money"), bake.of("standard")) == (20.0, 60.0)


@pytest.mark.parametrize("source", ["{cell: lucky-se-eu-north}", "{folder: deploy}"])
def test_a_source_that_makes_no_sense_is_a_problem_with_a_place(tmp_path: Path, source: str) -> None:
    file = write(tmp_path, source)
    with pytest.raises(SpecError) as caught:
        load_settings(file)
    assert [(problem.file, problem.line) for problem in caught.value.problems] == [(str(file), 8)]
