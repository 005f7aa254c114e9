"""Rules as Prometheus takes them: asked of its own ``promtool`` (Debian: the package prometheus)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from croupier.core.render.emit import document

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: the package prometheus)"
)


def promtool(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *words], cwd=folder, capture_output=True, text=True, check=False)


def fires(
    folder: Path,
    groups: Sequence[Any],
    series: Mapping[str, str],
    expected: Mapping[int, set[str]],
    *,
    minutes: int = 1,
) -> None:
    """Assert that of ``groups`` of rules those alerts fire, and no other.

    Args:
        series: selector -> its values, as promtool writes them.
        expected: minute -> alerts that fire, as ``Name severity``.
        minutes: from one sample to the next.
    """
    (folder / "x.rules").write_text(document({"groups": list(groups)}))
    tests = [
        {
            "eval_time": f"{minute}m",
            "expr": 'count by (alertname, severity) (ALERTS{alertstate="firing"})',
            "exp_samples": [
                {"labels": '{{alertname="{}",severity="{}"}}'.format(*each.split()), "value": 1}
                for each in sorted(alerts)
            ],
        }
        for minute, alerts in expected.items()
    ]
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    case = {"interval": f"{minutes}m", "input_series": inputs, "promql_expr_test": tests}
    text = yaml.safe_dump({"rule_files": ["x.rules"], "evaluation_interval": f"{minutes}m", "tests": [case]})
    (folder / "test.yaml").write_text(text)
    done = promtool(folder, "test", "rules", "test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
