"""Every file is read, unparsed or a template, and no text makes it vanish."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from croupier.errors import SpecError
from croupier.spec.manifests import LARGEST_BYTES, find_files, read_file, read_text

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def test_items_of_a_list_are_objects_of_their_own() -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n"
    (pod,) = read_text(text, "f").manifests
    assert (pod.name, pod.root) == ("Pod/a", ("items", 0))


@pytest.mark.parametrize(
    "text",
    [
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a, name: b}}\n",
        '{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Pod", '
        '"metadata": {"name": "a", "name": "b"}}]}',
    ],
    ids=["YAML", "JSON"],
)
def test_a_key_written_twice_in_an_item_is_told_of_with_its_path_in_the_item(text: str) -> None:
    (pod,) = read_text(text, "f").manifests
    assert [each.path for each in pod.remarks] == [("metadata", "name")]


@pytest.mark.parametrize(
    "text",
    [
        CONFIG + 'data: {a: "{{ .Values.x }}", b: "{{ .Release.Name }}"}',
        CONFIG.replace("{name: a}", '{name: a, annotations: {x: "{{ .Values.x }}"}}'),
        "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: {name: a}\n"
        'spec: {groups: [{rules: [{annotations: {summary: "{{ $labels.pod }}"}}]}]}',
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: a}\n"
        'spec: {templates: [{container: {image: x, args: ["{{inputs.parameters.x}}"]}}]}',
    ],
)
def test_braces_that_are_text_do_not_make_a_template(text: str) -> None:
    read = read_text(text, "f")
    assert (read.state, len(read.manifests)) == ("read", 1)


@pytest.mark.parametrize(
    "text",
    [
        "{{- if .Values.on }}\n" + CONFIG + "{{- end }}\n",
        CONFIG.replace("{name: a}", "{name: {{ .Release.Name }}}"),
        CONFIG.replace("{name: a}", '{name: "{{ .Release.Name }}"}'),
        CONFIG.replace("{name: a}", '{name: "{{ .name }}"}'),
        CONFIG.replace("{name: a}", '{name: a, namespace: "{{ .brand }}"}'),
        CONFIG + "data:\n  {{- if .on }}\n  a: b\n  {{- end }}\n",
        CONFIG + "data:\n  {{ if .on }}\n  a: b\n  {{ end }}\n",
        'apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: "{{ .Values.image }}"}]}',
        CONFIG.replace("{name: a}", '{name: a}\ndata: {}\n---\nkind: "{{ .Values.kind }}"\napiVersion: v1'),
    ],
)
def test_a_template_is_said_to_be_one(text: str) -> None:
    read = read_text(text, "f")
    assert read.state == "template"
    assert read.problem is not None
    assert "render it first" in read.problem.hint


def test_files_of_a_chart_and_kustomizations_are_templates(tmp_path: Path) -> None:
    files = ("Chart.yaml", "values.yaml", "values-prod.yaml", "templates/a.yaml", "kustomization.yaml")
    for name in (*files, "crds/a.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(CONFIG)
    assert {read_file(str(tmp_path / name)).state for name in files} == {"template"}
    assert read_file(str(tmp_path / "crds/a.yaml")).state == "read"


@pytest.mark.parametrize(
    "text", ["just text", "a: 1", "- a", CONFIG + "---\na: 1", "kind: Pod", "kind: 3\napiVersion: v1"]
)
def test_what_is_no_object_is_unparsed(text: str) -> None:
    read = read_text(text, "f")
    assert (read.state, read.manifests) == ("unparsed", ())


def test_an_item_that_is_no_object_is_told_by_its_place_in_the_list() -> None:
    read = read_text("apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: Pod}, null]\n", "f")
    assert read.problem is not None
    assert read.problem.message == "items[1] of the List is no Kubernetes object: it has no kind"


def test_an_empty_file_is_read_and_holds_nothing() -> None:
    assert read_text("# nothing\n", "f").state == "read"


def test_a_file_that_cannot_be_read_is_unparsed_and_says_why(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: \xe9\n")
    (tmp_path / "wide.yaml").write_bytes("a: 1".encode("utf-16"))
    with (tmp_path / "huge.yaml").open("wb") as huge:
        huge.truncate(LARGEST_BYTES + 1)
    said = {
        name: read_file(str(tmp_path / f"{name}.yaml")).problem for name in ("pipe", "latin", "wide", "huge", "none")
    }
    assert {name: problem.code for name, problem in said.items() if problem} == {
        "pipe": "FILE",
        "latin": "ENCODING",
        "wide": "ENCODING",
        "huge": "SIZE",
        "none": "FILE",
    }


def test_folders_give_their_yaml_and_json_once_and_in_order(tmp_path: Path) -> None:
    for name in ("b/c.yml", "a.yaml", "b/a.json", "b/notes.txt", ".git/x.yaml", "skip/x.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(CONFIG)
    found = find_files([str(tmp_path), str(tmp_path / "a.yaml")], exclude=["skip"])
    assert [os.path.relpath(each, tmp_path) for each in found] == ["a.yaml", "b/a.json", "b/c.yml"]


def test_a_path_that_is_not_there_is_refused() -> None:
    with pytest.raises(SpecError, match="no such file"):
        list(find_files(["nowhere/at-all"]))


def test_a_closed_stdin_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(SpecError, match="- FILE stdin is closed, pipe manifests into it, or name a file"):
        list(find_files(["-"]))


@pytest.mark.parametrize("closed", ["inner", ""])
def test_a_folder_that_cannot_be_read_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed: str) -> None:
    """Prevents: an answer "checked" of a run that did not look everywhere."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.yaml").write_text(CONFIG)
    real, barred = os.scandir, str(tmp_path / closed)

    def scandir(path: str) -> object:
        if str(path) == barred:
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    (found,) = find_files([str(tmp_path)])
    assert (found, read_file(found).state) == (barred, "unparsed")
