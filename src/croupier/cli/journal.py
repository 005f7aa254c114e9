"""``croupier journal``: read, verify and export what was decided. Works on the files, so it needs no running desk."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import click

from croupier.cli.options import EXIT_NO, Output, home_of, output_option, print_json, print_value, say, stand_option
from croupier.errors import IntegrityError, UnknownName, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from croupier.adapters.journal.checkpoint import PublicKey
    from croupier.adapters.journal.evidence import FileEvidence
    from croupier.adapters.journal.reading import JournalReader
    from croupier.model.journal import Entry
    from croupier.model.replay import RunReplay
    from croupier.ports.journal import EvidenceStore

SUMMARY_WIDTH = 100
"""Characters of a body in ``log``."""


class Where(TypedDict):
    """The options of ``place_options``."""

    stand: str
    home: Path | None


@click.group()
def journal() -> None:
    """Read and verify what was decided, and why.

    Every decision, command and outcome is an entry of a hash chain signed by the desk. These commands read the files
    of a stand; they work while its desk runs and when it is down.
    """


def place_options(command: Callable[..., None]) -> Callable[..., None]:
    """``--stand`` and ``--home``: whose journal."""
    home = click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder with the journal, or of a stand, instead of --stand.",
    )
    return stand_option(home(command))


def folder_of(where: Where) -> Path:
    """The folder that holds ``journal.sqlite``. It need not exist."""
    home = where["home"] or home_of(where["stand"])
    return home if (home / "journal.sqlite").exists() else home / "desk"


def evidence_of(where: Where) -> FileEvidence:
    from croupier.adapters.journal.evidence import FileEvidence

    return FileEvidence(folder_of(where) / "evidence")


def reader_of(where: Where) -> JournalReader:
    from croupier.adapters.journal.reading import open_for_reading

    return open_for_reading(folder_of(where) / "journal.sqlite")


def _as_json(entry: Entry) -> dict[str, Any]:
    return {**asdict(entry), "body": dict(entry.body)}


# --- reading ----------------------------------------------------------------------------------------------------------


@journal.command()
@click.option("--run", metavar="RUN", help="Entries of one run only; `desk` for those of the desk itself.")
@click.option("--after", type=click.IntRange(min=0), default=0, metavar="SEQ", help="Entries after this number.")
@click.option("-n", "--last", type=click.IntRange(min=1), metavar="N", help="The last N only.")
@place_options
@output_option
def log(*, run: str | None, after: int, last: int | None, output: Output, **where: Unpack[Where]) -> None:
    """List entries, oldest first."""
    from collections import deque

    with reader_of(where) as reader:
        entries = deque(reader.read(after=after, subject=run), maxlen=last)
    if output == "json":
        print_json({"entries": [_as_json(entry) for entry in entries]})
        return
    for entry in entries:
        click.echo(_line(entry))
    if not entries:
        say("no entries")


def _line(entry: Entry) -> str:
    from croupier.core.run import story_line
    from croupier.report.format import plain, timestamp

    try:
        told = story_line(entry)
    except (KeyError, TypeError, ValueError):  # a body of another release of croupier, or a changed one
        told = ""
    told = plain(told or json.dumps(entry.body, ensure_ascii=False, separators=(",", ":")))
    told = told if len(told) <= SUMMARY_WIDTH else told[: SUMMARY_WIDTH - 1] + "…"
    return f"{entry.seq:>6}  {timestamp(entry.at)}  {plain(entry.subject):<8} {plain(entry.kind):<17} {told}"


@journal.command()
@click.argument("seq", type=click.IntRange(min=1))
@place_options
@output_option
def show(*, seq: int, output: Output, **where: Unpack[Where]) -> None:
    """Show one entry in full."""
    from croupier.report.format import plain, timestamp

    with reader_of(where) as reader:
        entry = next(reader.read(after=seq - 1), None)
    if entry is None or entry.seq != seq:
        raise UsageError(f"there is no entry {seq}", hint="`croupier journal log` lists them")
    if output == "json":
        print_json(_as_json(entry))
        return
    for name, value in (
        ("entry", entry.seq),
        ("kind", plain(entry.kind)),
        ("subject", plain(entry.subject)),
        ("at", f"{timestamp(entry.at)} ({entry.at!r})"),
        ("previous", entry.previous),
        ("hash", entry.hash),
    ):
        click.echo(f"{name:<9} {value}")
    for line in json.dumps(entry.body, ensure_ascii=False, indent=2).split("\n"):
        click.echo(plain(line))


# --- verifying --------------------------------------------------------------------------------------------------------


@journal.command()
@click.option("--export", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Check an export.")
@click.option("--key", metavar="KEY", help="The public key you kept, or a file with it. Default: the one found beside.")
@click.option(
    "--evidence",
    "segments",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of evidence to check as well. Default: that of the stand; for an export none.",
)
@click.option("--no-evidence", is_flag=True, help="Check the chain and its signatures only.")
@place_options
@output_option
def verify(
    *,
    file: Path | None,
    key: str | None,
    segments: Path | None,
    no_evidence: bool,
    output: Output,
    **where: Unpack[Where],
) -> None:
    """Check that nothing was changed, dropped, swapped, inserted or cut off.

    Exit code 0 when the journal is what the desk wrote; 1 when it is not, and the first bad entry is named.
    """
    from croupier.adapters.journal.evidence import FileEvidence
    from croupier.adapters.journal.export import verify_export

    trusted = _key(key) if key else None
    directory = segments or (None if file else folder_of(where) / "evidence")
    evidence = FileEvidence(directory) if directory and not no_evidence else None
    try:
        if file is not None:
            entries, used = verify_export(file, key=trusted, evidence=evidence)
        else:
            entries, used = _verify_here(where, trusted, evidence)
    except IntegrityError as error:
        _tell_broken(error, output)
        raise click.exceptions.Exit(EXIT_NO) from error
    if output == "json":
        answer = {"ok": True, "entries": entries, "evidence": evidence is not None, "key": used.text}
        print_json({**answer, "entry": None, "problem": None})
        return
    checked = "chain, signatures and evidence" if evidence is not None else "chain and signatures"
    click.echo(f"sound: {entries} entries; {checked} are as they were written")
    say(f"checked with key {used.text}")
    if trusted is None:
        say("keep that key elsewhere and give it with --key: who can write here could have changed it too")


def _verify_here(where: Where, key: PublicKey | None, evidence: EvidenceStore | None) -> tuple[int, PublicKey]:
    with reader_of(where) as reader:
        used = key or reader.public_key()
        return reader.verify(evidence=evidence, key=used), used


def _tell_broken(error: IntegrityError, output: Output) -> None:
    if output == "json":
        answer = {"ok": False, "entries": None, "evidence": None, "key": None}
        print_json({**answer, "entry": error.entry, "problem": error.message})
        return
    click.echo(f"{click.style('broken:', fg='red', bold=True)} {error.message}")
    if error.hint:
        say(f"hint: {error.hint}")


def _key(text: str) -> PublicKey:
    from croupier.adapters.journal.checkpoint import PublicKey

    try:
        path = Path(text)
        return PublicKey.parse(path.read_text(encoding="utf-8") if path.is_file() else text)
    except ValueError as error:
        raise UsageError(f"--key: {error}", hint="it stands in the file key.pub of a desk") from error


# --- judging again ----------------------------------------------------------------------------------------------------


@journal.command()
@click.argument("run", required=False)
@place_options
@output_option
def replay(*, run: str | None, output: Output, **where: Unpack[Where]) -> None:
    """Judge every verdict again, of RUN or of every run, from the evidence it names.

    Exit code 0 when every verdict comes out as it was written; 1 when one does not, and its entry is named. Whether the
    journal itself is sound is for `croupier journal verify`.
    """
    from croupier.model.replay import Replay
    from croupier.report.replay import replay_text

    evidence = evidence_of(where)
    with reader_of(where) as reader:
        done = tuple(_replayed(reader, evidence, name) for name in runs_of(reader, run))
    answer = Replay(ok=not any(each.differences for each in done), runs=done)
    if output == "json":
        print_value(answer)
    else:
        click.echo(replay_text(answer))
    if not answer.ok:
        say("hint: another version of croupier may judge otherwise; else look: croupier journal show ENTRY")
        raise click.exceptions.Exit(EXIT_NO)


def _replayed(reader: JournalReader, evidence: EvidenceStore, run: str) -> RunReplay:
    from croupier.core.replay import replay
    from croupier.model.replay import Difference, RunReplay

    entries = list(reader.read(subject=run))
    try:
        return replay(entries, evidence.read(run), evidence.digests(run))
    except (IntegrityError, KeyError, TypeError, ValueError) as error:
        # Not to be read is not to be judged again: a difference of its own, and the other runs still have their turn.
        entry = getattr(error, "entry", None) or entries[0].seq
        difference = Difference(entry=entry, problem=f"cannot be judged again: {error}")
        return RunReplay(run=run, verdicts=0, unstored=0, differences=(difference,))


def runs_of(reader: JournalReader, run: str | None) -> list[str]:
    """All runs of a journal, oldest first, or the one asked for. Raises ``UnknownName``."""
    known = [entry.subject for entry in reader.read() if entry.kind == "run.planned"]
    if run is None:
        return known
    if run not in known:
        raise UnknownName("run", run, known)
    return [run]


# --- exporting --------------------------------------------------------------------------------------------------------


@journal.command()
@click.option("-f", "--file", type=click.Path(dir_okay=False, path_type=Path), help="Where to. Default: stdout.")
@place_options
@output_option
def export(*, file: Path | None, output: Output, **where: Unpack[Where]) -> None:
    """Write the journal, its signed checkpoints and the public key as one file of JSON lines.

    `croupier journal verify --export FILE` checks it anywhere, without this machine.
    """
    from croupier.adapters.files import replace_file
    from croupier.adapters.journal.export import export_lines

    with reader_of(where) as reader:
        key = reader.public_key()
        with reader.snapshot() as (rows, notes):
            lines = list(export_lines(rows, notes, key))
    if file is None:
        click.echo(b"".join(lines), nl=False)
        return
    replace_file(file, b"".join(lines))
    entries = json.loads(lines[0])["entries"]
    if output == "json":
        print_json({"file": str(file), "entries": entries, "key": key.text})
        return
    click.echo(f"{entries} entries written to {file}")
    say(f"check it anywhere: croupier journal verify --export {file} --key {key.text}")
