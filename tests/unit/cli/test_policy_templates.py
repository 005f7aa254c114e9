"""``croupier policy check --helm --kustomize``: rendered by the programs installed, when told to, and never skipped.

Kustomize is the real one, in kubectl. Helm comes from no Python package: a small program stands for it, which takes its
words as Helm does.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from croupier.adapters.template_programs import NotRendered, render
from croupier.cli.root import cli
from croupier.spec.templates import Template, templates
from croupier_stand.process import wait_for

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: casino}
spec: {hostNetwork: %s, containers: [{name: app, image: registry.example/bets}]}
"""
HELM = """\
import pathlib, sys
verb, *flags, name, folder = sys.argv[1:]
chart = pathlib.Path(folder)
values = "".join(pathlib.Path(each).read_text() for flag, each in zip(flags, flags[1:]) if flag == "--values")
text = (chart / "templates" / "pod.yaml").read_text()
if "fail" in text:
    sys.exit("Error: values don't meet the specifications of the schema")
print("---\\n# Source: " + name + "/templates/pod.yaml")
print(text.replace("{{ .Values.host }}", values.strip() or "false") if "none" not in text else "")
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with helm and kubectl on the PATH, and nothing else."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "helm.py").write_text(HELM)
    (programs / "helm").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{programs}/helm.py" "$@"\n')
    (programs / "helm").chmod(0o755)
    (programs / "kubectl").symlink_to(Path(sys.executable).with_name("kubectl"))
    monkeypatch.setenv("PATH", str(programs))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def write(name: str, text: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)


def chart(folder: str, template: str = POD % ("bets", "{{ .Values.host }}")) -> None:
    write(f"{folder}/Chart.yaml", "apiVersion: v2\nname: bets\nversion: 1.0.0\n")
    write(f"{folder}/values.yaml", "host: false\n")
    write(f"{folder}/templates/pod.yaml", template)


def kustomization(folder: str, *resources: str, more: str = "") -> None:
    write(f"{folder}/kustomization.yaml", f"resources: [{', '.join(resources)}]\n{more}")


def check(*words: str) -> Result:
    return CliRunner().invoke(cli, ["policy", "check", "--profile", "baseline", "-o", "json", *words])


def files(done: Result) -> dict[str, str]:
    return {each["file"]: each["state"] for each in json.loads(done.stdout)["files"]}


def test_untold_no_program_is_run_and_a_template_is_no_pass() -> None:
    chart("charts/bets")
    done = check(".")
    assert done.exit_code == 3
    assert set(files(done).values()) == {"template"}


def test_a_chart_is_rendered_with_its_values_and_stands_for_its_files() -> None:
    chart("charts/bets")
    chart("charts/bets/charts/redis", "no: {{ template")
    write("deploy/pod.yaml", POD % ("lobby", "false"))
    done = check(".", "--helm")
    assert done.exit_code == 0
    assert files(done) == {"charts/bets": "checked", "deploy/pod.yaml": "checked"}
    write("values.txt", "true")
    done = check(".", "--helm", "--helm-values", "values.txt")
    (found,) = json.loads(done.stdout)["findings"]
    assert (done.exit_code, found["rule"], found["file"], found["line"]) == (1, "host-namespaces", "charts/bets", 6)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("fail", "helm template failed (1): Error: values don't meet the specifications of the schema"),
        ("none", "is rendered to no object"),
        ("kind: {{ .Values.other }}", "holds template actions"),
        ("just: text", "has no kind"),
    ],
)
def test_a_chart_that_is_not_rendered_is_no_pass(template: str, said: str) -> None:
    chart("bets", template)
    write("pod.yaml", POD % ("lobby", "false"))
    done = check(".", "--helm")
    assert done.exit_code == 3
    assert said in next(each["problem"] for each in json.loads(done.stdout)["files"] if each["file"] == "bets")


def test_a_kustomization_is_rendered_and_its_base_is_not_rendered_alone() -> None:
    write("base/pod.yaml", POD % ("bets", "false"))
    kustomization("base", "pod.yaml")
    patch = "{apiVersion: v1, kind: Pod, metadata: {name: bets, namespace: casino}, spec: {hostNetwork: true}}\n"
    write("prod/patch.yaml", patch)
    kustomization("prod", "../base", more="namePrefix: prod-\npatches: [{path: patch.yaml}]\n")
    done = check(".", "--kustomize")
    report = json.loads(done.stdout)
    assert done.exit_code == 1
    assert files(done) == {"prod": "failed"}
    assert [each["object"] for each in report["findings"]] == ["Pod/casino/prod-bets"]


def test_a_kustomization_that_is_not_rendered_is_no_pass() -> None:
    kustomization("prod", "missing.yaml")
    done = check(".", "--kustomize")
    assert done.exit_code == 3
    assert "kubectl kustomize failed (1): " in json.loads(done.stdout)["files"][0]["problem"]


def test_kustomizations_that_build_on_each_other_are_still_told() -> None:
    kustomization("a", "../b")
    kustomization("b", "../a")
    done = check(".", "--kustomize")
    assert (done.exit_code, files(done)) == (3, {"a": "template"})


def test_each_tool_takes_only_its_own() -> None:
    chart("bets")
    kustomization("prod", "pod.yaml")
    names = ["bets/Chart.yaml", "bets/templates/pod.yaml", "bets/crds/x.yaml", "prod/kustomization.yaml", "-"]
    assert templates(names, []) == ((), tuple(names))
    assert templates(names, ["helm"]) == ((Template("helm", "bets"),), tuple(names[2:]))
    assert templates(names, ["kustomize"])[0] == (Template("kustomize", "prod"),)


def test_what_is_rendered_is_not_mended() -> None:
    chart("bets", POD % ("bets", "false"))
    words = ["policy", "check", "--profile", "baseline", "--enable", "seccomp", "--helm", "--fix", "."]
    done = CliRunner().invoke(cli, words)
    assert done.stdout == ""
    assert "1 seccomp: it is made from a template" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--helm", "--since", "HEAD"], 2, "of what is rendered there is no past"),
        (["--helm-values", "x"], 2, "add --helm"),
        (["--helm"], 4, "helm is not on the PATH"),
        (["--kustomize"], 4, "kustomize is not on the PATH"),
    ],
)
def test_what_cannot_be_done_is_said(
    words: list[str], code: int, said: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("pod.yaml", POD % ("lobby", "false"))
    monkeypatch.setenv("PATH", str(here))
    done = check(".", *words)
    assert done.exit_code == code
    assert said in done.output


# --- the process ------------------------------------------------------------------------------------------------------


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_what_takes_too_long_is_ended_with_all_that_it_started(here: Path) -> None:
    """Parent and child both hold the pipe open, and neither ends when asked to."""
    script = f"trap '' TERM; /bin/sleep 1000 & echo $! $$ > {here}/pids; wait"
    with pytest.raises(NotRendered, match="did not end within"):
        render(("/bin/sh", "-c", script), seconds=3)
    pids = (here / "pids").read_text().split()
    assert len(pids) == 2
    assert wait_for(lambda: not any(map(runs, pids)), 60)


def runs(pid: str) -> bool:
    """Whether a process is there and has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def test_what_prints_too_much_is_ended() -> None:
    with pytest.raises(NotRendered, match="printed more than 1000 bytes"):
        render(python("while True: print('x' * 100)"), largest=1000)


def test_complaints_are_bounded_and_their_end_is_told() -> None:
    code = "import sys; sys.stderr.write('x' * 10_000_000 + ' the reason'); sys.exit(3)"
    with pytest.raises(NotRendered, match=r"failed \(3\): .*the reason$") as raised:
        render(python(code))
    assert len(str(raised.value)) < 400


def test_a_program_has_no_input_and_must_print_text() -> None:
    assert render(python("import sys; print(repr(sys.stdin.read()))")) == "''\n"
    with pytest.raises(NotRendered, match="did not print UTF-8"):
        render(python("import os; os.write(1, b'\\xff')"))
