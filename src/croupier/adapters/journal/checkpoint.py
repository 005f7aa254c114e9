"""Signed checkpoints: who holds a later copy of one can prove what the journal said then.

A checkpoint has the body of a C2SP tlog-checkpoint (origin, size, base64 hash; https://c2sp.org/tlog-checkpoint) in a
C2SP signed note (https://c2sp.org/signed-note) with an Ed25519 signature. The hash is that of the last entry of the
chain, not the root of a Merkle tree. Keys have the note format of Go's ``sumdb/note``, so other tools can check.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from croupier.adapters.files import replace_file
from croupier.adapters.journal.chain import Head
from croupier.errors import EnvironmentFault, IntegrityError

ED25519 = b"\x01"
"""The algorithm byte of signed notes."""
LINES_A_NOTE = 5
"""origin, size, hash, empty line, signature."""

_NAME = re.compile(r"^[^\s+]+$")


def _key_id(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public).digest()[:4]


def _unbase64(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii"), validate=True)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The key that checks notes. ``text`` is the form people keep: ``name+id+base64``."""

    name: str
    public: bytes

    @property
    def text(self) -> str:
        return f"{self.name}+{_key_id(self.name, self.public).hex()}+{base64.b64encode(ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ``ValueError`` when ``text`` is not a public key in note form."""
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        try:
            data = _unbase64(encoded)
        except (binascii.Error, UnicodeEncodeError) as error:
            raise ValueError("not a public key: name+id+base64 expected") from error
        if not _NAME.match(name) or len(data) != 33 or data[:1] != ED25519:
            raise ValueError("not an Ed25519 public key: name+id+base64 expected")
        if _key_id(name, data[1:]).hex() != key_id:
            raise ValueError("the public key does not match its id")
        return cls(name, data[1:])

    def open(self, note: str) -> Head:
        """The head a note vouches for. Raises ``IntegrityError`` unless this key signed it."""
        lines = note.split("\n")
        if len(lines) != LINES_A_NOTE + 1 or lines[3] or lines[5]:
            raise IntegrityError("a checkpoint is not a signed note")
        origin, size, root = lines[:3]
        place = f"checkpoint for {size} entries"
        mark, _, rest = lines[4].partition(" ")
        name, _, encoded = rest.partition(" ")
        try:
            signature = _unbase64(encoded)
            head = Head(int(size), _unbase64(root).hex())
        except (binascii.Error, ValueError) as error:
            raise IntegrityError(f"{place}: not a signed note ({error})") from error
        if mark != "—" or name != self.name or origin != self.name or signature[:4] != _key_id(self.name, self.public):
            raise IntegrityError(f"{place}: signed by another key ({name}), not by the journal's ({self.name})")
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature[4:], "\n".join(lines[:3]).encode() + b"\n")
        except InvalidSignature:
            raise IntegrityError(f"{place}: the signature is forged or the checkpoint was changed") from None
        # One text for one head: "064" or other base64 padding would be a second one under the same signature.
        if note_body(origin, head) != "\n".join(lines[:3]) + "\n":
            raise IntegrityError(f"{place}: not in its one right form")
        return head


def note_body(origin: str, head: Head) -> str:
    """The three lines that are signed."""
    return f"{origin}\n{head.size}\n{base64.b64encode(bytes.fromhex(head.hash)).decode()}\n"


@dataclass(frozen=True, slots=True)
class Signer:
    """The desk's key. ``seed`` is the private half: never logged, never in the journal."""

    name: str
    seed: bytes

    def __repr__(self) -> str:
        return f"Signer({self.name})"

    @property
    def public_key(self) -> PublicKey:
        return PublicKey(self.name, Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw())

    def sign(self, head: Head) -> str:
        """A signed note for ``head``."""
        body = note_body(self.name, head)
        signature = Ed25519PrivateKey.from_private_bytes(self.seed).sign(body.encode())
        encoded = base64.b64encode(_key_id(self.name, self.public_key.public) + signature).decode()
        return f"{body}\n— {self.name} {encoded}\n"

    @property
    def text(self) -> str:
        return (
            f"PRIVATE+KEY+{self.name}+{_key_id(self.name, self.public_key.public).hex()}"
            f"+{base64.b64encode(ED25519 + self.seed).decode()}"
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ``ValueError`` when ``text`` is not a private key in note form."""
        parts = text.strip().split("+", 4)
        try:
            data = _unbase64(parts[4])
        except (IndexError, binascii.Error, UnicodeEncodeError):
            raise ValueError("not a private key in note form") from None
        if parts[:2] != ["PRIVATE", "KEY"] or len(data) != 33 or data[:1] != ED25519:
            raise ValueError("not an Ed25519 private key in note form")
        signer = cls(parts[2], data[1:])
        if signer.text != text.strip():
            raise ValueError("the private key does not match its id")
        return signer


def new_signer() -> Signer:
    """A key of its own for each journal: its name, the origin of the checkpoints, tells journals apart."""
    return Signer(f"croupier-journal/{secrets.token_hex(8)}", secrets.token_bytes(32))


def key_paths(directory: Path) -> tuple[Path, Path]:
    """(private, public) key files of the journal in ``directory``."""
    return directory / "key", directory / "key.pub"


def load_signer(directory: Path, *, create: bool) -> Signer:
    """The key in ``directory``, made on first use (both files 0600; the public half stands beside).

    Raises ``IntegrityError`` when it is missing though the journal has entries (``create`` is False) or unreadable as a
    key, ``EnvironmentFault`` when others may read it.
    """
    private, public = key_paths(directory)
    try:
        mode = stat.S_IMODE(private.stat().st_mode)
        text = private.read_text(encoding="utf-8")
    except FileNotFoundError:
        if not create:
            raise IntegrityError(
                f"the journal's signing key {private} is missing",
                hint="restore it from a backup; a new one proves nothing",
            ) from None
        signer = new_signer()
        replace_file(public, f"{signer.public_key.text}\n".encode())
        replace_file(private, f"{signer.text}\n".encode())
        return signer
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentFault(f"cannot read the signing key {private}: {error}") from error
    if mode & 0o077:
        raise EnvironmentFault(
            f"the signing key {private} is open to others (mode {mode:o})", hint=f"chmod 600 {private}"
        )
    try:
        return Signer.parse(text)
    except ValueError as error:
        raise IntegrityError(f"{private}: {error}", hint="restore it from a backup") from error


def load_public_key(directory: Path) -> PublicKey:
    """The public key beside the journal. Raises ``IntegrityError`` when it is missing or not a key."""
    _, public = key_paths(directory)
    try:
        return PublicKey.parse(public.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IntegrityError(
            f"no public key to check the journal with: {public}: {error}", hint="give the key you kept with --key"
        ) from error


def split_notes(text: str) -> list[str]:
    """Notes of a checkpoint file, in order. A torn one at the end (a crash while writing) is left out."""
    lines = text.split("\n")[:-1]  # what follows the last newline is torn
    whole = len(lines) // LINES_A_NOTE * LINES_A_NOTE
    return ["\n".join(lines[at : at + LINES_A_NOTE]) + "\n" for at in range(0, whole, LINES_A_NOTE)]
