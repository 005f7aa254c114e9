"""The reference pages say what the code does."""

from __future__ import annotations

import asyncio
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import click
import pytest

from croupier.web.app import Api
from croupier.web.memory import MemoryDesk

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "reference"


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "tools" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli.md", "json.md", "platform.md", "exit-codes.md", "markets.md"])
def test_made_pages_are_up_to_date(reference: ModuleType, name: str) -> None:
    made = reference.pages()[name]
    assert (PAGES / name).read_text(encoding="utf-8") == made, f"{name} is old: run python tools/reference.py"


def test_every_field_of_a_market_has_a_page_that_says_what_is_done_and_who_asks_for_it(reference: ModuleType) -> None:
    """Compliance owns the values: each field says how it is held, and from where we know that somebody wants it."""
    fields = set(reference.market_fields())
    known = reference.KNOWN
    assert known["held"].keys() == fields
    assert {each["field"] for each in known["facts"]} <= fields
    every = [*known["facts"], *(each for asked in known["unsaid"] for each in asked["facts"])]
    assert all(("where" in each) == (each["grade"] != "unverified") for each in every)
    made = {name: text for name, text in reference.pages().items() if name.startswith("markets/")}
    written = {f"markets/{page.name}": page.read_text(encoding="utf-8") for page in (PAGES / "markets").glob("*.md")}
    assert written == made, "run python tools/reference.py"


def test_every_command_that_answers_takes_output_json_and_is_documented(reference: ModuleType) -> None:
    silent = {
        "desk",
        "judge",
        "admission run",
        "admission manifests",
        "admission image-policy",
        "operator run",
        "operator manifests",
        "schema export",
    }
    """Processes of their own, and documents for ``kubectl`` and API servers."""
    answering = {
        " ".join(words): command
        for words, command in reference.commands()
        if not isinstance(command, click.Group) and " ".join(words) not in silent
    }
    assert set(answering) == set(reference.ANSWERS)
    for words, command in answering.items():
        assert "output" in {parameter.name for parameter in command.params}, words


def test_every_command_and_option_says_what_it_is_for(reference: ModuleType) -> None:
    for words, command in reference.commands():
        assert command.help, words
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.help or parameter.default is not None, (words, parameter.name)


def test_every_route_is_documented_and_no_other() -> None:
    routes = {
        f"{method} {route.path}"
        for route in Api(MemoryDesk(), "marta", asyncio.Event()).routes()
        for method in (route.methods or set()) - {"HEAD"}
    }
    page = (PAGES / "api.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `((?:GET|POST) /v1/[^`]*)`", page, re.MULTILINE)) == routes


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        for target, anchor in re.findall(r"\]\(([\w.-]*)#?([\w-]*)\)", text):
            other = PAGES / target if target else page
            assert other.exists(), (page.name, target)
            if anchor:
                titles = re.findall(r"^#+ (.*)$", other.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {title.lower().replace(" ", "-") for title in titles}, (page.name, target, anchor)


def test_the_documents_of_the_stand_have_the_documented_fields(reference: ModuleType, tmp_path: Path) -> None:
    from croupier_stand import status
    from croupier_stand.home import Home, StandRecord

    record = StandRecord(name="x", supervisor_pid=1, supervisor_start_ticks=1, started_at=0.0, phase="running")
    shown = status.document(Home("x", tmp_path), record)
    assert list(shown) == [name for name, _, _ in reference.BY_HAND["stand status"][1]]
