"""Certificates and kubeconfigs, new at each start: keys are EC P-256, valid for 30 days, read by their owner only."""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tools.kube_stand.places import API_PORT, API_SERVICE_IP, CONFIG, CONTEXT, DOMAIN, NODE, NODE_IP, PKI

CLIENTS = {
    "admin": ("kube-stand-admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", None),
    "scheduler": ("system:kube-scheduler", None),
    "proxy": ("system:kube-proxy", None),
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
}
"""Kubeconfig -> user and group, as the RBAC roles that Kubernetes brings know them."""

_VALID_FOR = timedelta(days=30)
_KUBERNETES = ("", ".default", ".default.svc", f".default.svc.{DOMAIN}")


@dataclass(frozen=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make() -> None:
    """Write all keys, certificates and kubeconfigs."""
    for folder in (PKI, CONFIG):
        folder.mkdir(mode=0o700)
    cluster, front = _authority("ca"), _authority("front-ca")
    api = ["127.0.0.1", NODE_IP, API_SERVICE_IP, "localhost", *(f"kubernetes{end}" for end in _KUBERNETES)]
    _issue(cluster, "apiserver", "kube-apiserver", names=api)
    _issue(cluster, "kubelet-client", "kube-apiserver-kubelet-client", "system:masters")
    _issue(front, "front-client", "front-proxy-client")  # for aggregated APIs, such as custom metrics
    for name, (user, group) in CLIENTS.items():
        _issue(cluster, name, user, group, names=["127.0.0.1", NODE_IP, NODE] if name == "kubelet" else [])
        _write_kubeconfig(name)
    public = _key("service-accounts").public_key()
    (PKI / "service-accounts.pub").write_bytes(
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def _authority(name: str) -> _Authority:
    key = _key(name)
    subject = _subject(f"kube-stand-{name}", None)
    certificate = _builder(subject, subject, key, is_authority=True).sign(key, hashes.SHA256())
    _write_certificate(name, certificate)
    return _Authority(certificate, key)


def _issue(authority: _Authority, file: str, user: str, group: str | None = None, *, names: Sequence[str] = ()) -> None:
    key = _key(file)
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
    builder = _builder(_subject(user, group), authority.certificate.subject, key, is_authority=False)
    builder = builder.add_extension(usages, critical=False)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_name(each) for each in names]), critical=False)
    _write_certificate(file, builder.sign(authority.key, hashes.SHA256()))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, is_authority: bool
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _VALID_FOR)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )


def _subject(user: str, group: str | None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
    if group:
        parts.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    return x509.Name(parts)


def _name(text: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(text)) if text[0].isdigit() else x509.DNSName(text)


def _key(file: str) -> ec.EllipticCurvePrivateKey:
    key = ec.generate_private_key(ec.SECP256R1())
    (PKI / f"{file}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return key


def _write_certificate(file: str, certificate: x509.Certificate) -> None:
    (PKI / f"{file}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _write_kubeconfig(user: str) -> None:
    cluster = {"server": f"https://127.0.0.1:{API_PORT}", "certificate-authority-data": _base64(PKI / "ca.crt")}
    client = {
        "client-certificate-data": _base64(PKI / f"{user}.crt"),
        "client-key-data": _base64(PKI / f"{user}.key"),
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": CONTEXT,
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": user, "user": client}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": user}}],
    }
    (CONFIG / f"{user}.kubeconfig").write_text(json.dumps(config, indent=1))


def _base64(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
