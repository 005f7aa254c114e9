"""Switches that are thrown while a service runs (S12.1, S12.2), and a start that ends when it is warm (S13.3)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.support.platforms import example, flagged

from croupier.core.compare import compare
from croupier.core.policy.watching import HEAVY
from croupier.core.render.cell import objects_of
from croupier.core.render.flags import CHECKSUM
from croupier.core.render.flags import HEAVY as RENDERED_HEAVY
from croupier.core.render.version import config_map_names, version_digest, version_template
from croupier.model.flags import Flag
from croupier.model.platform import PlacedCell
from croupier.model.service_spec import Probes, ServiceSpec

DIGEST = f"sha256:{64 * 'a'}"


def _lobby(cells: list[PlacedCell], **changes: object) -> tuple[PlacedCell, ServiceSpec]:
    placed = cells[0]
    (service,) = (each for each in placed.services if each.name == "lobby")
    changed = service.model_copy(update=changes)
    services = tuple(changed if each is service else each for each in placed.services)
    return placed.model_copy(update={"services": services}), changed


def _made(kind: str, cells: list[PlacedCell], **changes: object) -> list[dict[str, Any]]:
    return [each for each in objects_of(*_lobby(cells, **changes)) if each["kind"] == kind]


def _flags(**changes: object) -> dict[str, Any]:
    (made,) = (each for each in _made("ConfigMap", flagged(), **changes) if each["metadata"]["name"] == "lobby-flags")
    return made


def test_flags_are_a_file_as_flagd_reads_it() -> None:
    """The format of OpenFeature's flagd: state, variants by name, the default one."""
    assert json.loads(_flags()["data"]["flags.json"]) == {
        "flags": {
            "ticker": {"state": "ENABLED", "variants": {"off": False, "on": True}, "defaultVariant": "on"},
            "tiles": {"state": "DISABLED", "variants": {"few": 12, "many": 48.5}, "defaultVariant": "few"},
        }
    }


def test_a_switch_is_thrown_under_the_same_name_and_in_pods_that_stay() -> None:
    """S12.1: no new version, no roll; what is mounted as a folder is written anew by the kubelet."""
    off = {"ticker": Flag(default="off", heavy=True)}
    before, after = _flags(), _flags(flags=off)
    assert before["metadata"]["name"] == after["metadata"]["name"]
    assert not after.get("immutable")
    assert before["metadata"]["annotations"][CHECKSUM] != after["metadata"]["annotations"][CHECKSUM]
    templates = [
        each["spec"]["template"]
        for changes in ({}, {"flags": off})
        for each in _made("Deployment", flagged(), **changes)
    ]
    assert templates[0] == templates[1]
    (container,) = templates[0]["spec"]["containers"]
    (mount,) = (each for each in container["volumeMounts"] if each["mountPath"] == "/flags")
    assert "subPath" not in mount


def test_no_version_freezes_them() -> None:
    """A copy of its own would keep a feature on that was switched off."""
    (deployment,) = _made("Deployment", flagged(), config={"LOG_LEVEL": "info"})
    template = deployment["spec"]["template"]
    (config,) = config_map_names(template)
    assert config.startswith("lobby-config-")
    made = version_template("lobby", DIGEST, template)
    assert {"name": "flags", "configMap": {"name": "lobby-flags"}} in made["spec"]["volumes"]
    assert version_digest(template, {config: {"data": {}}}).startswith("sha256:")


def test_what_can_be_switched_off_in_an_accident_is_told() -> None:
    """S15.6: the checklist asks for it."""
    (deployment,) = _made("Deployment", flagged())
    assert deployment["metadata"]["annotations"] == {HEAVY: "ticker"} == {RENDERED_HEAVY: "ticker"}


def test_who_has_no_flags_is_told_nothing_of_them() -> None:
    (deployment,) = _made("Deployment", example())
    assert "flag" not in json.dumps(deployment).lower()


@pytest.mark.parametrize("released_by", ["croupier", "kubernetes"])
def test_a_plan_tells_flags_as_what_they_are(released_by: str) -> None:
    cells = [
        each.model_copy(update={"region": each.region.model_copy(update={"released_by": released_by})})
        for each in flagged()
    ]
    before, lobby = _lobby(cells)
    after, _ = _lobby(cells, flags={**lobby.flags, "ticker": Flag(default="off", heavy=True)})
    plan = compare([before], [after])
    assert [(each.kind, each.path, each.before, each.after, each.releases) for each in plan.changes] == [
        ("flag", "flags.ticker.default", "on", "off", ())
    ]
    assert plan.versions == ()


def test_the_start_ends_once_it_is_warm() -> None:
    """S13.3: liveness and readiness are asked only then, within startSeconds."""
    for probes, asked in (
        (Probes(warm_up_path="/warm"), {"httpGet": {"path": "/warm", "port": "http"}}),
        (Probes(warm_up_command=("/app", "is-warm")), {"exec": {"command": ["/app", "is-warm"]}}),
        (Probes(), {"httpGet": {"path": "/healthz", "port": "http"}}),
    ):
        (deployment,) = _made("Deployment", example(), probes=probes, start_seconds=100)
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        assert asked.items() <= container["startupProbe"].items()
        assert container["startupProbe"]["failureThreshold"] * container["startupProbe"]["periodSeconds"] >= 100
        for other in ("livenessProbe", "readinessProbe"):
            assert container[other]["httpGet"]["path"] != "/warm"
