"""Helm and Kustomize as tests run them: the real ones, which Python packages of the lock carry."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

# In a process of its own: it is a library made by Go, with signal handlers and threads of its own.
_IN_PYTHON = """\
import sys
import helm_python as helm
values = helm.values_from_yaml(open(sys.argv[2], encoding="utf-8").read())
with helm.Chart.load(sys.argv[1]) as chart:
    print("\\n---\\n".join(chart.render(values, name="test").values()))
"""


def kustomize(folder: Path) -> str:
    """What Kustomize makes of the folder."""
    return _said(kustomize_command(folder))


def kustomize_command(folder: Path) -> list[str]:
    """Prints what Kustomize makes of the folder."""
    return [str(Path(sys.executable).with_name("kubectl")), "kustomize", str(folder)]


def helm(chart: Path, values: Path) -> str:
    """What Helm makes of the chart: the program on the PATH, or else Helm's own library, which the lock has for x86-64.
    On other machines, without the program, skips; where the lock has it and it is not there, fails: else nobody would
    notice that nothing is compared any more."""
    command = helm_command(chart, values)
    if command is None:
        assert (platform.system(), platform.machine()) != ("Linux", "x86_64"), "helm-python-sdk of the lock is missing"
        pytest.skip("Helm is not installed, and no Python package carries it for this machine")
    return _said(command)


def helm_command(chart: Path, values: Path) -> list[str] | None:
    """Prints what Helm makes of the chart. None: there is neither the program nor its library."""
    program = shutil.which("helm")
    if program is not None:
        return [program, "template", "test", str(chart), "--values", str(values)]
    if find_spec("helm_python") is None:
        return None
    return [sys.executable, "-c", _IN_PYTHON, str(chart), str(values)]


def _said(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout
