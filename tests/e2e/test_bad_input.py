"""Bad input is answered with what is wrong, where, and what to do; nothing is started."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.e2e.conftest import RELEASE, Bench

pytestmark = [pytest.mark.stand, pytest.mark.xdist_group("outages")]

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("payment-api", "--version", DIGEST), 2, "did you mean payments-api?"),
        (("payments-api", "--version", DIGEST), 2, "unknown version"),
        (("payments-api", "--version", "sha256:" + "0" * 12), 2, "unknown version"),
        (("payments-api", "--version", "payments-api:healthy"), 2, "is not a digest"),
        (("payments-api", "--version", "sha256:12ab"), 2, "too short"),
        (("payments-api", "--version", "HEALTHY", "--steps", "50,101"), 2, "--steps"),
        (("payments-api", "--version", "HEALTHY", "--steps", "50,25,100"), 2, "steps must rise"),
        (("payments-api", "--version", "HEALTHY", "--steps", "5,50"), 2, "the last step must be 100"),
        (("payments-api",), 2, "--version"),
    ],
)
def test_wrong_words(bench: Bench, words: tuple[str, ...], code: int, said: str) -> None:
    before = bench.runs()
    words = tuple(bench.sound() if word == "HEALTHY" else word for word in words)
    done = bench.croupier("release", "start", "--yes", *words)
    assert (done.exit_code, said in done.stderr) == (code, True), done.stderr
    assert bench.runs() == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("service: payments-api\ndigest: [unclosed\n", "release.yaml:3:1"),
        (
            RELEASE.format(digest=DIGEST, points=5, dwell=5).replace("steps: [25, 100]", "steps: [25, 101]"),
            "release.yaml:3:13",
        ),
        (
            RELEASE.format(digest=DIGEST, points=5, dwell=5).replace("steps: [25, 100]", "steps: [50, 25, 100]"),
            "release.yaml:3:",
        ),
        (RELEASE.format(digest=DIGEST, points=5, dwell=5).replace("dwellSeconds", "dwelSeconds"), "release.yaml:4:1"),
        (RELEASE.format(digest="payments-api:healthy", points=5, dwell=5), "release.yaml:2:9"),
    ],
    ids=["malformed", "101 percent", "falling", "misspelt", "tag"],
)
def test_wrong_files_are_answered_with_the_place(bench: Bench, tmp_path: Path, text: str, said: str) -> None:
    before = bench.runs()
    file = tmp_path / "release.yaml"
    file.write_text(text)
    done = bench.croupier("release", "start", "--yes", "-f", str(file))
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr
    assert bench.runs() == before


def test_without_the_token_nothing_is_told(bench: Bench, tmp_path: Path) -> None:
    desk = tmp_path / "stands" / bench.home.name / "desk"
    desk.mkdir(parents=True)
    shutil.copy(bench.home.desk / "desk.json", desk)
    (desk / "token").write_text("guessed")
    done = bench.croupier("release", "list", CROUPIER_HOME=str(tmp_path))
    assert done.exit_code == 4
    assert "did not take the token" in done.stderr
    (desk / "token").unlink()
    done = bench.croupier("release", "list", CROUPIER_HOME=str(tmp_path))
    assert done.exit_code == 4


def test_a_stand_that_is_not_up_is_said_in_plain_words(bench: Bench, tmp_path: Path) -> None:
    done = bench.croupier("stand", "audit", "--name", "nowhere", CROUPIER_HOME=str(tmp_path))
    assert done.exit_code == 4
    assert "croupier stand up --name nowhere" in done.stderr
    done = bench.croupier("stand", "up", "--name", "Not A Name", CROUPIER_HOME=str(tmp_path))
    assert done.exit_code == 2
