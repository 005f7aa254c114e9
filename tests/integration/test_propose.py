"""``croupier propose`` on real repositories: bare ones that others push to, with hooks."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from croupier.adapters.git_branch import Pushed, commit_to_branch
from croupier.cli.root import cli
from croupier.errors import Conflict, EnvironmentFault, Refused, UsageError


@pytest.fixture(autouse=True)
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person with no configuration of their own."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Somebody")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "somebody@example.com")


def _git(at: Path, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=at, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def deployments(tmp_path: Path) -> Path:
    """A bare repository with one commit on main."""
    bare, first = tmp_path / "deployments.git", tmp_path / "first"
    _git(tmp_path, "init", "-q", "--bare", "-b", "main", str(bare))
    _git(tmp_path, "init", "-q", "-b", "main", str(first))
    (first / "README").write_text("what runs\n")
    _commit(first)
    _git(first, "push", "-q", str(bare), "main")
    return bare


@pytest.fixture
def platform(tmp_path: Path) -> Path:
    """The platform that ``init`` writes, committed."""
    folder = tmp_path / "operator" / "platform"
    assert CliRunner().invoke(cli, ["init", str(folder)]).exit_code == 0
    _git(folder.parent, "init", "-q", "-b", "main")
    _commit(folder.parent)
    return folder


def _commit(at: Path) -> None:
    _git(at, "add", "--all")
    _git(at, "commit", "-q", "-m", "a change")


def _propose(platform: Path, deployments: Path, branch: str, *words: str) -> Result:
    named = ["propose", str(platform), "--to", str(deployments), "--branch", branch, "--folder", "clusters/live"]
    return CliRunner().invoke(cli, [*named, *words])


def _wish(platform: Path, old: str, new: str) -> None:
    file = platform / "services.yaml"
    assert file.read_text().count(old) == 1
    file.write_text(file.read_text().replace(old, new))
    _commit(platform)


def test_an_event_that_is_over_is_not_proposed(
    platform: Path, deployments: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S6.4: as ``check`` and ``render`` refuse it. Dates in KEDA's schedules have no year: it would come back."""
    event = {"title": "Final", "starts": "2030-07-14T18:00", "zone": "UTC", "lastsMinutes": 60, "markets": ["se"]}
    (platform / "events.yaml").write_text(
        json.dumps({"events": {"final": event | {"services": {"payments-api": {"pods": 12}}}}})
    )
    _commit(platform)
    assert _propose(platform, deployments, "croupier/before").exit_code == 0
    over = datetime(2030, 7, 14, 19, 0, tzinfo=UTC).timestamp()
    monkeypatch.setattr("croupier.adapters.clock.SystemClock.now", lambda _: over)
    said = _propose(platform, deployments, "croupier/after")
    assert said.exit_code == 2
    assert "PAST the event is over" in said.stderr
    assert _git(deployments, "branch", "--list", "croupier/after") == ""


def test_a_change_becomes_a_branch_with_its_review(platform: Path, deployments: Path) -> None:
    first = _propose(platform, deployments, "croupier/first")
    assert first.exit_code == 0, first.output
    assert "All of it is new" in first.stdout
    assert "new from main" in first.stderr
    _git(deployments, "update-ref", "refs/heads/main", "croupier/first")
    _wish(platform, "average: 120", "average: 130")
    second = _propose(platform, deployments, "croupier/second", "--output", "json")
    told = json.loads(second.stdout)
    assert told["commit"] == _git(deployments, "rev-parse", "croupier/second")
    assert _git(deployments, "rev-parse", "croupier/second~") == _git(deployments, "rev-parse", "main")
    assert [(each["subject"], each["after"]) for each in told["plan"]["changes"]] == [("payments-api", 130)]
    assert "120" in told["review"]
    assert told["changed"] == [f"cells/{cell}/payments-api.yaml" for cell in ("lucky-mt-eu-south", "lucky-se-eu-north")]
    message = _git(deployments, "log", "-1", "--format=%B", "croupier/second")
    assert message.startswith(f"Render the platform at {_git(platform, 'rev-parse', 'HEAD')[:12]}\n")
    assert "120.0 → 130.0" in message
    assert _git(deployments, "show", "main:README") == "what runs"


