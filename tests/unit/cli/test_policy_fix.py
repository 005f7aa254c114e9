"""``croupier policy check --fix``: a patch that git takes; what it mends is gone then, and nothing else changed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from croupier.cli.root import cli

NAMESPACE = """\
apiVersion: v1
kind: Namespace
metadata:
  name: casino
  labels: {pod-security.kubernetes.io/enforce: %s}
---
"""
DEPLOYMENT = """\
# Bets of the weekend
apiVersion: apps/v1
kind: Deployment
metadata: {name: bets, namespace: casino}
spec:
  template:
    metadata: {labels: {app: bets}}   # of the pods
    spec:
      containers:
      - name: app  # ü
        image: registry.example/bets:1
        args:
        - |
          text

      # the last one
      - {name: log, image: registry.example/log:1}
"""
MENDED = """\
# Bets of the weekend
apiVersion: apps/v1
kind: Deployment
metadata: {name: bets, namespace: casino}
spec:
  template:
    metadata: {labels: {app: bets}}   # of the pods
    spec:
      containers:
      - name: app  # ü
        image: registry.example/bets:1
        securityContext:
          allowPrivilegeEscalation: false
          capabilities:
            drop: [ALL]
        args:
        - |
          text

      # the last one
      - {name: log, image: registry.example/log:1, securityContext: {allowPrivilegeEscalation: false, \
capabilities: {drop: [ALL]}}}
      securityContext:
        runAsNonRoot: true
        seccompProfile:
          type: RuntimeDefault
