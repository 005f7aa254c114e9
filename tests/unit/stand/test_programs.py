"""Programs that people bring: what is refused, and what makes a version another one."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from croupier.adapters.workloads.descriptors import read_descriptors
from croupier.cli.root import cli
from croupier.errors import EnvironmentFault, SpecError
from croupier.spec.platform import load_platform
from croupier_stand.builds import Builds, first_digest
from croupier_stand.home import Home
from croupier_stand.programs import find_project, freeze, program_directory
from croupier_stand.visitors import visited_paths

PLATFORM = """\
services:
  - {name: hello, replicas: 2, routes: ["/hello/", "/hi/"], readinessPath: /ready}
  - {name: back, replicas: 1, routes: ["/back/"], internal: true}
"""
VERSION = "service: hello\nlabel: stable\ncommand: [python3, app/main.py, $PORT]\nfiles: [app]\n"
BACK = "service: back\nlabel: only\ncommand: [sh, -c, 'exec true']\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "versions" / "app").mkdir(parents=True)
    (root / "platform.yaml").write_text(PLATFORM)
    (root / "versions" / "app" / "main.py").write_text("print('one')\n")
    (root / "versions" / "hello.yaml").write_text(VERSION)
    (root / "versions" / "back.yaml").write_text(BACK)
    return root


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home("unit", tmp_path / "home")
    home.clear()
    return home


def problems(project: Path) -> str:
    with pytest.raises(SpecError) as refused:
        find_project(project)
    return str(refused.value)


def test_what_was_frozen_is_run_however_its_source_changes(project: Path, home: Home) -> None:
    """S3.7: a version is named by its content, the program's included."""
    found = find_project(project)
    file, main = project / "versions" / "hello.yaml", project / "versions" / "app" / "main.py"
    first = freeze(file, found.platform, home)
    assert freeze(file, found.platform, home) == first
    main.write_text("print('two')\n")
    second = freeze(file, found.platform, home)
    assert second.digest != first.digest
    assert (program_directory(home, first.digest) / "app" / "main.py").read_text() == "print('one')\n"
    assert {each.version.digest for each in read_descriptors(home.versions)} == {first.digest, second.digest}
    assert [path for path in home.programs.iterdir() if path.name.startswith(".new-")] == []


def test_a_file_that_becomes_a_program_makes_another_version(project: Path, home: Home) -> None:
    platform = load_platform(project / "platform.yaml")
    first = freeze(project / "versions" / "hello.yaml", platform, home)
    (project / "versions" / "app" / "main.py").chmod(0o755)
    assert freeze(project / "versions" / "hello.yaml", platform, home).digest != first.digest


def test_a_version_added_while_the_stand_runs_is_found(project: Path, home: Home) -> None:
    platform = load_platform(project / "platform.yaml")
    builds = Builds(home, platform)
    assert builds.find("sha256:" + "0" * 64) is None
    version = freeze(project / "versions" / "hello.yaml", platform, home)
    build = builds.find(version.digest)
    assert build is not None
    assert build.argv == ("python3", "app/main.py", "$PORT")
    assert (build.readiness_path, build.cwd) == ("/ready", program_directory(home, version.digest))


def test_what_is_written_as_text_stays_text(project: Path, home: Home) -> None:
    """Else the version has another digest than the one that is said, and a number where a word should be."""
    file = project / "versions" / "hello.yaml"
    file.write_text(
        'service: hello\nlabel: "12e4567"\ncommand: [python3, "1e3", "0o17", " ~ ", "é\\n", "-", "\\x85"]\n'
        'environment: {TIMES: "1e5"}\n'
    )
    platform = load_platform(project / "platform.yaml")
    version = freeze(file, platform, home)
    assert [(each.version.label, each.version.digest) for each in read_descriptors(home.versions)] == [
        ("12e4567", version.digest)
    ]
    build = Builds(home, platform).find(version.digest)
    assert build is not None
    assert build.argv == ("python3", "1e3", "0o17", " ~ ", "é\n", "-", "\x85")
    assert build.environment == {"TIMES": "1e5"}


def test_a_descriptor_that_cannot_be_read_ends_no_pods(project: Path, home: Home) -> None:
    platform = load_platform(project / "platform.yaml")
    builds = Builds(home, platform)
    known = freeze(project / "versions" / "hello.yaml", platform, home)
    assert builds.find(known.digest) is not None
    (home.versions / "torn.yaml").write_text("service: [")
    assert builds.find("sha256:" + "0" * 64) is None
    assert builds.find(known.digest) is not None


