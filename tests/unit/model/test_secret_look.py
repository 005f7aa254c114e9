"""What is taken for a secret, and what is not (S10.6)."""

from __future__ import annotations

import pytest

from croupier.model.secret_look import looks_secret


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASSWORD", "hunter2"),
        ("apiKey", "k-1"),
        ("TLS", "-----BEGIN RSA PRIVATE KEY-----"),
        ("DATABASE_URL", "postgres://app:hunter2@db.example/casino"),
        ("REDIS", "redis://:hunter2@cache:6379/0"),
    ],
)
def test_passwords_and_keys_are_secrets_whatever_they_are_called(name: str, value: str) -> None:
    assert looks_secret(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASSWORD_FILE", "/secrets/main/password"),
        ("TOKEN_TTL", "60"),
        ("PASSWORD", "true"),
        ("DATABASE_URL", "postgres://app:$(DB_PASS)@db.example/casino"),
        ("DATABASE_URL", "postgres://app@db.example:5432/casino"),
        ("PLAYERS", "https://casino.example:8443/@me"),
        ("TABLES", "wss://[::1]:8080/a@b"),
    ],
)
def test_what_only_tells_where_one_is_is_none(name: str, value: str) -> None:
    assert not looks_secret(name, value)