"""
MENDABLE = ("privilege-escalation", "capabilities-restricted", "run-as-non-root", "seccomp")


def pod(spec: str, kind: str = "Pod") -> str:
    return f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: bets, namespace: casino}}\nspec:\n{spec}"


def fix(*words: str) -> Result:
    return CliRunner().invoke(cli, ["policy", "check", "--profile", "restricted", "--fix", *words])


def rules_found(*words: str) -> set[str]:
    done = CliRunner().invoke(cli, ["policy", "check", "--profile", "restricted", "-o", "json", *words])
    return {each["rule"] for each in json.loads(done.stdout)["findings"]}


def git_apply(patch: bytes, *words: str) -> None:
    done = subprocess.run(["git", "apply", *words], input=patch, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init"], check=True, capture_output=True)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("last", ["\n", ""])
def test_git_applies_the_patch_and_nothing_else_changes(ends: str, mark: str, last: str) -> None:
    def as_bytes(text: str) -> bytes:
        return (mark + (NAMESPACE % "restricted" + text).removesuffix("\n") + last).replace("\n", ends).encode()

    Path("my bets.yaml").write_bytes(as_bytes(DEPLOYMENT))
    assert rules_found(".") == set(MENDABLE)
    done = fix(".")
    assert done.exit_code == 1
    assert Path("my bets.yaml").read_bytes() == as_bytes(DEPLOYMENT)
    git_apply(done.stdout_bytes)
    assert Path("my bets.yaml").read_bytes() == as_bytes(MENDED)
    assert rules_found(".") == set()
    again = fix(".")
    assert (again.exit_code, again.stdout) == (0, "")


def test_a_file_in_a_folder_is_named_from_here() -> None:
    Path("deploy").mkdir()
    Path("deploy/a.yaml").write_text(NAMESPACE % "restricted" + DEPLOYMENT)
    for path in ("deploy", str(Path("deploy").absolute()), "./deploy/a.yaml"):
        assert fix(path).stdout.startswith("--- a/deploy/a.yaml\n+++ b/deploy/a.yaml\n@@ ")


@pytest.mark.parametrize("standard", ["baseline", "privileged"])
def test_what_may_change_a_program_that_runs_is_left_and_said(standard: str) -> None:
    """Only where the API server refuses the pod as it stands does nothing run that could change."""
    Path("a.yaml").write_text(NAMESPACE % standard + DEPLOYMENT)
    done = fix("a.yaml")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "nothing is mended: the patch is empty\n8 findings left:\n" in done.stderr
    assert "2 privilege-escalation: a program that starts a set-uid file would fail" in done.stderr


@pytest.mark.parametrize(
    ("version", "is_mended"), [("latest", True), ("v1.37", True), ("v1.25", True), ("v1.20", False), ("odd", False)]
)
def test_an_old_form_of_the_standard_is_no_evidence(version: str, is_mended: bool) -> None:
    labels = f"restricted, pod-security.kubernetes.io/enforce-version: {version}"
    Path("a.yaml").write_text(NAMESPACE % labels + DEPLOYMENT)
    assert bool(fix("a.yaml").stdout) is is_mended


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # a number above 0 is no root
        ("  securityContext: {runAsUser: 7}\n  containers: [{name: a}]\n",
         "  securityContext: {runAsUser: 7, runAsNonRoot: true}\n  containers: [{name: a}]\n"),
        ("  containers: [{name: a, securityContext: {runAsUser: 7}}, {name: b}]\n",
         "  containers: [{name: a, securityContext: {runAsUser: 7, runAsNonRoot: true}}, {name: b}]\n"),
        # who may not gain capabilities, and is no root, gains nothing
        ("  containers: [{name: a, securityContext: {runAsNonRoot: true, capabilities: {drop: [ALL]}}}]\n",
         "  containers: [{name: a, securityContext: {runAsNonRoot: true, capabilities: {drop: [ALL]}, "
         "allowPrivilegeEscalation: false}}]\n"),
        # runtimes take it in any case
        ("  containers: [{name: a, securityContext: {capabilities: {drop: [all]}}}]\n",
         "  containers: [{name: a, securityContext: {capabilities: {drop: [ALL]}}}]\n"),
    ],
)  # fmt: skip
def test_what_the_manifest_says_in_other_words_is_mended(before: str, after: str) -> None:
    Path("a.yaml").write_text(pod(before))
    git_apply(fix("a.yaml").stdout_bytes)
    assert Path("a.yaml").read_text() == pod(after)


@pytest.mark.parametrize(
    "spec",
    [
        "  containers: [{name: a, securityContext: {runAsUser: 0}}]\n",
        "  containers: [{name: a, securityContext: {runAsUser: true}}]\n",
        "  containers: [{name: a, securityContext: {capabilities: {drop: [ALL]}}}]\n",
        "  containers: [{name: a, securityContext: {runAsNonRoot: true, capabilities: {drop: [ALL], add: [KILL]}}}]\n",
        "  containers: [{name: a, securityContext: {runAsNonRoot: true, allowPrivilegeEscalation: true, "
        "capabilities: {drop: [ALL]}}}]\n",
        "  containers: [{name: a, securityContext: {runAsNonRoot: true, privileged: true, "
        "capabilities: {drop: [ALL]}}}]\n",
    ],
)
def test_without_evidence_nothing_is_mended(spec: str) -> None:
    Path("a.yaml").write_text(pod(spec))
    assert fix("a.yaml").stdout == ""


def test_fields_of_objects_that_nobody_knows_are_left() -> None:
    Path("a.yaml").write_text(NAMESPACE % "restricted" + DEPLOYMENT.replace("apps/v1", "example.org/v1"))
    assert fix("a.yaml").stdout == ""


def fixed_by(rule: str, text: str) -> str:
    Path("a.yaml").write_text(text)
    git_apply(fix("a.yaml", "--enable", rule).stdout_bytes)
    return Path("a.yaml").read_text()


def test_a_token_that_is_covered_by_a_mount_is_not_asked_for() -> None:
    mount = "volumeMounts: [{name: t, mountPath: /var/run/secrets/kubernetes.io/serviceaccount}]"
    spec = f"  containers: [{{name: a, {mount}}}]\n"
    assert fixed_by("service-account-token", pod(spec)) == pod(spec + "  automountServiceAccountToken: false\n")
    Path("a.yaml").write_text(pod(f"  containers: [{{name: a, {mount}}}, {{name: b}}]\n"))
    assert fix("a.yaml", "--enable", "service-account-token").stdout == ""


def test_a_field_or_version_with_a_new_name_is_renamed() -> None:
    spec = "  serviceAccount: bets # its own\n  containers: [{name: a}]\n"
    assert fixed_by("service-account-field", pod(spec)) == pod(spec.replace("Account:", "AccountName:"))
    budget = "apiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nspec: {selector: {matchLabels: {app: a}}}\n"
    assert fixed_by("removed-api", budget) == budget.replace("v1beta1", "v1")
    Path("a.yaml").write_text(budget.replace("{matchLabels: {app: a}}", "{}"))
    assert fix("a.yaml", "--enable", "removed-api").stdout == ""


def test_items_of_a_list_and_json_are_mended_in_place() -> None:
    held = json.dumps({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [
            {"name": "a", "securityContext": {"runAsUser": 7}}]}}]}, indent=2)  # fmt: skip
    Path("a.json").write_text(held)
    git_apply(fix("a.json").stdout_bytes)
    found = Path("a.json").read_text()
    assert found.replace(', "securityContext": {"runAsNonRoot": true}', "", 1) == held
    assert rules_found("a.json") == set(MENDABLE) - {"run-as-non-root"}


def test_what_is_waived_is_left_alone() -> None:
    waived = "  # croupier:waive run-as-non-root owner=core until=2099-01-01 reason=old\n"
    Path("a.yaml").write_text(pod(f"  containers:\n{waived}  - {{name: a, securityContext: {{runAsUser: 7}}}}\n"))
    done = fix("a.yaml")
    assert done.stdout == ""
    assert "run-as-non-root" not in done.stderr


def test_text_that_is_shared_is_left_and_said() -> None:
    shared = (
        "  securityContext: {fsGroup: 1}\n  containers:\n  - &a {name: a, securityContext: {runAsUser: 7}}\n  - *a\n"
    )
    Path("a.yaml").write_text(pod(shared + "  - {name: b}\n"))
    done = fix("a.yaml")
    assert done.stdout == ""
    assert "run-as-non-root: its text is shared by an anchor" in done.stderr


def test_mixed_line_ends_are_left_and_said() -> None:
    Path("a.yaml").write_bytes((NAMESPACE % "restricted").replace("\n", "\r\n").encode() + DEPLOYMENT.encode())
    done = fix("a.yaml")
    assert done.stdout == ""
    assert "some of its lines end with a carriage return" in done.stderr


def test_what_a_link_leads_to_is_mended_and_the_link_is_left() -> None:
    """Prevents: a patch that git refuses as a whole because one of its files is a link."""
    Path("a.yaml").write_text(NAMESPACE % "restricted" + DEPLOYMENT)
    Path("link.yaml").symlink_to("a.yaml")
    done = fix(".", "-o", "json")
    said = json.loads(done.stdout)
    assert {each["file"] for each in said["fixed"]} == {"a.yaml"}
    assert any("symbolic link" in each["why"] for each in said["left"] if each["file"] == "link.yaml")
    git_apply(said["patch"].encode())
    assert Path("link.yaml").is_symlink()


def test_as_json_the_patch_comes_with_what_it_mends_and_leaves() -> None:
    Path("a.yaml").write_text(pod("  containers: [{name: a, securityContext: {runAsUser: 7}}]\n"))
    said = json.loads(fix("a.yaml", "-o", "json").stdout)
    assert said["patch"].startswith("--- a/a.yaml\n")
    assert [each["rule"] for each in said["fixed"]] == ["run-as-non-root"]
    assert {each["rule"] for each in said["left"]} == set(MENDABLE) - {"run-as-non-root"}
    assert all(each["why"] for each in said["left"])


@pytest.mark.parametrize("words", [["-"], ["a.yaml", "-o", "sarif"]])
def test_what_no_patch_can_be_made_of_is_refused(words: list[str]) -> None:
    Path("a.yaml").write_text(DEPLOYMENT)
    assert fix(*words).exit_code == 2


def test_from_a_folder_inside_the_repository_git_finds_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("deploy").mkdir()
    Path("deploy/a.yaml").write_text(NAMESPACE % "restricted" + DEPLOYMENT)
    monkeypatch.chdir("deploy")
    git_apply(fix(".").stdout_bytes)
    assert Path("a.yaml").read_text() == NAMESPACE % "restricted" + MENDED
    done = fix("../deploy/a.yaml")
    assert done.stdout == ""
    Path("../b.yaml").write_text(NAMESPACE % "restricted" + DEPLOYMENT)
    assert "go to the folder that holds it" in fix("../b.yaml").stderr
