"""``croupier journal`` on the files of a stand: what is printed, how it exits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.support.recorded import played, write_files
from tests.support.records import raw, sample
from tests.support.world import HEALTHY, LOSSY, World

from croupier.adapters.journal.evidence import FileEvidence
from croupier.adapters.journal.sqlite import SqliteJournal
from croupier.cli.root import cli
from croupier.model.journal import Draft, Entry

Run = Callable[..., Result]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a desk of the default stand, with a journal of five entries and one segment of evidence."""
    monkeypatch.setenv("CROUPIER_HOME", str(tmp_path))
    folder = tmp_path / "stands" / "default" / "desk"
    store = FileEvidence(folder / "evidence")
    with SqliteJournal(folder / "journal.sqlite") as journal:
        sha256 = store.append("r-0001", sample(1.0))
        verdict = {"outcome": "fail", "reason": "deposits: 9 of 200 players against 3 of 3800"}
        evidence = {"samples": 1, "sha256": sha256}
        journal.append([Draft("desk.started", "desk", 1.0, {"version": "0.1.0"})])
        journal.append([Draft("run.started", "r-0001", 2.0, {"who": "marta", "restarts": {}})])
        journal.append([Draft("verdict", "r-0001", 3.0, {"weight": 5, "verdict": verdict, "evidence": evidence})])
        journal.append([Draft("command", "r-0001", 4.0, {"command": "abort", "who": "m", "reason": "a\x1b[2Jb"})])
        journal.append([Draft("run.ended", "r-0001", 5.5, {"outcome": "rolled-back", "code": "worse", "reason": "x"})])
    return folder


def _run(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, ["journal", *map(str, words)])


def _cut(desk: Path) -> None:
    connection = raw(desk / "journal.sqlite")
    connection.execute("DELETE FROM entries WHERE seq = 5")
    connection.commit()
    connection.close()


def test_log_tells_each_entry_in_a_line(desk: Path) -> None:
    lines = _run("log").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3", "4", "5"]
    assert "1970-01-01 00:00:03 UTC  r-0001   verdict" in lines[2]
    assert lines[2].endswith("gates: fail, deposits: 9 of 200 players against 3 of 3800")
    assert lines[0].endswith('desk.started      {"version":"0.1.0"}')


def test_what_a_person_typed_cannot_steer_the_terminal(desk: Path) -> None:
    for words in (("log",), ("show", "4")):
        assert "\x1b" not in _run(*words).stdout


def test_what_a_person_typed_is_one_line_of_the_log_and_reads_from_left_to_right(desk: Path) -> None:
    with SqliteJournal(desk / "journal.sqlite") as journal:
        forged = "x\n     7  1970-01-01 00:00:07 UTC  r-0001   run.ended         promoted\u202e"
        journal.append([Draft("command", "r-0001", 6.0, {"command": "abort", "who": "m", "reason": forged})])
    assert len(_run("log").stdout.splitlines()) == 6
    for words in (("log",), ("show", "6")):
        assert "\u202e" not in _run(*words).stdout


def test_log_can_be_narrowed(desk: Path) -> None:
    def seqs(*words: str) -> list[int]:
        return [entry["seq"] for entry in json.loads(_run("log", "-o", "json", *words).stdout)["entries"]]

    assert seqs() == [1, 2, 3, 4, 5]
    assert seqs("--run", "desk") == [1]
    assert seqs("--run", "r-0001", "--after", "2") == [3, 4, 5]
    assert seqs("-n", "2") == [4, 5]
    assert seqs("--run", "r-0009") == []


def test_log_survives_a_body_it_does_not_know(desk: Path) -> None:
    with SqliteJournal(desk / "journal.sqlite") as journal:
        journal.append([Draft("verdict", "r-0001", 6.0, {"strange": 1})])
    assert _run("log", "-n", "1").stdout.endswith('{"strange":1}\n')


def test_show_gives_the_whole_entry(desk: Path) -> None:
    result = _run("show", "5", "-o", "json")
    entry = json.loads(result.stdout)
    assert set(entry) == {"seq", "kind", "subject", "at", "body", "previous", "hash"}
    assert (entry["seq"], entry["kind"], entry["at"]) == (5, "run.ended", 5.5)
    assert entry["body"] == {"outcome": "rolled-back", "code": "worse", "reason": "x"}
    text = _run("show", "5").stdout
    assert entry["hash"] in text
    assert '"outcome": "rolled-back"' in text


@pytest.mark.parametrize("seq", ["6", "99999999999999999999999"])
def test_show_of_an_entry_that_is_not_there_is_a_users_error(desk: Path, seq: str) -> None:
    result = _run("show", seq)
    assert result.exit_code == 2
    assert f"there is no entry {seq}" in result.stderr


def test_log_after_any_number_is_an_answer(desk: Path) -> None:
    result = _run("log", "--after", "99999999999999999999999")
    assert (result.exit_code, result.stdout) == (0, "")


def test_verify_exits_0_when_sound(desk: Path) -> None:
    result = _run("verify")
    assert result.exit_code == 0
    assert result.stdout == "sound: 5 entries; chain, signatures and evidence are as they were written\n"
    key = (desk / "key.pub").read_text().strip()
    assert json.loads(_run("verify", "-o", "json").stdout) == {
        "ok": True,
        "entries": 5,
        "evidence": True,
        "key": key,
        "entry": None,
        "problem": None,
    }


