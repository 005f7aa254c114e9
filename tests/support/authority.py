"""A certificate authority for tests: certificates for this machine, as many as wanted."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from croupier.adapters.files import replace_file


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass
class Authority:
    """Signs certificates; ``pem`` is its own."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    pem: bytes = field(init=False)

    def __post_init__(self) -> None:
        self._own = (
            self._begun("tests", "tests", self.key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        self.pem = self._own.public_bytes(serialization.Encoding.PEM)

    def _begun(self, issuer: str, subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)  # noqa: TID251  # certificates hold for the real time
        return (
            x509.CertificateBuilder()
            .issuer_name(_name(issuer))
            .subject_name(_name(subject))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(hours=1))
        )

    def issue(self, names: Sequence[str] = ("localhost", "127.0.0.1")) -> tuple[bytes, bytes, int]:
        """(certificate, key, serial number) of a server with these names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        called = [x509.IPAddress(ip_address(each)) if each[0].isdigit() else x509.DNSName(each) for each in names]
        made = (
            self._begun("tests", "server", key)
            .add_extension(x509.SubjectAlternativeName(called), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return made.public_bytes(serialization.Encoding.PEM), private, made.serial_number

    def write(self, folder: Path, names: Sequence[str] = ("localhost", "127.0.0.1")) -> int:
        """A new ``tls.crt`` and ``tls.key`` in ``folder``, one file after the other; its serial number."""
        cert, key, serial = self.issue(names)
        replace_file(folder / "tls.crt", cert, durable=False)
        replace_file(folder / "tls.key", key, durable=False)
        return serial

    def trusted(self) -> ssl.SSLContext:
        """What a client needs that trusts this authority only."""
        return ssl.create_default_context(cadata=self.pem.decode())


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
