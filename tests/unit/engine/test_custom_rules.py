"""Rules of people's own: asked like all others, and refused with their place before they could be silently wrong."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.support import quick_yaml

from croupier.adapters.installed_rules import GROUP
from croupier.cli.root import cli
from croupier.core.policy.catalogue import RULES
from croupier.core.policy.rule import Hit, Level, object_rule
from croupier.engine.custom_rules import read_rules
from croupier.errors import SpecError

ROOT = Path(__file__).parents[3]
EXAMPLE: dict[str, Any] = quick_yaml.load((ROOT / "examples/rules/team.yaml").read_text())
POD = """\
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: casino, labels: {%s}}
spec: {containers: [{name: a}]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    made = tmp_path / "rules"
    made.mkdir()
    return made


def write(folder: Path, name: str = "team", **changes: Any) -> None:
    (folder / f"{name}.yaml").write_text(json.dumps({**EXAMPLE, **changes}, indent=1))


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["policy", *words])


def problems(folder: Path) -> list[str]:
    with pytest.raises(SpecError) as raised:
        read_rules(folder, RULES)
    return [f"{each.line}:{each.column} {each.code} {each.message}" for each in raised.value.problems]


def test_a_rule_of_ones_own_is_asked_beside_any_profile(folder: Path) -> None:
    write(folder)
    Path("a.yaml").write_text(POD % ("a", "team: x") + "---\n" + POD % ("b", "app: x"))
    done = run("check", "a.yaml", "--profile", "baseline", "--rules", "rules", "-o", "json")
    found = [(each["rule"], each["object"], each["line"]) for each in json.loads(done.stdout)["findings"]]
    assert (done.exit_code, found) == (1, [("team", "Pod/casino/b", 8)])
    assert run("check", "a.yaml", "--profile", "baseline", "--rules", "rules", "--disable", "team").exit_code == 0


def test_a_rule_of_ones_own_is_explained_listed_and_exported(folder: Path) -> None:
    write(folder)
    assert "Why: At three in the morning" in run("explain", "team", "--rules", "rules").stdout
    assert re.search(r"^team +warning +object", run("rules", "--rules", "rules").stdout, re.MULTILINE)
    assert run("explain", "team").exit_code == 2
    made = json.loads(run("export", "--as", "vap", "--profile", "baseline", "--rules", "rules", "-o", "json").stdout)
    assert "team" in made["exported"]
    write(
        folder, kinds=["Teapot"], expression="false", good=EXAMPLE["good"], bad=EXAMPLE["bad"].replace("Pod", "Teapot")
    )
    made = json.loads(run("export", "--as", "vap", "--profile", "baseline", "--rules", "rules", "-o", "json").stdout)
    assert {"rule": "team", "why": "what the API server calls Teapot is not known here"} in made["left"]


def test_where_there_is_no_answer_nobody_has_looked(folder: Path) -> None:
    write(folder, expression="object.metadata.labels.team != ''")
    Path("a.yaml").write_text(POD % ("b", "app: x"))
    done = run("check", "a.yaml", "--profile", "baseline", "--rules", "rules")
    assert done.exit_code == 1
    assert 'the rule has no answer (NOT_FOUND: Key not found in map : "team")' in done.stdout


