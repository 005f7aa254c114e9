"""YAML as kubectl reads it. What kubectl itself says is asked in tests/integration/test_kubectl_reads_alike.py."""

from __future__ import annotations

import pytest
from tests.support.kubectl import KEYS, SCALARS, WHOLE

from croupier.errors import SpecError
from croupier.model.manifest import Place
from croupier.spec.yaml_kubernetes import LARGEST_DEPTH, Places, documents


def one(text: str) -> object:
    ((_, value, _),) = documents(text, "f.yaml")
    return value


@pytest.mark.parametrize(("written", "value"), SCALARS.items())
def test_a_plain_scalar_means_what_it_means_to_kubectl(written: str, value: object) -> None:
    read = one(f"k: {written}")
    assert read == {"k": value}
    assert type(read["k"]) in (type(value), float)  # type: ignore[index]  # Go has one kind of number in JSON


@pytest.mark.parametrize(("written", "key"), KEYS.items())
def test_a_key_becomes_the_string_it_becomes_for_kubectl(written: str, key: str) -> None:
    assert one(f"{written}: q") == {key: "q"}


@pytest.mark.parametrize(("written", "value"), WHOLE.items())
def test_a_document_reads_as_kubectl_reads_it(written: str, value: object) -> None:
    assert one(written) == value


@pytest.mark.parametrize(
    "written",
    [
        "k: .inf",
        "k: .nan",
        "k: !!int x",
        "~: q",
        "{[a]: b}",
        "<<: 3",
        "<<: [1]",
        "x: &a [*a]",
        "x: *a",
        "k:\n\ta: b",
        "k: [1,,2]",
        "k: a: b",
        "a: 1\n--- b: 2",
        "%YAML 1.1\n---\na: 1",
        "a: 1\n...\nb: 2",
    ],
)
def test_what_kubectl_refuses_or_reads_in_part_is_refused(written: str) -> None:
    with pytest.raises(SpecError):
        one(written)


def test_of_two_equal_keys_the_last_counts_and_both_are_told_of() -> None:
    ((_, value, remarks),) = documents("spec:\n  list:\n    - a: 1\n      a: 2\n", "f.yaml")
    assert value == {"spec": {"list": [{"a": 2}]}}
    assert [each.path for each in remarks] == [("spec", "list", 0, "a")]


def test_two_equal_keys_in_json_are_told_of_too() -> None:
    ((_, value, remarks),) = documents('{"spec": {"list": [{"b": 1}, {"a": 1, "a": 2}]}}', "f.json")
    assert value == {"spec": {"list": [{"b": 1}, {"a": 2}]}}
    assert [each.path for each in remarks] == [("spec", "list", 1, "a")]
    assert "'a' is written twice" in remarks[0].message


@pytest.mark.parametrize("text", ["a: %s", '{"a": %s}'])
def test_a_number_beyond_all_bounds_is_text(text: str) -> None:
    assert one(text % ("9" * 10_000)) == {"a": "9" * 10_000}


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (r"\ud800x", "\N{REPLACEMENT CHARACTER}x"),
        (r"\uDC00\ud800", "\N{REPLACEMENT CHARACTER}" * 2),
        (r"\ud83d\ude00", "😀"),
        (r"\\ud800", r"\ud800"),
        (r"\\\ud800", "\\\N{REPLACEMENT CHARACTER}"),
        (r"\u00e4", "ä"),
    ],
)
def test_half_a_character_in_json_is_read_as_go_reads_it(written: str, text: str) -> None:
    assert one(f'{{"a": "{written}"}}') == {"a": text}


def test_json_objects_may_follow_one_another() -> None:
    assert [value for _, value, _ in documents('{"a": 1}\n{"b": 2}', "f.json")] == [{"a": 1}, {"b": 2}]


def test_documents_of_comments_only_are_none() -> None:
    assert list(documents("# nothing\n---\n# still nothing\n---\n\n", "f.yaml")) == []


def test_crlf_and_a_byte_order_mark_change_nothing() -> None:
    assert one("\ufeffa: 1\r\nb: |\r\n  x\r\n  y\r\n") == {"a": 1, "b": "x\ny\n"}


def test_a_marker_inside_a_block_is_text() -> None:
    assert one("a: |\n  x\n  ---\n  y\n") == {"a": "x\n---\ny\n"}


def test_problems_name_line_and_column_of_the_file() -> None:
    with pytest.raises(SpecError) as refused:
        list(documents("a: 1\n---\nb: 2\nc: [1\nd: 3\n", "f.yaml"))
    (problem,) = refused.value.problems
    assert (problem.file, problem.line) == ("f.yaml", 5)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10_000,
        "{a: " * 10_000,
        '{"a": ' * 10_000 + "1" + "}" * 10_000,
        '{"a": ' * (LARGEST_DEPTH + 2) + "1" + "}" * (LARGEST_DEPTH + 2),
        "- " * (LARGEST_DEPTH + 2) + "x",
        "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9)),
        "\x00",
        '"\\ud800"',
    ],
    ids=["lists", "maps", "json", "json just too deep", "dashes", "aliases", "null byte", "half a pair"],
)
@pytest.mark.timeout(30)
def test_hostile_text_is_refused(text: str) -> None:
    with pytest.raises(SpecError):
        list(documents(text, "f.yaml"))


PLACED = """\
# a comment
apiVersion: v1
base: &base {image: x}
spec:
  containers:
    - name: app
      <<: *base
    - {name: b, ports: [1, 2]}
  y: 1
"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (("apiVersion",), (12, 1)),
        (("spec", "containers", 0, "name"), (16, 7)),
        (("spec", "containers", 1), (18, 7)),
        (("spec", "containers", 1, "ports", 1), (18, 28)),
        (("spec", "containers", 0, "image"), (13, 14)),
        (("spec", "containers", 0, "securityContext", "privileged"), (16, 7)),
        (("spec", "true"), (19, 3)),
        (("metadata", "name"), (12, 1)),
    ],
)
def test_a_path_has_a_place_or_that_of_its_nearest_parent(path: tuple[str | int, ...], place: Place) -> None:
    *_, (source, _, _) = documents("kind: A\n" + "\n" * 8 + "---\n" + PLACED, "f.yaml")
    assert Places(source).of(path) == place
