"""What ``croupier check`` says although nothing is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from croupier.spec.platform import load_described

BASE = Path(__file__).parent / "base" / "base.yaml"
LEDGER = "      main: {classes: [ledger], replicas: [east], backup: north, keys: north}\n"
POSTGRES = ', postgres: {storage: money, size: 10Gi, resources: {cpu: "1", memory: 4Gi}, pooler: {size: 20}}}\n'
RENDERED = LEDGER.replace("}\n", POSTGRES)
GATEWAY = "gateway: {name: web}"
OBJECTIVES = "    objectives: [{signal: errors, successRatio: 0.999}]\n"


def _notes(folder: Path, *replacements: tuple[str, str]) -> list[str]:
    text = BASE.read_text().replace("\n\nlayers:", f"\n{OBJECTIVES}\nlayers:")
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    (folder / "x.yaml").write_text(text)
    return [each.replace(f"{folder}/", "") for each in load_described(folder).notes]


def test_a_store_whose_password_nobody_here_brings_is_named_with_its_secret(tmp_path: Path) -> None:
    """Prevents: a database that waits for a Secret that everybody takes for somebody else's."""
    (note,) = _notes(tmp_path, (LEDGER, RENDERED))
    assert note == (
        "wallet has no credentials for store main (x.yaml:59:169): somebody else makes the Secret main-wallet in "
        "acme-ro-north-data, and brings it to the pods"
    )


@pytest.mark.parametrize(
    "replacements",
    [
        pytest.param((), id="a-store-that-is-run-by-other-means"),
        pytest.param(
            ((LEDGER, RENDERED.replace("main: {", "main: {credentials: casino/main, ")),
             (GATEWAY, f"{GATEWAY}, secretStore: vault")),
            id="credentials",
        ),
    ],
)  # fmt: skip
def test_nothing_is_noted_of_a_password_that_comes_by_itself(
    tmp_path: Path, replacements: tuple[tuple[str, str], ...]
) -> None:
    assert _notes(tmp_path, *replacements) == []


def test_a_level_of_logs_that_config_outweighs_is_named_with_its_line(tmp_path: Path) -> None:
    """Prevents: another level in the platform file, and pods that write as before. Files outweigh nothing."""
    said = (
        "  routes: []\n",
        "  routes: []\n  logging: {level: debug}\n  config: {LOG_LEVEL: info, LOG_FORMAT: json}\n",
    )
    (note,) = _notes(tmp_path, said)
    assert note == (
        "LOG_LEVEL of config (x.yaml:44:23) outweighs logging.level for lobby in acme-mt-west and 8 more: leave it out "
        "there"
    )
    assert _notes(tmp_path, (said[0], f"{said[1]}  configAs: files\n")) == []


def test_what_looks_like_a_secret_in_config_is_named_with_its_line(tmp_path: Path) -> None:
    """S10.6: it would be in Git, and in a ConfigMap."""
    said = (
        "  routes: []\n",
        "  routes: []\n  config: {DB_PASSWORD: hunter2, DB_PASSWORD_FILE: /secrets/main/password}\n",
    )
    (note,) = _notes(tmp_path, said)
    assert note.startswith(
        "DB_PASSWORD of config (x.yaml:43:25) looks like a secret of lobby in acme-mt-west and 8 more"
    )


def test_room_for_events_that_nobody_keeps_is_noted(tmp_path: Path) -> None:
    ahead = f"warm: {{aheadMinutes: 10, image: registry.example/pause@sha256:{'a' * 64}}}, "
    (north, *_) = (line for line in BASE.read_text().splitlines() if line.startswith("  north: "))
    told = (north, north.replace("zones:", f"{ahead}zones:"))
    (note,) = _notes(tmp_path, told)
    assert note == (
        "aheadMinutes of region north raises no nodes (x.yaml:26:3): no pool that is not spot says what one of its "
        "nodes has (node)"
    )
    sized = (told[1], told[1].replace("money: {labels", 'money: {node: {cpu: "4", memory: 16Gi, pods: 50}, labels'))
    assert _notes(tmp_path, told, sized) == []


def test_a_market_that_says_nothing_of_data_is_named_with_the_data_it_keeps(tmp_path: Path) -> None:
    """S11: an audit asks where data may be, and silence would look like an answer."""
    unset = ('  - at: {market: "no"}\n    unset: [data]\n', "")
    kept = ("cells:\n", "cells:\n  - {brand: acme, market: no, region: east, hostnames: [no.acme.example]}\n")
    (note,) = _notes(tmp_path, unset, kept)
    assert note == "market no has no residency (x.yaml:7:3): nobody says where ledger may be"


def test_a_service_whose_releases_only_errors_judge_is_named_with_its_line(tmp_path: Path) -> None:
    """Prevents: a platform without a problem, and manifests that ``policy check`` refuses."""
    (note,) = _notes(tmp_path, (OBJECTIVES, ""))
    assert note == (
        "wallet has no objectives (x.yaml:54:5), so errors alone take a release of it back in acme-mt-west and 2 more: "
        "policy check refuses that"
    )
    by_kubernetes = [(region, region.replace("zones:", "releasedBy: kubernetes, zones:")) for region in _regions()]
    assert not any("errors alone" in each for each in _notes(tmp_path, (OBJECTIVES, ""), *by_kubernetes))


def _regions() -> list[str]:
    return [line for line in BASE.read_text().splitlines() if line.startswith(("  north:", "  east:", "  west:"))]
