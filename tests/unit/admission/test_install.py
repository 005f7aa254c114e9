"""What is installed at the door: two pods that may do nothing, and a configuration that never shuts itself out."""

from __future__ import annotations

import base64
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.support import quick_yaml
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
    return {each["kind"]: each for each in quick_yaml.load_all(done.stdout)}


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


OTHERS = ("default-deny", "secret-source")
"""Rules for what is not ours: the walls of the namespace, the operator's too, and who makes the certificate."""


def test_its_own_manifests_pass_its_rules(tmp_path: Path) -> None:
    file = tmp_path / "admission.yaml"
    file.write_text(made("--inject-ca-from", "croupier/admission").stdout)
    report = check_files([str(file)], chosen("default", but=OTHERS), today=date(2026, 11, 29))
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
    *_, configuration = quick_yaml.load_all(done.stdout)
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
    *_, configuration = quick_yaml.load_all(done.stdout)
    assert configuration["webhooks"][0]["failurePolicy"] == policy
    *_, configuration = quick_yaml.load_all(made("--inject-ca-from", "a/b", "--failure-policy", "Ignore").stdout)
    assert configuration["webhooks"][0]["failurePolicy"] == "Ignore"


def test_the_authority_is_a_file_or_cert_managers_and_one_of_them(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(Authority().pem)
    *_, configuration = quick_yaml.load_all(made("--ca", str(ca)).stdout)
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
    deployment = next(each for each in quick_yaml.load_all(done.stdout) if each["kind"] == "Deployment")
    args = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    assert {"--disable=cpu-requests", "--registry=registry.example", "--fail-on=warning", "--ignore-waivers"} <= set(
        args
    )
    assert made("--inject-ca-from", "a/b", "--disable", "cpu-request").exit_code == 2


# --- rules of people's own --------------------------------------------------------------------------------------------


EXAMPLE: dict[str, Any] = quick_yaml.load((Path(__file__).parents[3] / "examples/rules/team.yaml").read_text())


@pytest.fixture
def own(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "team.yaml").write_text(json.dumps(EXAMPLE))
    return folder


def test_rules_of_ones_own_reach_the_pods_as_they_are(own: Path, tmp_path: Path) -> None:
    """The files as files: what a ConfigMap is mounted as, whole, are links, which nobody follows."""
    done = made("--inject-ca-from", "a/b", "--rules", str(own), "--profile", "restricted")
    found = {each["kind"]: each for each in quick_yaml.load_all(done.stdout)}
    assert json.loads(found["ConfigMap"]["data"]["team.yaml"]) == EXAMPLE
    pods = found["Deployment"]["spec"]["template"]
    (container,) = pods["spec"]["containers"]
    assert "--rules=/etc/croupier/rules" in container["args"]
    mount = {"name": "rules", "mountPath": "/etc/croupier/rules/team.yaml", "subPath": "team.yaml", "readOnly": True}
    assert mount in container["volumeMounts"]
    (own / "team.yaml").write_text(json.dumps({**EXAMPLE, "level": "error"}))
    changed = made("--inject-ca-from", "a/b", "--rules", str(own), "--profile", "restricted").stdout
    other = next(each for each in quick_yaml.load_all(changed) if each["kind"] == "Deployment")
    assert other["spec"]["template"]["metadata"]["annotations"] != pods["metadata"]["annotations"]
    file = tmp_path / "admission.yaml"
    file.write_text(done.stdout)
    report = check_files([str(file)], chosen("default", but=OTHERS), today=date(2026, 11, 29))
    assert not report.counted, [each.message for each in report.counted]


def test_a_kind_that_nobody_would_be_asked_about_has_to_be_named(own: Path) -> None:
    issuer = "{apiVersion: cert-manager.io/v1, kind: Issuer, metadata: {name: a%s}}"
    changes = {"kinds": ["Issuer"], "bad": issuer % "", "good": issuer % ", labels: {team: payments}"}
    (own / "team.yaml").write_text(json.dumps({**EXAMPLE, **changes}))
    refused = made("--inject-ca-from", "a/b", "--rules", str(own))
    assert refused.exit_code == 2
    assert "what the API server calls Issuer is not known here" in refused.output
    done = made("--inject-ca-from", "a/b", "--rules", str(own), "--resource", "issuers.cert-manager.io")
    *_, configuration = quick_yaml.load_all(done.stdout)
    (rule,) = (each for each in configuration["webhooks"][0]["rules"] if each["apiGroups"] == ["cert-manager.io"])
    assert (rule["resources"], rule["apiVersions"]) == (["issuers"], ["*"])


@pytest.mark.parametrize("name", ["deeper/team.yaml", "a b.yaml"])
def test_what_a_config_map_cannot_hold_is_said(own: Path, name: str) -> None:
    (own / name).parent.mkdir(exist_ok=True)
    (own / "team.yaml").rename(own / name)
    done = made("--inject-ca-from", "a/b", "--rules", str(own))
    assert done.exit_code == 2
    assert name in done.output


# --- the image policy of API servers ----------------------------------------------------------------------------------


def test_an_image_policy_is_two_files_and_two_flags(tmp_path: Path) -> None:
    ca, folder = tmp_path / "ca.pem", tmp_path / "made"
    ca.write_bytes(Authority().pem)
    words = ["--url", "https://10.96.0.20", "--server-name", "croupier-admission.croupier.svc", "--ca", str(ca)]
    done = CliRunner().invoke(cli, ["admission", "image-policy", str(folder), *words])
    assert done.exit_code == 0, done.output
    assert done.stdout.split() == [
        "--enable-admission-plugins=ImagePolicyWebhook",
        "--admission-control-config-file=/etc/kubernetes/croupier/admission.yaml",
    ]
    (plugin,) = quick_yaml.load((folder / "admission.yaml").read_text())["plugins"]
    policy = plugin["configuration"]["imagePolicy"]
    assert policy["defaultAllow"] is True
    assert policy["kubeConfigFile"] == "/etc/kubernetes/croupier/images.kubeconfig"
    (cluster,) = quick_yaml.load((folder / "images.kubeconfig").read_text())["clusters"]
    assert cluster["cluster"]["server"] == "https://10.96.0.20/image-policy"
    assert cluster["cluster"]["tls-server-name"] == "croupier-admission.croupier.svc"
    assert base64.b64decode(cluster["cluster"]["certificate-authority-data"]) == ca.read_bytes()
    words += ["--failure-policy", "Fail"]
    assert CliRunner().invoke(cli, ["admission", "image-policy", str(folder), *words]).exit_code == 0
    (plugin,) = quick_yaml.load((folder / "admission.yaml").read_text())["plugins"]
    assert plugin["configuration"]["imagePolicy"]["defaultAllow"] is False


@pytest.mark.parametrize("url", ["http://10.96.0.20", "10.96.0.20", "https://10.96.0.20/image-policy", "https://"])
def test_an_image_policy_wants_an_address_over_tls(tmp_path: Path, url: str) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(Authority().pem)
    done = CliRunner().invoke(cli, ["admission", "image-policy", str(tmp_path), "--url", url, "--ca", str(ca)])
    assert done.exit_code == 2
    assert "is no address of croupier" in done.output
