"""What the pages tell people to type is there: commands with those options, targets, programs (reference is tested)."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from croupier.cli.kubectl import kubectl
from croupier.cli.root import cli

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if path.name != "CHANGELOG.md" and "reference/policy/" not in path.as_posix()
)
FENCE = re.compile(r"^```(?:sh|console|bash)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")


def lines(page: Path) -> Iterator[str]:
    """Every line to be typed, and every piece of code in a sentence; a line that goes on is one."""
    text = page.read_text(encoding="utf-8")
    for block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            yield line.removeprefix("$ ").removeprefix("# ")
    yield from INLINE.findall(FENCE.sub("", text))


def words_of(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # a sentence
        return []


def unknown_in(words: list[str], command: click.Command = cli) -> str:
    """What of ``croupier …`` there is not; "" where all is there. Placeholders end the words of a command."""
    context = click.Context(command)
    rest = iter(words)
    for word in rest:
        if isinstance(command, click.Group) and not word.startswith("-"):
            if not re.fullmatch(r"[a-z][a-z0-9-]*", word):
                return ""
            found = command.get_command(context, word)
            if found is None:
                return f"no command {word!r} in {command.name}"
            command = found
        elif re.match(r"\[?--?[a-z]", word):
            option = re.sub(r"[\[\]]|=.*", "", word)
            known = {each for parameter in command.params for each in (*parameter.opts, *parameter.secondary_opts)}
            if option not in known | {"--help"}:
                return f"{command.name} has no {option}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_that_pages_name_exist_with_their_options(page: Path) -> None:
    problems = []
    for line in lines(page):
        words = words_of(line)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        is_plugin = words[:2] == ["kubectl", "croupier"]
        if is_plugin or (words and words[0].rpartition("/")[2] == "croupier"):
            until = next((at for at, word in enumerate(words) if word in ("|", ">", "&&", ";", "<")), len(words))
            typed = words[2:until] if is_plugin else words[1:until]
            if problem := unknown_in(typed, kubectl if is_plugin else cli):
                problems.append(f"{line}: {problem}")
    assert not problems


def test_an_option_that_is_not_there_would_be_found() -> None:
    assert unknown_in(["stand", "soak", "--repeat", "3", "--only", "late"]) == ""
    assert unknown_in(["stand", "soak", "--twice"]) == "soak has no --twice"
    assert unknown_in(["release", "begin", "payments-api"]) == "no command 'begin' in release"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_targets_and_programs_that_pages_name_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    missing = []
    for line in lines(page):
        words = words_of(line)
        if len(words) > 1 and words[0] == "make" and re.fullmatch(r"[a-z-]+", words[1]) and words[1] not in targets:
            missing.append(line)
        if match := re.search(r"python (?:-m (bench|tools)\.([a-z_]+)|((?:bench|tools)/[a-z_]+\.py))", line):
            room, module, path = match.groups()
            program = ROOT / (path or f"{room}/{module}.py")
            sources = [program] if program.is_file() else sorted(program.with_suffix("").glob("*.py"))
            if not sources:
                missing.append(line)
                continue
            text = "".join(source.read_text(encoding="utf-8") for source in sources)
            options = re.findall(r"(?<=\s)--[a-z][a-z-]*", line[match.end() :])
            missing += [f"{line}: no {option}" for option in options if f'"{option}"' not in text]
    assert not missing