def test_pods_are_asked_wherever_they_are_made(folder: Path) -> None:
    write(folder, expression="variables.containers.all(c, c.name == 'z')", good="{apiVersion: v1, kind: Pod}")
    template = "{template: {spec: {containers: [{name: a}]}}}"
    for kind in ("apps/v1 Deployment", "argoproj.io/v1alpha1 Rollout"):
        version, name = kind.split()
        text = f"{{apiVersion: {version}, kind: {name}, metadata: {{name: a}}, spec: {template}}}"
        Path("a.yaml").write_text(text)
        assert run("check", "a.yaml", "--profile", "baseline", "--rules", "rules").exit_code == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"expression": "object."}, r"12:16 CEL no CEL: "),
        ({"expression": "nothing == 1"}, r"12:16 CEL no CEL: .*undeclared reference to 'nothing'"),
        ({"expression": "variables.pods == 1"}, r"12:16 CEL .*'?pods'?"),
        ({"bad": EXAMPLE["good"]}, r"14:9 EXAMPLE the rule finds no fault with its bad example"),
        ({"good": EXAMPLE["bad"]}, r"15:10 EXAMPLE the rule finds fault with its good example: no label"),
        ({"good": "just: text"}, r"15:10 EXAMPLE is no manifest"),
        ({"id": "privileged"}, r"2:8 DUPLICATE there is another rule called privileged"),
        ({"level": "fatal"}, r"4:11 VALUE"),
        ({"kinds": []}, r"9:11 RANGE"),
        ({"reason": "x"}, r"\d+:\d+ UNKNOWN_KEY"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said_at_its_place(folder: Path, changes: dict[str, Any], said: str) -> None:
    write(folder, **changes)
    (found,) = problems(folder)
    assert re.match(said, found), found


def test_all_files_are_told_of_at_once(folder: Path) -> None:
    write(folder, "a", id="one", level="fatal")
    write(folder, "b", id="two", expression="1 +")
    write(folder, "c")
    write(folder, "d")
    assert len(problems(folder)) == 3


def test_a_folder_without_rules_is_no_folder_of_rules(folder: Path) -> None:
    (found,) = problems(folder)
    assert "holds no rule" in found
    assert run("check", "a.yaml", "--rules", "rules").exit_code == 2


def test_the_rule_of_the_how_to_is_one(folder: Path) -> None:
    page = (ROOT / "docs/how-to/your-own-rules.md").read_text()
    (folder / "grace.yaml").write_text(page.split("```yaml\n")[1].split("```")[0])
    (rule,) = read_rules(folder, RULES)
    assert rule.id == "grace"
    code = page.split("```python\n")[1].split("```")[0]
    held: dict[str, Any] = {}
    exec(compile(code, "how-to", "exec"), held)
    assert [each.id for each in held["RULES"]] == ["short-name"]


# --- rules of installed packages --------------------------------------------------------------------------------------


@object_rule(
    "ours", "Nobody is called b", level=Level.ERROR, source="Here", why="So.", fix="Rename.",
    bad=POD % ("b", "app: x"), good=POD % ("a", "app: x"),
)  # fmt: skip
def ours(each: Any) -> Any:
    if each.name == "b":
        yield Hit(("metadata", "name"), "it is called b")


OURS, NONE, TWICE = (ours,), ("ours",), (RULES["privileged"],)


def offer(monkeypatch: pytest.MonkeyPatch, value: str, form: str = "ours-1.dist-info") -> None:
    """Install a package that offers ``value``, in the folder here, or in an archive."""
    place, info = Path("ours.egg" if form == "EGG-INFO" else "site"), form.removeprefix("archive/")
    (place / info).mkdir(parents=True)
    (place / info / "METADATA").write_text("Metadata-Version: 2.1\nName: ours\nVersion: 1\n")
    (place / info / "entry_points.txt").write_text(f"[{GROUP}]\nours = {value}\n")
    if form != info:
        place = Path(shutil.make_archive("site", "zip", "site"))
    monkeypatch.syspath_prepend(str(place.absolute()))


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("form", ["ours-1.dist-info", "ours.egg-info", "EGG-INFO", "archive/ours-1.dist-info"])
def test_rules_of_an_installed_package_are_asked(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    offer(monkeypatch, f"{__name__}:OURS", form)
    Path("a.yaml").write_text(POD % ("b", "app: x"))
    done = run("check", "a.yaml", "--profile", "baseline", "-o", "json")
    assert [each["rule"] for each in json.loads(done.stdout)["findings"]] == ["ours"]
    assert run("explain", "ours").exit_code == 0


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("nowhere_at_all:RULES", "cannot be loaded: No module named 'nowhere_at_all'"),
        (f"{__name__}:MISSING", "cannot be loaded: "),
        (f"{__name__}:NONE", "are no rules: 'ours'"),
        (f"{__name__}:TWICE", "hold another rule called privileged"),
    ],
)
def test_a_package_that_is_broken_ends_the_check(monkeypatch: pytest.MonkeyPatch, value: str, said: str) -> None:
    offer(monkeypatch, value)
    Path("a.yaml").write_text(POD % ("b", "app: x"))
    done = run("check", "a.yaml")
    assert done.exit_code == 4
    assert said in done.stderr
