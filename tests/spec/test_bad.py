"""Every bad platform is told what is wrong with it, at the line and column where it is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.spec.bad_cases import CASES, HERE, problems_of

from croupier.errors import SpecError
from croupier.spec.files import LARGEST_BYTES, LARGEST_DEPTH
from croupier.spec.folder import MOST_FILES
from croupier.spec.platform import load_described


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_every_problem_of_a_platform_has_its_place(case: Path) -> None:
    expected = case.with_suffix(".txt").read_text().splitlines()
    assert expected, "a bad case has a problem"
    assert problems_of(case) == expected


def test_the_sound_platform_beside_the_cases_is_sound() -> None:
    """Or else the cases would prove nothing."""
    assert len(load_described(HERE / "base").cells) == 3


def _said(folder: Path) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_described(folder)
    return [str(problem).replace(f"{folder}/", "").replace(str(folder), ".") for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfeb\x00", "x.yaml:1:1 ENCODING is UTF-16 or UTF-32, save it as UTF-8"),
        (b"brands:\n  a: {title: \xe9}\n", "x.yaml:2:14 ENCODING byte 0xe9 is not UTF-8, save it as UTF-8"),
        (b"#" * (LARGEST_BYTES + 1), f"x.yaml SIZE is larger than {LARGEST_BYTES} bytes"),
        (b"x: |\n" + b"  aaaaaaaa\n" * 1_000_000, f"x.yaml SIZE is larger than {LARGEST_BYTES} bytes"),
        (b"brands: {a: {title: \x00}}\n", "x.yaml:1:21 CHARACTER character U+0000 is not allowed in YAML"),
    ],
    ids=["utf-16", "latin-1", "large", "ten-megabytes", "nul"],
)
def test_a_file_that_is_no_text_is_a_problem(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(content)
    assert _said(tmp_path) == [said]


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xef\xbb\xbfbrands: {a: {title: A}}\n")
    assert load_described(tmp_path).cells == ()


def test_links_are_not_followed_so_none_leads_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "real.yaml").write_text("brands: {}\n")
    (tmp_path / "circle").symlink_to(tmp_path)
    (tmp_path / "link.yaml").symlink_to(tmp_path / "real.yaml")
    (tmp_path / "self.yaml").symlink_to("self.yaml")
    hint = "put the files themselves here"
    assert _said(tmp_path) == [
        f"{name} SYMLINK a symbolic link is not followed, {hint}" for name in ("circle", "link.yaml", "self.yaml")
    ]


def test_a_pipe_in_the_folder_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.yaml")
    assert _said(tmp_path) == ["x.yaml FILE is not a regular file"]


def test_a_folder_without_files_says_how_to_begin(tmp_path: Path) -> None:
    assert _said(tmp_path) == [". EMPTY there is no .yaml file, make one: croupier init ."]


def test_folders_have_an_end(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a"] * LARGEST_DEPTH)
    deep.mkdir(parents=True)
    (said,) = _said(tmp_path)
    assert said.endswith(f"DEPTH nested deeper than {LARGEST_DEPTH} folders")


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    for number in range(MOST_FILES + 1):
        (tmp_path / f"{number}.yaml").touch()
    assert _said(tmp_path) == [f". SIZE holds more than {MOST_FILES} files"]


def test_problems_of_all_files_come_in_one_run_sorted(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("brands: {a: {}}\nmarkets: []\n")
    (tmp_path / "a.yaml").write_text("cells: [{}]\n")
    assert [each.split()[0] for each in _said(tmp_path)] == ["a.yaml:1:9"] * 3 + ["b.yaml:1:13", "b.yaml:2:10"]


def test_build_descriptors_beside_a_platform_are_not_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "platform.yaml").write_text("services: [{name: hello, replicas: 2, routes: [/hello/]}]\n")
    (tmp_path / "versions").mkdir()
    (tmp_path / "versions" / "stable.yaml").write_text("service: hello\nlabel: stable\n")
    assert load_described(tmp_path).cells == ()


@pytest.mark.parametrize("platform", ["examples/your-own", "src/croupier_stand/platform"])
def test_a_platform_of_the_stand_is_one_of_this_form(platform: str) -> None:
    assert load_described(HERE.parents[1] / platform).cells == ()


def test_many_large_files_are_refused_before_all_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("croupier.spec.folder.MOST_BYTES", 100)
    for number in range(5):
        (tmp_path / f"{number}.yaml").write_text(f"brands: {{a{number}: {{title: A}}}} # {'-' * 30}\n")
    assert _said(tmp_path) == [". SIZE holds more than 100 bytes"]


def test_a_platform_of_too_many_services_is_refused_before_any_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("croupier.spec.cells.MOST_PLACED", 8)
    (tmp_path / "base.yaml").write_text((HERE / "base" / "base.yaml").read_text())
    assert _said(tmp_path) == ["base.yaml:31:3 SIZE 9 services in all cells, more than 8"]
