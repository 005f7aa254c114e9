"""The files of docs/how-to/judge.md: sound settings, and manifests that ask what the judge answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support import quick_yaml

from croupier.judge.app import HOOKS
from croupier.spec.documents import load_judge

FOLDER = Path(__file__).parents[3] / "examples" / "judge"


def documents(name: str) -> list[dict[str, Any]]:
    return list(quick_yaml.load_all((FOLDER / name).read_text(encoding="utf-8")))


def test_the_settings_are_sound() -> None:
    assert [service.name for service in load_judge(FOLDER / "judge.yaml").services] == ["payments-api", "podinfo.test"]


def test_argo_asks_for_the_verdict_that_the_judge_gives() -> None:
    names = {service.name for service in load_judge(FOLDER / "judge.yaml").services}
    templates = [each for each in documents("argo.yaml") if each["kind"] == "AnalysisTemplate"]
    for template in templates:
        (metric,) = template["spec"]["metrics"]
        web = metric["provider"]["web"]
        assert urlsplit(web["url"]).path == "/v1/argo"
        assert web["jsonPath"] == "{$.verdict}"
        assert metric["failureCondition"] == 'result == "fail"'
        given = {argument["name"] for argument in template["spec"]["args"]}
        assert all(f"{{{{args.{name}}}}}" in str(web) for name in given)
    (rollout,) = [each for each in documents("argo.yaml") if each["kind"] == "Rollout"]
    analysis = rollout["spec"]["strategy"]["canary"]["analysis"]
    assert {argument["value"] for argument in analysis["args"] if argument["name"] == "service"} <= names
    assert {each["templateName"] for each in analysis["templates"]} <= {each["metadata"]["name"] for each in templates}


def test_flagger_calls_webhooks_that_there_are_with_the_token() -> None:
    (canary,) = documents("flagger.yaml")
    for hook in canary["spec"]["analysis"]["webhooks"]:
        assert hook["type"] in HOOKS
        assert urlsplit(hook["url"]).path == f"/v1/flagger/{hook['type']}"
        assert "token" in hook["metadata"]
