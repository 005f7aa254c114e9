"""Configuration as variables or as files: the same ConfigMap, and the same release (S10.7, S12.2, S12.3)."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from tests.support.platforms import example

from croupier.core.render.collector import tracing
from croupier.core.render.version import config_map_names
from croupier.core.render.workload import intent
from croupier.model.platform import PlacedCell
from croupier.model.service_spec import Logging, ServiceSpec

(PLACED, *_) = example()
SERVICE = next(each for each in PLACED.services if each.config)


def _template(placed: PlacedCell, service: ServiceSpec) -> dict[str, Any]:
    template: dict[str, Any] = intent(placed, service)["spec"]["template"]
    return template


def test_who_wants_files_gets_no_variables_of_its_configuration() -> None:
    template = _template(PLACED, SERVICE.model_copy(update={"config_as": "files"}))
    (container,) = template["spec"]["containers"]
    assert "envFrom" not in container
    (volume,) = (each for each in template["spec"]["volumes"] if each["name"] == "config")
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == "config")
    assert mount == {"name": "config", "mountPath": "/config", "readOnly": True}
    (variables,) = _template(PLACED, SERVICE)["spec"]["containers"][0]["envFrom"]
    assert volume["configMap"]["name"] == variables["configMapRef"]["name"]


def test_a_version_has_its_own_configuration_either_way() -> None:
    """Prevents: pods of an old version that read the files of the new one."""
    for way in ("environment", "files"):
        template = _template(PLACED, SERVICE.model_copy(update={"config_as": way}))
        assert any(name.startswith(f"{SERVICE.name}-config-") for name in config_map_names(template))


def test_who_has_no_configuration_has_no_files() -> None:
    template = _template(PLACED, SERVICE.model_copy(update={"config_as": "files", "config": {}}))
    assert not [each for each in template["spec"].get("volumes", ()) if each["name"] == "config"]


@pytest.mark.parametrize("path", ["/config", "/config/x"])
def test_nothing_covers_the_files(path: str) -> None:
    held = SERVICE.model_dump()
    assert ServiceSpec.model_validate({**held, "writable": (path,)}).writable == (path,)
    with pytest.raises(ValidationError, match="would cover the files of config"):
        ServiceSpec.model_validate({**held, "writable": (path,), "config_as": "files"})


def test_what_is_said_in_files_takes_no_variable_away() -> None:
    """Prevents: a service with ``LOG_LEVEL`` among its files, and no variable that says how loud its logs are."""
    loud = SERVICE.model_copy(update={"logging": Logging(level="warning"), "config": {"LOG_LEVEL": "debug"}})
    assert "LOG_LEVEL" not in tracing(PLACED, loud)
    assert tracing(PLACED, loud.model_copy(update={"config_as": "files"}))["LOG_LEVEL"] == "warning"
