"""What is installed at the door: two pods that may do nothing, and a configuration that never shuts itself out."""

from __future__ import annotations

import base64
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from tests.support.authority import Authority

from croupier.admission.install import SYSTEM, judged, webhook_configuration
from croupier.admission.judge import at_the_door
from croupier.cli.root import cli
from croupier.core.policy.catalogue import RULES, chosen
from croupier.core.policy.check import check
from croupier.core.policy.kinds import OF_KIND, Resource
from croupier.core.policy.objects import Settings
from croupier.core.policy.rule import Rule
from croupier.core.schemas.validator import Validator
from croupier.engine.policy import check_files
from croupier.spec.manifests import read_text
from croupier.spec.schemas import load_schemas

IMAGE = "registry.example/croupier@sha256:" + "0f" * 32
USUAL = ("--image", IMAGE, "--cert-secret", "admission-tls", "--mode", "enforce")


def made(*words: str) -> Result:
    return CliRunner().invoke(cli, ["admission", "manifests", *USUAL, *words])


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    done = made("--inject-ca-from", "croupier/admission")
    assert done.exit_code == 0, done.output
    return {each["kind"]: each for each in yaml.safe_load_all(done.stdout)}


def test_all_of_it_is_there(found: dict[str, Any]) -> None:
    assert list(found) == [
        "Namespace",
        "PriorityClass",
        "ServiceAccount",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "Deployment",
        "ValidatingWebhookConfiguration",
    ]


def test_its_own_manifests_pass_its_rules(tmp_path: Path) -> None:
    """The namespace is the operator's too, and its walls are for the owner of the cluster to choose: default-deny."""
    file = tmp_path / "admission.yaml"
    file.write_text(made("--inject-ca-from", "croupier/admission").stdout)
    report = check_files([str(file)], chosen("default", but=["default-deny"]), today=date(2026, 11, 29))
    assert not report.counted, [each.message for each in report.counted]


