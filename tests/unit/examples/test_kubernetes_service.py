"""The example counts as the kit counts, shows what the desk reads, and its manifests are what they claim to be."""

from __future__ import annotations

import importlib.util
import random
import sys
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.support import quick_yaml

from croupier.adapters.metrics.exposition import read_page
from croupier.adapters.metrics.pods import read_pod
from croupier.core.policy.catalogue import chosen
from croupier.core.policy.objects import Settings
from croupier.core.policy.rule import Level
from croupier.engine.policy import Checked, Excuses
from croupier.model.release_policy import ReleasePolicySpec
from croupier_kit import tally_page
from croupier_kit.tally_fold import Arm, Beginning, Fold, Outcome, Rule

EXAMPLE = Path(__file__).parents[3] / "examples" / "kubernetes"
VERSIONS = ("aaaaaaaaaaaa", "bbbbbbbbbbbb")


@pytest.fixture(scope="module")
def service() -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_service", EXAMPLE / "service.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_books_count_as_the_tally_of_the_kit(service: ModuleType) -> None:
    """Prevents: an example whose numbers mean something else than the gates take them for."""
    dice = random.Random(7)
    tally, fold = service.Tally(), Fold({"deposits": Rule(lambda facts: None, 5.0)})
    at = 10_000.0
    for number in range(4000):
        at += dice.random()
        version, pod = dice.choice(VERSIONS), dice.choice(("pod-a", "pod-b"))
        player, is_good = f"player-{dice.randrange(200)}", dice.random() > 0.05
        arm = ("payments-api", "-", version)
        tally.decide(service.Deposit(arm, pod, player, at), is_good=is_good, now=at)
        beginning = Beginning(at, "deposits", f"{number:05d}", Arm(*arm, 0), player, pod)
        fold.decide(beginning, Outcome(at, "captured" if is_good else "expired", is_good))
    fold.advance(at + 1)
    ours = read_page("\n".join(tally.page(at)) + "\n")
    theirs = read_page(tally_page.render(fold, at))
    assert len(ours.arms) == len(VERSIONS)
    assert ours == theirs


def test_a_pod_shows_errors_and_latency_as_the_desk_reads_them(service: ModuleType) -> None:
    payments = service.Payments({})
    for status, seconds in ((200, 0.01), (200, 0.3), (500, 0.002), (404, 2.0)):
        payments.count(status, seconds)
    page = payments.answer("GET", "/metrics", {}).body
    payments.finish()
    counts = read_pod(page)
    assert (counts["errors"].total, counts["errors"].bad) == (4, 1)
    assert (counts["latency:0.25"].total, counts["latency:0.25"].bad) == (4, 2)
    assert (counts["latency:1"].total, counts["latency:1"].bad) == (4, 1)


def test_a_pod_that_leaves_says_that_it_is_not_ready(service: ModuleType) -> None:
    books = service.Books()
    assert books.answer("GET", "/ready", {}).status == 200
    books.draining.set()
    assert books.answer("GET", "/ready", {}).status == 503
    assert books.answer("GET", "/healthz", {}).status == 200


def test_a_deposit_that_is_begun_twice_is_one(service: ModuleType) -> None:
    """Prevents: a call repeated over a stale connection that looks like a lost deposit."""
    books = service.Books()
    headers = {"x-croupier-arm": f"payments-api.casino/-/{VERSIONS[0]}/0", "x-pod": "pod-a", "x-player": "p"}
    deposit = f"/deposits/{'0' * 16}"
    for path in (deposit, deposit, f"{deposit}/capture"):
        assert books.answer("POST", path, headers).status == 200
    assert not books.waiting
    assert books.tally.outcomes == {("payments-api.casino", "-", VERSIONS[0], "captured"): 1}


def test_the_policy_of_the_example_is_a_release_policy() -> None:
    policies = [each for each in _objects() if each["kind"] == "ReleasePolicy"]
    assert [ReleasePolicySpec.model_validate(each["spec"]).deployment for each in policies] == ["payments-api"]


def test_the_intent_serves_nobody_and_pods_may_do_nothing() -> None:
    """Prevents: an example that starts ungated, or that restricted Pod Security refuses."""
    deployments = {each["metadata"]["name"]: each for each in _objects() if each["kind"] == "Deployment"}
    assert deployments["payments-api"]["spec"]["replicas"] == 0
    for deployment in deployments.values():
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_no_rule_on_manifests_has_anything_against_the_example() -> None:
    """Prevents: an example that teaches what croupier itself finds fault with."""
    files = [str(EXAMPLE / "casino.yaml"), str(EXAMPLE / "payments-api.yaml")]
    checked = Checked.of(files, chosen("default"), settings=Settings())
    report = checked.report(fail_on=Level.NOTE, excuses=Excuses(date(2027, 1, 1), frozenset()))
    assert {each.rule for each in report.findings if each.waiver is None} == set()
    assert {each.rule for each in report.findings} == {"image-digest", "one-replica", "rolling-update"}


def _objects() -> list[dict[str, Any]]:
    files = ("casino.yaml", "payments-api.yaml")
    return [each for file in files for each in quick_yaml.load_all((EXAMPLE / file).read_text())]
