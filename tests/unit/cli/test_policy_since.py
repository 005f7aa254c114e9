"""``croupier policy check --since``: what is new is told, what was there is not, and rules still see all."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from croupier.cli.root import cli

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: %s, namespace: casino}
spec:
  replicas: 3
  selector: {matchLabels: {app: %s}}
  template:
    metadata: {labels: {app: %s}}
    spec:
      containers: [{name: app, image: registry.example/bets:1, securityContext: {privileged: %s}}]
"""
BUDGET = """\
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: bets, namespace: casino}
spec: {minAvailable: 1, selector: {matchLabels: {app: bets}}}
"""


def deployment(name: str, privileged: str = "true") -> str:
    return DEPLOYMENT % (name, name, name, privileged)


def git(*words: str) -> None:
    settings = ("-c", "user.name=t", "-c", "user.email=t@example", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *settings, *words], check=True, capture_output=True)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit; its manifests are in ``deploy``."""
    monkeypatch.chdir(tmp_path)
    Path("deploy").mkdir()
    Path("deploy/bets.yaml").write_text(deployment("bets"))
    Path("deploy/two.yaml").write_text(deployment("lobby") + "---\n" + deployment("wallet"))
    Path("deploy/budget.yaml").write_text(BUDGET)
    git("init")
    git("add", ".")
    git("commit", "-m", "before")
    return tmp_path


def check(*words: str, rules: tuple[str, ...] = ("privileged",)) -> Result:
    chosen = ["--profile", "baseline", *(f"--enable={each}" for each in rules)]
    return CliRunner().invoke(cli, ["policy", "check", *chosen, "-o", "json", *words])


def found(done: Result) -> list[tuple[str, str]]:
    return [(each["rule"], each["object"]) for each in json.loads(done.stdout)["findings"]]


@pytest.mark.usefixtures("here")
def test_nothing_is_told_where_nothing_changed() -> None:
    done = check("deploy", "--since", "HEAD")
    assert (done.exit_code, found(done)) == (0, [])
    report = json.loads(done.stdout)
    assert (report["objects"], report["checked"], report["unchanged"]) == (4, 3, 3)
    assert "; 3 older left out" in CliRunner().invoke(cli, ["policy", "check", "--profile", "baseline",
                                                            "--since", "HEAD", "deploy"]).stdout  # fmt: skip


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("path", ["deploy", "./deploy", ".", "deploy/two.yaml", "./deploy/two.yaml"])
def test_of_a_changed_file_only_the_changed_objects_are_told(path: str) -> None:
    changed = deployment("lobby") + "---\n" + deployment("wallet").replace("replicas: 3", "replicas: 4")
    Path("deploy/two.yaml").write_text(changed)
    done = check(path, "--since", "HEAD")
    assert (done.exit_code, found(done)) == (1, [("privileged", "Deployment/casino/wallet")])


@pytest.mark.usefixtures("here")
def test_a_new_file_is_told_and_a_moved_one_is_not() -> None:
    Path("deploy/new.yaml").write_text(deployment("new"))
    Path("deploy/bets.yaml").rename("deploy/moved.yaml")
    done = check(str(Path("deploy").absolute()), "--since", "HEAD")
    assert found(done) == [("privileged", "Deployment/casino/new")]


@pytest.mark.usefixtures("here")
def test_a_copy_of_an_object_is_new() -> None:
    Path("deploy/copy.yaml").write_text(deployment("bets"))
    found_now = json.loads(check("deploy", "--since", "HEAD").stdout)["findings"]
    assert [each["file"] for each in found_now] == ["deploy/copy.yaml"]


@pytest.mark.usefixtures("here")
def test_rules_on_several_objects_see_the_unchanged_ones() -> None:
    """The Deployment changed; the budget that covers it did not, and is still seen."""
    Path("deploy/bets.yaml").write_text(deployment("bets", "false"))
    assert found(check("deploy", "--since", "HEAD", rules=("pdb",))) == []


@pytest.mark.usefixtures("here")
def test_what_a_removal_brings_about_is_told_at_an_unchanged_object() -> None:
    before = found(check("deploy", "--since", "HEAD", rules=("pdb",)))
    Path("deploy/budget.yaml").unlink()
    done = check("deploy", "--since", "HEAD", rules=("pdb",))
    assert before == []
    assert found(done) == [("pdb", "Deployment/casino/bets")]


def test_a_waiver_that_is_taken_away_is_a_change(here: Path) -> None:
    waived = deployment("bets").replace(
        "      containers:",
        "      # croupier:waive privileged owner=core until=2099-01-01 reason=the agent\n      containers:",
    )
    (here / "deploy/bets.yaml").write_text(waived)
    git("commit", "-am", "waive")
    assert check("deploy/bets.yaml", "--since", "HEAD").exit_code == 0
    (here / "deploy/bets.yaml").write_text(deployment("bets"))
    done = check("deploy/bets.yaml", "--since", "HEAD")
    assert (done.exit_code, found(done)) == (1, [("privileged", "Deployment/casino/bets")])


@pytest.mark.usefixtures("here")
def test_excluded_files_of_the_past_are_no_input() -> None:
    Path("deploy/bets.yaml").rename("deploy/moved.yaml")
    done = check("deploy", "--since", "HEAD", "--exclude", "bets.yaml")
    assert found(done) == [("privileged", "Deployment/casino/bets")]


@pytest.mark.usefixtures("here")
def test_a_file_that_cannot_be_read_is_still_no_pass() -> None:
    Path("deploy/text.yaml").write_text("just: text\n")
    git("add", ".")
    git("commit", "-m", "text")
    assert check("deploy", "--since", "HEAD").exit_code == 3


@pytest.mark.usefixtures("here")
def test_the_repository_is_left_alone() -> None:
    Path("deploy/new.yaml").write_text(deployment("new"))
    before = {each: each.read_bytes() for each in Path(".git").rglob("*") if each.is_file()}
    check("deploy", "--since", "HEAD")
    assert {each: each.read_bytes() for each in Path(".git").rglob("*") if each.is_file()} == before


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["deploy", "--since", "nowhere"], "'nowhere' is no revision"),
        (["deploy", "--since", "--all"], "'--all' is no revision"),
        (["-", "--since", "HEAD"], "stdin has no past"),
        (["deploy", "--since", "HEAD", "--write-baseline", "known.json"], "--since leaves some out"),
        (["..", "--since", "HEAD"], "is not in the repository"),
    ],
)
def test_what_cannot_be_compared_is_refused(words: list[str], said: str) -> None:
    done = check(*words)
    assert done.exit_code == 2
    assert said in done.output


def test_outside_a_repository_there_is_no_past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    Path("a.yaml").write_text(deployment("bets"))
    done = check("a.yaml", "--since", "HEAD")
    assert done.exit_code == 2
    assert "no Git repository" in done.output
