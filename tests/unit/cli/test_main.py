"""The command line as a whole: what --help imports, what errors look like, how they exit."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from croupier.cli import root as root_module
from croupier.cli.main import COMMANDS, page
from croupier.cli.root import cli
from croupier.core.policy.catalogue import RULES
from croupier.errors import (
    Conflict,
    CroupierError,
    IntegrityError,
    Problem,
    Refused,
    SpecError,
    Unauthorized,
    UnknownName,
    Unreachable,
    UsageError,
)

HEAVY = (
    "pydantic",
    "httpx",
    "rich",
    "starlette",
    "uvicorn",
    "yaml",
    "cryptography",
    "aiohttp",
    "asyncio",
    "croupier_stand",
)
WAITED_FOR = ("pydantic", "asyncio", "importlib.metadata", "urllib.request", "xml")
"""What takes longer to load than a file takes to check."""


def loaded_by(words: list[str], watched: Sequence[str]) -> str:
    """Which of the modules ``watched`` a call has loaded when it ends, and what it printed."""
    code = (
        f"import sys, atexit; sys.argv[1:] = {words!r}; from croupier.cli.main import main;"
        f"atexit.register(lambda: print('loaded:', *sorted(set(sys.modules) & set({tuple(watched)!r}))));"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_loads_nothing_but_its_page(word: str) -> None:
    assert loaded_by([word], (*HEAVY, "click")) == f"{page()}loaded:\n"


def test_help_of_a_command_loads_nothing_heavy() -> None:
    said = loaded_by(["release", "--help"], HEAVY)
    assert "promote" in said
    assert said.endswith("loaded:\n")


def test_rules_are_listed_without_models_and_loaders() -> None:
    said = loaded_by(["policy", "rules"], (*HEAVY, "importlib.metadata"))
    assert "brand-wall" in said
    assert said.endswith("loaded:\n")


def test_one_file_is_checked_without_models_and_loops(tmp_path: Path) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(RULES["privileged"].good)
    for output in ("text", "json"):
        said = loaded_by(["policy", "check", "--profile", "baseline", "-o", output, str(file)], WAITED_FOR)
        assert said.endswith("loaded:\n")


def test_a_tree_that_has_not_changed_is_checked_without_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    loaded_by(["init", str(tmp_path / "platform")], ())
    first, again = (loaded_by(["check", str(tmp_path / "platform")], (*WAITED_FOR, "yaml")) for _ in range(2))
    assert first.endswith("loaded: importlib.metadata pydantic yaml\n")
    assert again == first.replace("loaded: importlib.metadata pydantic yaml", "loaded:")


def test_every_way_to_help_shows_one_page() -> None:
    for words in (["--help"], ["-h"], []):
        assert CliRunner().invoke(cli, words).output == page()


def test_help_names_every_command_and_every_option() -> None:
    for name, (_, words) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(words)}$", page(), re.MULTILINE)
    context = click.Context(cli, **cli.context_settings)
    for each in cli.get_params(context):
        names, words = each.get_help_record(context) or ("", "")
        assert re.search(rf"^  {re.escape(names)} +{re.escape(words)}$", page(), re.MULTILINE)
    options = page().partition("Options:\n")[2].partition("\n\n")[0]
    assert len(options.splitlines()) == len(cli.get_params(context))


def test_help_that_nobody_reads_to_its_end_is_no_bug() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code = "import sys; sys.argv[1:] = ['--help']; from croupier.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(writer)
    assert done.stderr == b""


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """Puts a command ``fail`` on the command line that raises the one exception in the list."""
    raised: list[BaseException] = []

    @click.command()
    @with_output
    def fail(output: str) -> None:
        raise raised[0]

    monkeypatch.setattr(root_module, "_from_entry_point", lambda name: fail if name == "fail" else None)
    return raised


def with_output(command):  # type: ignore[no-untyped-def]
    from croupier.cli.options import output_option

    return output_option(command)


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (UsageError("no"), 2),
        (SpecError([Problem("a.yaml", 1, 2, "X", "y")]), 2),
        (UnknownName("run", "r-1", ["r-2"]), 2),
        (Refused("no"), 1),
        (Unreachable("no"), 4),
        (Unauthorized("no"), 4),
        (Conflict("no"), 4),
        (IntegrityError("no"), 1),
        (OSError(28, "No space left on device"), 4),
        (ZeroDivisionError("oops"), 70),
    ],
)
def test_each_error_has_its_exit_code(failing: list[BaseException], error: Exception, exit_code: int) -> None:
    failing.append(error)
    done = CliRunner().invoke(cli, ["fail"])
    assert done.exit_code == exit_code
    assert done.stdout == ""
    assert done.stderr


def test_an_error_says_what_to_do_next(failing: list[BaseException]) -> None:
    failing.append(UnknownName("run", "r-1", ["r-2"]))
    done = CliRunner().invoke(cli, ["fail"])
    assert done.stderr == "error: unknown run 'r-1'\nhint: did you mean r-2? known: r-2\n"


def test_every_problem_of_a_file_is_printed_in_order_of_place(failing: list[BaseException]) -> None:
    failing.append(
        SpecError([Problem("a.yaml", 9, 1, "B", "second", "mend it"), Problem("a.yaml", 2, 5, "A", "first")])
    )
    done = CliRunner().invoke(cli, ["fail"])
    assert done.stderr.splitlines() == ["error: 2 problems", "  a.yaml:2:5 A first", "  a.yaml:9:1 B second, mend it"]


def test_with_output_json_the_error_is_json_on_stderr(failing: list[BaseException]) -> None:
    failing.append(SpecError([Problem("a.yaml", 2, 5, "A", "first", "mend it")]))
    done = CliRunner().invoke(cli, ["fail", "--output", "json"])
    assert done.stdout == ""
    problem = {"place": "a.yaml:2:5", "code": "A", "message": "first", "hint": "mend it"}
    error = json.loads(done.stderr)["error"]
    assert error["code"] == "SPEC"
    assert error["problems"] == [problem]


@pytest.mark.parametrize(
    "words",
    [
        ("journal", "show", "--output", "json", "first"),
        ("nonsense", "-o", "json"),
        ("journal", "nonsense", "--output=json"),
        ("journal", "show", "1", "--nonsense", "-ojson"),
    ],
)
def test_with_output_json_a_wrong_word_is_json_too(words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 2
    assert json.loads(done.stderr)["error"]["code"] == "USAGE"


@pytest.mark.parametrize("stopped", [KeyboardInterrupt(), BrokenPipeError(32, "Broken pipe")])
def test_who_leaves_before_the_answer_is_not_told_no(failing: list[BaseException], stopped: BaseException) -> None:
    failing.append(stopped)
    assert CliRunner().invoke(cli, ["fail"]).exit_code == 3


def test_a_bug_shows_its_traceback_only_when_asked(failing: list[BaseException]) -> None:
    failing.append(ZeroDivisionError("oops"))
    plain = CliRunner().invoke(cli, ["fail"])
    assert "Traceback" not in plain.stderr
    assert "--debug" in plain.stderr
    for how in ({"args": ["--debug", "fail"]}, {"args": ["fail"], "env": {"CROUPIER_DEBUG": "1"}}):
        asked = CliRunner().invoke(cli, **how)  # type: ignore[arg-type]
        assert asked.exit_code == 70
        assert "Traceback" in asked.stderr


def test_an_unknown_command_is_a_usage_error() -> None:
    done = CliRunner().invoke(cli, ["nonsense"])
    assert done.exit_code == 2
    assert "nonsense" in done.stderr


def test_a_missing_extra_is_said_in_plain_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        def load(self) -> object:
            raise ModuleNotFoundError("No module named 'aiohttp'", name="aiohttp")

    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: [Entry()])
    done = CliRunner().invoke(cli, ["stand"])
    assert done.exit_code == 4
    assert "croupier[stand]" in done.stderr


def test_no_command_depends_on_colour(failing: list[BaseException]) -> None:
    failing.append(CroupierError("no"))
    done = CliRunner().invoke(cli, ["fail"], color=True, env={"NO_COLOR": "1"})
    assert "\x1b" not in done.stderr


def test_every_built_in_command_exists() -> None:
    root = click.Context(cli)
    for name, (target, _) in COMMANDS.items():
        if target:
            assert isinstance(cli.get_command(root, name), click.Command)


def test_the_table_is_the_only_list_of_commands() -> None:
    assert cli.list_commands(click.Context(cli)) == list(COMMANDS)


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (["init", "/proc/none"], "/proc/none: No such file or directory"),
        (["init", "/dev/null/demo"], "/dev/null/demo/.croupier: Not a directory"),
        (["policy", "check", "-", "--report", "json=/proc/none.json"], "/proc/none.json: "),
    ],
)
def test_a_place_that_cannot_be_written_is_named_with_what_to_do(words: list[str], place: str) -> None:
    done = CliRunner().invoke(cli, words, input="{apiVersion: v1, kind: Pod, metadata: {name: bets}, spec: {}}")
    assert done.exit_code == 4
    assert f"error: {place}" in done.stderr
    assert "hint: " in done.stderr
    assert "Errno" not in done.stderr


@pytest.mark.parametrize(("slip", "meant"), [("plna", "plan"), ("releas", "release"), ("rendr", "render")])
def test_a_slip_in_a_command_is_answered_with_the_one_that_was_meant(slip: str, meant: str) -> None:
    done = CliRunner().invoke(cli, [slip])
    assert done.exit_code == 2
    assert f"No such command '{slip}'. Did you mean '{meant}'?" in done.stderr


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["release", "--help"]])
def test_help_that_cannot_be_written_is_said_in_one_line(words: list[str]) -> None:
    code = f"import sys; sys.argv[1:] = {words!r}; from croupier.cli.main import main; main()"
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60
        )
    assert (done.returncode, done.stderr.splitlines()) == (4, ["error: [Errno 28] No space left on device"])


def test_help_without_a_stdout_is_no_crash() -> None:
    code = "import sys; sys.argv[1:] = ['--help']; sys.stdout = None; from croupier.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
