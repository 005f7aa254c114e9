"""A machine that cannot run the cluster is told all it lacks at once, and what to do."""

from __future__ import annotations

import os
import shutil

import pytest
from tools.kube_stand import cgroups, cli, preflight
from tools.kube_stand.errors import StandError


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(shutil, "which", lambda program, path=None: None)
    monkeypatch.setattr(cgroups, "is_version_1", lambda: False)


@pytest.mark.usefixtures("bare_machine")
def test_everything_that_is_missing_is_told_with_its_remedy() -> None:
    with pytest.raises(StandError) as caught:
        preflight.check_build()
    told = str(caught.value)
    for problem, remedy in (
        ("not root", "run as root"),
        ("Debian packages are missing", "apt-get install containerd runc containernetworking-plugins"),
        ("no cgroup v1", "--kube-context"),
        ("Go is missing", "https://go.dev/dl"),
    ):
        assert problem in told
        assert remedy in told


@pytest.mark.usefixtures("bare_machine")
def test_a_machine_that_cannot_is_no_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["kube_stand", "build"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 4
    assert capsys.readouterr().err.startswith("this machine cannot run the cluster for tests:\n- not root: ")