def test_a_chart_is_proposed_as_manifests_are(platform: Path, deployments: Path) -> None:
    assert _propose(platform, deployments, "chart", "--as", "helm").exit_code == 0
    assert "clusters/live/chart/Chart.yaml" in _git(deployments, "ls-tree", "-r", "--name-only", "chart").splitlines()


def test_the_same_again_is_no_commit(platform: Path, deployments: Path) -> None:
    _propose(platform, deployments, "croupier/first")
    before = _git(deployments, "rev-parse", "croupier/first")
    again = _propose(platform, deployments, "croupier/first")
    assert again.exit_code == 0
    assert "nothing to propose" in again.stderr
    assert _git(deployments, "rev-parse", "croupier/first") == before


def test_a_branch_that_is_there_goes_on(platform: Path, deployments: Path) -> None:
    """Prevents: a proposal under review thrown away with the comments on its commits."""
    _propose(platform, deployments, "croupier/first")
    before = _git(deployments, "rev-parse", "croupier/first")
    _wish(platform, "average: 120", "average: 130")
    assert _propose(platform, deployments, "croupier/first").exit_code == 0
    assert _git(deployments, "rev-parse", "croupier/first~") == before


def test_what_is_not_committed_is_not_proposed(platform: Path, deployments: Path) -> None:
    (platform / "more.yaml").write_text("services: []\n")
    refused = _propose(platform, deployments, "croupier/first")
    assert refused.exit_code == 1
    assert "changes that are not committed" in refused.stderr


def test_a_platform_that_is_in_no_repository_is_proposed_without_the_values_that_change(
    platform: Path, deployments: Path, tmp_path: Path
) -> None:
    _propose(platform, deployments, "croupier/first")
    loose = tmp_path / "loose"
    loose.mkdir()
    for file in platform.glob("*.yaml"):
        (loose / file.name).write_text(file.read_text().replace("average: 120", "average: 130"))
    told = _propose(loose, deployments, "croupier/first")
    assert told.exit_code == 0
    assert "- changed `cells/lucky-se-eu-north/payments-api.yaml`" in told.stdout
    assert "Which values change is not known: it was rendered from" in told.stdout


@pytest.mark.parametrize("folder", ["/etc", "../elsewhere", "a/../../b", ".git/hooks"])
def test_a_folder_outside_the_repository_is_refused(platform: Path, deployments: Path, folder: str) -> None:
    assert _propose(platform, deployments, "x", "--folder", folder).exit_code == 2


