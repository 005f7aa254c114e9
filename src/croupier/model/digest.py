"""Digests of content, as people see them; ``croupier.model.base.Digest`` is the type of one."""

from __future__ import annotations


def short(digest: str) -> str:
    """First twelve hex digits of a digest: the form used in names, headers and tables."""
    return digest.removeprefix("sha256:")[:12]