def test_verify_exits_1_and_names_the_first_bad_entry(desk: Path) -> None:
    _cut(desk)
    result = _run("verify")
    assert result.exit_code == 1
    assert result.stdout == "broken: entry 5: cut off: entries up to 5 were signed, 4 are left\n"
    answer = json.loads(_run("verify", "-o", "json").stdout)
    assert (answer["ok"], answer["entry"]) == (False, 5)
    assert answer["problem"].startswith("entry 5: cut off")


def test_verify_checks_evidence_unless_told_not_to(desk: Path) -> None:
    segment = desk / "evidence" / "r-0001.jsonl"
    segment.write_bytes(segment.read_bytes().replace(b"100.0", b"900.0"))
    assert "broken: entry 3: saw other evidence of r-0001" in _run("verify").stdout
    assert _run("verify", "--no-evidence").exit_code == 0


def test_verify_works_while_the_desk_writes(desk: Path) -> None:
    with SqliteJournal(desk / "journal.sqlite") as journal:
        journal.append([Draft("desk.started", "desk", 7.0, {})])
        assert _run("verify").exit_code == 0
        assert _run("log", "-n", "1").stdout.split()[0] == "6"


def test_verify_takes_the_key_that_was_kept(desk: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept.pub"
    shutil.copy(desk / "key.pub", kept)
    assert _run("verify", "--key", kept).exit_code == 0
    assert _run("verify", "--key", kept.read_text().strip()).exit_code == 0
    result = _run("verify", "--key", "nonsense")
    assert result.exit_code == 2
    assert "--key: not an Ed25519 public key" in result.stderr


def test_an_export_verifies_without_the_stand(desk: Path, tmp_path: Path) -> None:
    file = tmp_path / "export.jsonl"
    result = _run("export", "-f", file, "-o", "json")
    key = (desk / "key.pub").read_text().strip()
    assert json.loads(result.stdout) == {"file": str(file), "entries": 5, "key": key}
    assert _run("export").stdout_bytes == file.read_bytes()
    evidence = tmp_path / "evidence"
    shutil.move(desk / "evidence", evidence)
    shutil.rmtree(desk)
    assert (
        _run("verify", "--export", file).stdout == "sound: 5 entries; chain and signatures are as they were written\n"
    )
    assert _run("verify", "--export", file, "--key", key, "--evidence", evidence).exit_code == 0
    file.write_bytes(file.read_bytes().replace(b"rolled-back", b"promoted"))
    result = _run("verify", "--export", file)
    assert result.exit_code == 1
    assert result.stdout.startswith("broken: entry 5: ")


def test_home_names_a_folder_instead_of_a_stand(desk: Path) -> None:
    for home in (desk, desk.parent):
        assert _run("verify", "--home", home).exit_code == 0


def test_without_a_journal_the_answer_says_where_it_was_looked_for(desk: Path) -> None:
    result = _run("log", "--stand", "other")
    assert result.exit_code == 2
    assert "no journal at" in result.stderr
    assert "stands/other/desk/journal.sqlite" in result.stderr


# --- judging again ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def releases() -> World:
    return played(LOSSY, HEALTHY)


def test_replay_judges_every_run_again(releases: World, tmp_path: Path) -> None:
    home = write_files(releases, tmp_path)
    result = _run("replay", "--home", home)
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines()[:2]] == ["r-0001", "r-0002"]
    assert "of 2 runs judged again: all came out as they were written" in result.stdout
    answer = json.loads(_run("replay", "r-0002", "--home", home, "-o", "json").stdout)
    assert answer["ok"] is True
    assert [run["run"] for run in answer["runs"]] == ["r-0002"]


def test_replay_exits_1_and_names_the_entry_whose_verdict_differs(releases: World, tmp_path: Path) -> None:
    def forged(entry: Entry) -> Draft:
        body = dict(entry.body)
        if entry.kind == "run.rolling-back":
            body["reason"] = "because I say so"
        return Draft(entry.kind, entry.subject, entry.at, body)

    home = write_files(releases, tmp_path, edit=forged)
    seq = releases.entries("run.rolling-back")[0].seq
    result = _run("replay", "--home", home)
    assert result.exit_code == 1
    assert f"r-0001, entry {seq}: says 'because I say so'; judged again:" in result.stdout
    assert "r-0002" in result.stdout
    assert "croupier journal show ENTRY" in result.stderr


def test_replay_of_evidence_that_cannot_be_read_is_a_difference_and_not_the_end(
    releases: World, tmp_path: Path
) -> None:
    home = write_files(releases, tmp_path)
    (home / "evidence" / "r-0001.jsonl").write_text("nonsense\n")
    answer = json.loads(_run("replay", "--home", home, "-o", "json").stdout)
    assert [bool(run["differences"]) for run in answer["runs"]] == [True, False]


def test_replay_of_a_run_that_is_not_there_lists_those_that_are(releases: World, tmp_path: Path) -> None:
    result = _run("replay", "r-0003", "--home", write_files(releases, tmp_path))
    assert result.exit_code == 2
    assert "known: r-0001, r-0002" in result.stderr


def test_replay_without_a_release_says_so(desk: Path) -> None:
    assert _run("replay").stdout.startswith("No releases yet")
