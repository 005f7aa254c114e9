"""``croupier release check`` and ``release waive``: the answer is in the exit code, the page is plain HTML."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result
from tests.unit.cli.test_release import TOKEN, Here

from croupier.cli.client import DeskClient
from croupier.cli.root import cli
from croupier.web.memory import MemoryDesk

ROOT = Path(__file__).parents[3]
TEMPLATE = str(ROOT / "examples" / "checklist" / "payments-api.yaml")
WAIVED = ("--owner", "ann", "--until", "2026-12-31", "--reason", "the drill is in December")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where no desk is yet."""
    monkeypatch.setenv("CROUPIER_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def desk(home: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryDesk:
    """A desk in memory, at the address that the default stand has left."""
    folder = home / "stands" / "default" / "desk"
    folder.mkdir(parents=True)
    (folder / "desk.json").write_text('{"url": "http://127.0.0.1:1", "pid": 1}')
    (folder / "token").write_text(TOKEN)
    made = MemoryDesk()

    def client(stand: str) -> DeskClient:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        return DeskClient(httpx.Client(transport=Here(made), base_url="http://127.0.0.1", headers=headers), stand=stand)

    monkeypatch.setattr(DeskClient, "of", staticmethod(client))
    return made


def release(*words: str) -> Result:
    return CliRunner().invoke(cli, ["release", *words])


def check(*words: str) -> Result:
    return release("check", *words)


def test_red_is_no() -> None:
    done = check("payments-api", "--manifests", TEMPLATE)
    assert done.exit_code == 1
    assert "payments-api is NOT READY for production: 0 green, 0 waived, 9 red\n" in done.stdout
    assert "not checked: waivers in the journal: no desk answers for stand 'default'\n" in done.stdout


def test_without_a_desk_and_without_manifests_nobody_answers() -> None:
    done = check("payments-api")
    assert (done.exit_code, done.stdout) == (4, "")
    assert "no desk answers for stand 'default'" in done.stderr
    assert "or give --platform DIR or --manifests PATH" in done.stderr


def test_what_could_not_be_read_is_no_answer(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("kind: [")
    assert check("payments-api", "--manifests", TEMPLATE, "--manifests", str(tmp_path)).exit_code == 3


def test_wrong_words_are_said() -> None:
    assert check("payments", "--manifests", TEMPLATE).exit_code == 2
    assert check("payments-api", "--cell", "lucky-mt-eu-south").exit_code == 2
    assert check("Not A Name", "--manifests", TEMPLATE).exit_code == 2


def test_json_has_the_documented_fields() -> None:
    told = json.loads(check("payments-api", "--manifests", TEMPLATE, "-o", "json").stdout)
    assert told["ready"] is False
    assert [line["id"] for line in told["lines"]] == [f"S15.{number}" for number in range(1, 10)]


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_plain_headed_and_closed() -> None:
    page = Page()
    text = check("payments-api", "--manifests", TEMPLATE, "-o", "html").stdout
    page.feed(text)
    tags = [tag for tag, _ in page.seen]
    assert not page.open
    assert "script" not in tags
    assert tags.count("h1") == 1
    assert ("html", {"lang": "en"}) in page.seen
    assert tags.count("table") == tags.count("caption") == 10
    assert all("scope" in attrs for tag, attrs in page.seen if tag == "th")
    assert not any(name.startswith("on") for _, attrs in page.seen for name in attrs)


def test_what_people_wrote_stays_text_on_the_page(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    name = "'<script>alert(1)</script>'"
    file.write_text(
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: bets, namespace: {name}}}\nspec: {{containers: [{{name: a}}]}}\n"
    )
    text = check("bets", "--manifests", str(file), "-o", "html").stdout
    assert "<script" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.usefixtures("desk")
def test_a_desk_answers_by_itself_and_gives_its_waivers() -> None:
    done = release("waive", "payments-api", "S15.8", *WAIVED)
    assert done.exit_code == 0, done.output
    assert "S15.8 of payments-api is waived until 2026-12-31, journal entry 1\n" in done.stdout
    assert "the drill is on the 30th" in check("payments-api").stdout
    mine = check("payments-api", "--manifests", TEMPLATE)
    assert "waived until 2026-12-31 by ann: the drill is in December" in mine.stdout
    assert "not checked" not in mine.stdout


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize("wrong", [("--owner", "two words"), ("--until", "soon"), ("--reason", " ")])
def test_a_waiver_needs_a_person_an_end_and_a_reason(wrong: tuple[str, str]) -> None:
    done = release("waive", "payments-api", "S15.8", *WAIVED, *wrong)
    assert done.exit_code == 2
    assert wrong[0].removeprefix("--") in done.stderr