def _in_the_way(deployments: Path, tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Somebody commits something to main of the deployment repository."""
    clone = tmp_path / "in-the-way"
    _git(tmp_path, "clone", "-q", str(deployments), str(clone))
    make(clone)
    _commit(clone)
    _git(clone, "push", "-q", "origin", "main")


def test_a_folder_that_is_a_file_is_a_usage_error(platform: Path, deployments: Path) -> None:
    done = _propose(platform, deployments, "x", "--folder", "README/live")
    assert done.exit_code == 2
    assert "README is no folder in the repository" in done.stderr


@pytest.mark.parametrize(("link", "folder"), [("clusters", "clusters/live"), ("live/.croupier", "live")])
def test_nothing_is_written_through_a_link_of_the_repository(
    platform: Path, deployments: Path, tmp_path: Path, link: str, folder: str
) -> None:
    """Prevents: manifests written beside the clone, wherever a link in it leads."""
    outside = tmp_path / "outside"
    outside.mkdir()

    def make(clone: Path) -> None:
        (clone / link).parent.mkdir(exist_ok=True)
        (clone / link).symlink_to(outside)

    _in_the_way(deployments, tmp_path, make)
    assert _propose(platform, deployments, "x", "--folder", folder).exit_code == 2
    assert not list(outside.iterdir())


def test_a_file_of_somebody_else_is_named_as_it_is_in_the_repository(
    platform: Path, deployments: Path, tmp_path: Path
) -> None:
    name = "clusters/live/regions/eu-north/priorities.yaml"

    def make(clone: Path) -> None:
        (clone / name).parent.mkdir(parents=True)
        (clone / name).write_text("by hand\n")

    _in_the_way(deployments, tmp_path, make)
    done = _propose(platform, deployments, "x")
    assert done.exit_code == 1
    assert f"error: {name} is not a rendered file" in done.stderr


def _writes(name: str) -> Callable[[Path], str]:
    def change(folder: Path) -> str:
        (folder / name).write_text(name)
        return name

    return change


def test_a_hook_that_refuses_is_heard(deployments: Path) -> None:
    hook = deployments / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'no change on a match day' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(Refused, match="no change on a match day"):
        commit_to_branch(str(deployments), base="main", branch="x", change=_writes("a"))
    assert _git(deployments, "branch", "--list") == "* main"


def test_a_hook_of_ones_own_is_heard(deployments: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hooks").mkdir()
    hook = tmp_path / "hooks" / "pre-commit"
    hook.write_text("#!/bin/sh\necho 'a secret is in it' >&2\nexit 1\n")
    hook.chmod(0o755)
    (tmp_path / "config").write_text(f"[core]\n\thooksPath = {tmp_path / 'hooks'}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    with pytest.raises(Refused, match="a secret is in it"):
        commit_to_branch(str(deployments), base="main", branch="x", change=_writes("a"))


def _move(repository: Path, branch: str, name: str) -> None:
    """Somebody else pushes a commit."""
    commit_to_branch(str(repository), base="main", branch=branch, change=_writes(name))


def test_a_branch_that_moved_meanwhile_is_written_to_anew(deployments: Path) -> None:
    _move(deployments, "x", "theirs-0")
    moves = iter(("theirs-1",))

    def change(folder: Path) -> str:
        for name in moves:
            _move(deployments, "x", name)
        (folder / "ours").write_text("ours")
        return "ours"

    pushed = commit_to_branch(str(deployments), base="main", branch="x", change=change)
    assert pushed == Pushed(_git(deployments, "rev-parse", "x"), began=False)
    assert _git(deployments, "log", "--format=%s", "x").splitlines()[:3] == ["ours", "theirs-1", "theirs-0"]


def test_a_branch_that_moves_each_time_is_given_up(deployments: Path) -> None:
    count = 0

    def change(folder: Path) -> str:
        nonlocal count
        count += 1
        _move(deployments, "x", f"theirs-{count}")
        (folder / "ours").write_text("ours")
        return "ours"

    with pytest.raises(Conflict, match="moved while it was written to, 3 times"):
        commit_to_branch(str(deployments), base="main", branch="x", change=change)
    assert _git(deployments, "log", "-1", "--format=%s", "x") == "theirs-3"


@pytest.mark.parametrize(
    ("base", "branch", "said"),
    [
        ("main", "main", "main is the base itself"),
        ("main", "-x", "cannot be the name of a branch"),
        ("main", "a..b", "cannot be the name of a branch"),
        ("trunk", "x", "has no branch trunk"),
    ],
)
def test_branches_that_cannot_be(deployments: Path, base: str, branch: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        commit_to_branch(str(deployments), base=base, branch=branch, change=_writes("a"))


def test_a_repository_that_is_not_there_is_told_without_the_password(tmp_path: Path) -> None:
    """Prevents: a token in the log of a pipeline."""
    with pytest.raises(EnvironmentFault) as raised:
        commit_to_branch("http://me:secret@127.0.0.1:1/x.git", base="main", branch="x", change=_writes("a"))
    assert "secret" not in str(raised.value)
