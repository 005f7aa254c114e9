"""Signed notes: one text for one head, and nobody else's."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from croupier.adapters.journal.chain import Head
from croupier.adapters.journal.checkpoint import (
    PublicKey,
    Signer,
    key_paths,
    load_public_key,
    load_signer,
    new_signer,
    split_notes,
)
from croupier.errors import EnvironmentFault, IntegrityError

HEAD = Head(64, "ab" * 32)
SIGNER = Signer("croupier-journal/test", bytes(range(32)))


def test_a_note_gives_back_its_head() -> None:
    assert SIGNER.public_key.open(SIGNER.sign(HEAD)) == HEAD


def test_a_note_has_the_form_of_c2sp_signed_note_and_tlog_checkpoint() -> None:
    origin, size, root, empty, signature, end = SIGNER.sign(HEAD).split("\n")
    assert (origin, size, empty, end) == ("croupier-journal/test", "64", "", "")
    assert base64.b64decode(root).hex() == HEAD.hash
    dash, name, encoded = signature.split(" ")
    assert (dash, name) == ("\u2014", origin)
    blob = base64.b64decode(encoded)
    public = SIGNER.public_key.public
    assert blob[:4] == hashlib.sha256(f"{name}\n".encode() + b"\x01" + public).digest()[:4]
    Ed25519PublicKey.from_public_bytes(public).verify(blob[4:], f"{origin}\n{size}\n{root}\n".encode())


def test_keys_are_read_back_from_their_text() -> None:
    assert Signer.parse(SIGNER.text + "\n") == SIGNER
    assert PublicKey.parse(SIGNER.public_key.text + "\n") == SIGNER.public_key
    name, key_id, _ = SIGNER.public_key.text.split("+", 2)
    assert (name, len(key_id)) == (SIGNER.name, 8)


@pytest.mark.parametrize("text", ["", "a+b+c", "a+00000000+" + "A" * 44, SIGNER.public_key.text[:-4] + "AAAA", "ä+1+ü"])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        PublicKey.parse(text)


@pytest.mark.parametrize("text", ["", "PRIVATE+KEY+a+b", SIGNER.public_key.text, SIGNER.text[:-4] + "AAAA"])
def test_what_is_no_private_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Signer.parse(text)


def test_another_keys_note_is_refused_even_under_the_same_name() -> None:
    forged = Signer(SIGNER.name, bytes(32)).sign(HEAD)
    with pytest.raises(IntegrityError, match="checkpoint for 64 entries: signed by another key"):
        SIGNER.public_key.open(forged)


def test_every_changed_byte_of_a_note_is_found() -> None:
    note = SIGNER.sign(HEAD)
    for at, character in enumerate(note):
        changed = note[:at] + ("A" if character != "A" else "B") + note[at + 1 :]
        with pytest.raises(IntegrityError):
            SIGNER.public_key.open(changed)


@pytest.mark.parametrize("note", ["", "\n" * 5, "a\nb\nc\n\nd\n", "a\n1\n????\n\n\u2014 a b\n"])
def test_what_is_no_note_is_refused(note: str) -> None:
    with pytest.raises(IntegrityError):
        SIGNER.public_key.open(note)


def test_the_private_key_is_for_its_owner_alone_and_shows_up_nowhere(tmp_path: Path) -> None:
    signer = load_signer(tmp_path, create=True)
    private, _ = key_paths(tmp_path)
    assert private.stat().st_mode & 0o777 == 0o600
    assert load_signer(tmp_path, create=False) == signer
    assert load_public_key(tmp_path) == signer.public_key
    secret = base64.b64encode(b"\x01" + signer.seed).decode()
    assert secret not in repr(signer) + signer.sign(HEAD) + signer.public_key.text


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    load_signer(tmp_path, create=True)
    private, _ = key_paths(tmp_path)
    private.chmod(0o640)
    with pytest.raises(EnvironmentFault, match="open to others"):
        load_signer(tmp_path, create=False)


def test_a_lost_key_is_not_replaced_in_silence(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="is missing"):
        load_signer(tmp_path, create=False)
    (tmp_path / "key").write_text("nonsense")
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(IntegrityError, match="not a private key"):
        load_signer(tmp_path, create=False)
    with pytest.raises(IntegrityError, match="no public key"):
        load_public_key(tmp_path)


def test_each_journal_has_a_key_and_a_name_of_its_own() -> None:
    assert len({new_signer().name for _ in range(8)}) == 8


def test_a_torn_last_note_is_left_out() -> None:
    notes = [SIGNER.sign(Head(size, "cd" * 32)) for size in (1, 2, 3)]
    text = "".join(notes)
    assert split_notes(text) == notes
    for cut in range(1, len(notes[2]) + 1):
        assert split_notes(text[:-cut]) == notes[:2]
