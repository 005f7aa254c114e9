from __future__ import annotations

import os

import pytest

from croupier.adapters import user


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container on a cluster that gives each namespace users of its own."""

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1000670000")

    monkeypatch.setattr(user.getpass, "getuser", nameless)
    assert user.user_name() == f"uid {os.getuid()}"