def test_it_never_judges_its_own_namespace_nor_the_clusters_own_parts(found: dict[str, Any]) -> None:
    (webhook,) = found["ValidatingWebhookConfiguration"]["webhooks"]
    (beyond,) = webhook["namespaceSelector"]["matchExpressions"]
    assert (beyond["key"], beyond["operator"]) == ("kubernetes.io/metadata.name", "NotIn")
    assert set(beyond["values"]) == {"croupier", *SYSTEM}
    assert not any("secrets" in rule["resources"] for rule in webhook["rules"])
    (container,) = found["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert {f"--exclude-namespace={each}" for each in SYSTEM} <= set(container["args"])


UNASKED = {
    "removed-api": "no API server takes an object of a version that it does not serve",
    "schema-known": "no API server takes an object of which it knows no schema",
}
"""Rules at the door whose faults no API server asks about, and why."""


@pytest.mark.parametrize("rule", at_the_door(RULES.values()).rules, ids=lambda rule: rule.id)
def test_every_rule_at_the_door_is_asked(rule: Rule) -> None:
    """Prevents: a rule that is in the process and never hears of what it is about, because nobody sends it (S10.1)."""
    assert rule.kinds <= OF_KIND.keys()
    asked = judged([rule])
    webhook = webhook_configuration({}, judged=asked, failure_policy="Fail", exclude=(), annotations={})["webhooks"][0]
    manifests = read_text(rule.bad, "bad.yaml").manifests
    faulty = {each.index for each in check(manifests, [rule], DECIDED)}
    if rule.id in UNASKED:
        assert not any(_is_asked(webhook["rules"], asked, manifests[index].value) for index in faulty)
        return
    assert faulty
    assert all(_is_asked(webhook["rules"], asked, manifests[index].value) for index in faulty)


DECIDED = Settings(("registry.example",), ("owner",), schemas=Validator(load_schemas()))


def _is_asked(rules: list[dict[str, Any]], known: tuple[Resource, ...], value: dict[str, Any]) -> bool:
    """Whether the API server asks about ``value`` by one of ``rules`` of a webhook."""
    group, _, version = value["apiVersion"].rpartition("/")
    names = {each.plural for each in known if (each.group, each.kind) == (group, value["kind"])}
    return any(
        group in rule["apiGroups"]
        and not {"*", version}.isdisjoint(rule["apiVersions"])
        and names & set(rule["resources"])
        for rule in rules
    )


def test_what_no_rule_asks_about_is_not_sent() -> None:
    done = made("--inject-ca-from", "a/b", "--profile", "restricted")
    *_, configuration = yaml.safe_load_all(done.stdout)
    sent = {name for rule in configuration["webhooks"][0]["rules"] for name in rule["resources"]}
    assert {"pods", "pods/ephemeralcontainers", "rollouts"} <= sent
    assert sent.isdisjoint(("configmaps", "ingresses", "clusterroles", "virtualservices"))


def test_its_pods_have_no_rights_and_no_way_out(found: dict[str, Any]) -> None:
    spec = found["Deployment"]["spec"]
    pod = spec["template"]["spec"]
    assert (spec["replicas"], spec["strategy"]["rollingUpdate"]["maxUnavailable"]) == (2, 0)
    assert pod["automountServiceAccountToken"] is False
    assert found["NetworkPolicy"]["spec"]["egress"] == []
    assert pod["volumes"] == [{"name": "tls", "secret": {"secretName": "admission-tls", "defaultMode": 0o440}}]


@pytest.mark.parametrize(("mode", "policy"), [("warn", "Ignore"), ("enforce", "Fail")])
def test_who_only_warns_stops_nobody_when_it_is_down(mode: str, policy: str) -> None:
    done = made("--inject-ca-from", "a/b", "--mode", mode)
    *_, configuration = yaml.safe_load_all(done.stdout)
    assert configuration["webhooks"][0]["failurePolicy"] == policy
    *_, configuration = yaml.safe_load_all(made("--inject-ca-from", "a/b", "--failure-policy", "Ignore").stdout)
    assert configuration["webhooks"][0]["failurePolicy"] == "Ignore"


def test_the_authority_is_a_file_or_cert_managers_and_one_of_them(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(Authority().pem)
    *_, configuration = yaml.safe_load_all(made("--ca", str(ca)).stdout)
    bundle = configuration["webhooks"][0]["clientConfig"]["caBundle"]
    assert base64.b64decode(bundle) == ca.read_bytes()
    assert made().exit_code == 2
    both = made("--ca", str(ca), "--inject-ca-from", "a/b")
    assert both.exit_code == 2
    assert "say once who has signed the certificate" in both.output
    assert made("--inject-ca-from", "a").exit_code == 2


@pytest.mark.parametrize("held", [b"", b"no PEM", b"\xff", b"-----BEGIN CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_no_authority(tmp_path: Path, held: bytes) -> None:
    """Prevents: a webhook that no API server trusts, which with --mode warn nobody would notice."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes(held)
    done = made("--ca", str(ca))
    assert done.exit_code == 2
    assert f"{ca} holds no certificate" in done.output


def test_a_private_key_is_never_published(tmp_path: Path) -> None:
    """Prevents: the key of the authority, kept with its certificate in one file, in an object that everybody reads."""
    authority = Authority()
    _, key, _ = authority.issue()
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.pem + key)
    done = made("--ca", str(ca))
    assert done.exit_code == 2
    assert "holds a private key" in done.output
    assert not done.stdout


def test_a_time_limit_is_a_number(tmp_path: Path) -> None:
    """Prevents: nan, which is within click's bounds and fails each request."""
    file = tmp_path / "any.pem"
    file.touch()
    words = ("--mode", "warn", "--cert", str(file), "--key", str(file), "--time-limit", "nan")
    done = CliRunner().invoke(cli, ["admission", "run", *words])
    assert done.exit_code == 2
    assert "no number of seconds" in done.output


def test_the_options_of_the_rules_reach_the_pods() -> None:
    words = ("--disable", "cpu-requests", "--registry", "registry.example", "--fail-on", "warning", "--ignore-waivers")
    done = made("--inject-ca-from", "a/b", *words)
    deployment = next(each for each in yaml.safe_load_all(done.stdout) if each["kind"] == "Deployment")
    args = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    assert {"--disable=cpu-requests", "--registry=registry.example", "--fail-on=warning", "--ignore-waivers"} <= set(
        args
    )
    assert made("--inject-ca-from", "a/b", "--disable", "cpu-request").exit_code == 2