@pytest.mark.parametrize("target", ["../../shared", "../gone", "{project}/versions/app/main.py"])
def test_a_link_to_what_is_not_copied_is_refused(project: Path, target: str) -> None:
    """S3.7: what it leads to is no part of the digest."""
    link = project / "versions" / "app" / "link"
    link.symlink_to(target.format(project=project))
    assert f"hello.yaml:4:9 FILE {link} leads to " in problems(project)


@pytest.mark.parametrize("target", ["main.py", "../app", "/usr/bin/env"])
def test_a_link_within_the_copy_or_to_the_system_is_not(project: Path, target: str) -> None:
    (project / "versions" / "app" / "link").symlink_to(target)
    find_project(project)


@pytest.mark.parametrize(
    ("words", "place"),
    [('command: [sh, "a\\0b"]', "3:15"), ('environment: {"A=B": c}\ncommand: [sh]', "3:22")],
)
def test_what_no_system_can_start_is_refused(project: Path, words: str, place: str) -> None:
    (project / "versions" / "hello.yaml").write_text(f"service: hello\nlabel: stable\n{words}\n")
    assert f"hello.yaml:{place} PROGRAM" in problems(project)


def test_the_stable_version_serves_first_or_the_only_one(project: Path, home: Home) -> None:
    platform = load_platform(project / "platform.yaml")
    only = freeze(project / "versions" / "back.yaml", platform, home)
    assert first_digest(home.versions, "back") == only.digest
    (project / "versions" / "back2.yaml").write_text(BACK.replace("only", "other"))
    freeze(project / "versions" / "back2.yaml", platform, home)
    with pytest.raises(EnvironmentFault, match="only, other"):
        first_digest(home.versions, "back")
    assert "no one version of back is the first to serve: only, other" in problems(project)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("files: [app]", "files: [../secret]"), "hello.yaml:4:9 FILE '../secret' must lie in or below"),
        (("files: [app]", "files: [gone]"), "hello.yaml:4:9 FILE there is no"),
        (("python3", "pyton3-of-nobody"), "hello.yaml:3:11 PROGRAM there is no program 'pyton3-of-nobody' on the PATH"),
        (("[python3, app/main.py", "[app/main.py"), "app/main.py is not executable, chmod +x"),
        (("[python3, app/main.py", "[./start.sh"), "./start.sh is not among the files, files: [start.sh]"),
        (("service: hello", "service: helo"), "hello.yaml:1:10 UNKNOWN_NAME 'helo' is not declared"),
        (("command", "comand"), "hello.yaml:3:1 UNKNOWN_KEY unknown key 'comand', did you mean command?"),
    ],
)
def test_what_cannot_be_started_is_refused_with_its_place(project: Path, change: tuple[str, str], said: str) -> None:
    (project / "versions" / "hello.yaml").write_text(VERSION.replace(*change))
    assert said in problems(project)


def test_an_objective_that_nobody_counts_is_refused(project: Path) -> None:
    """A gate that never gets data would hold every release."""
    text = PLATFORM.replace("readinessPath: /ready", "objectives: [{signal: bets, successRatio: 0.99}]")
    (project / "platform.yaml").write_text(text)
    assert "hello has objectives that nobody counts: bets" in problems(project)


def test_visitors_ask_for_the_first_route_of_what_players_reach(project: Path) -> None:
    platform = load_platform(project / "platform.yaml")
    assert visited_paths(platform, "") == ("/hello/",)
    assert visited_paths(platform, "/hello/a,/hi/") == ("/hello/a", "/hi/")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--requests-per-second", "5"), "--requests-per-second is for services of your own: add --platform"),
        (("--platform", ".", "--bets-per-second", "5"), "--bets-per-second is for the casino"),
        (("--platform", ".", "--path", "hello"), "'hello' is not a path"),
        (("--bets-per-second", "nan"), "'nan' is not a number"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_before_anything_starts(
    words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROUPIER_HOME", str(tmp_path))
    refused = CliRunner().invoke(cli, ["stand", "up", *words])
    assert refused.exit_code == 2
    assert said in refused.stderr
    assert list(tmp_path.iterdir()) == []
