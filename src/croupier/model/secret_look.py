"""What looks like a secret: for who declares configuration, and for the rules on manifests (S10.6)."""

from __future__ import annotations

import re

SECRET_NAME = re.compile(
    r"pass(word|wd)?$|password|secret|token|credential|bearer|private_?key|api_?key|access_?key"
    r"|azure_batch_key|aws_secret|oci_cli_key_content|encryption_?key",
    re.IGNORECASE,
)
PRIVATE_KEY = re.compile(r"---\s*BEGIN [A-Z ]*PRIVATE KEY", re.IGNORECASE)
IN_ADDRESS = re.compile(r"://[^/\s:@]*:[^/\s@$]+@")
"""A password in an address. One that is put in later, ``$(PASSWORD)``, is none."""
NOT_SECRET = re.compile(r"(_|-|\.)?(file|path|name|ttl|url|expir\w*|length|_id)$", re.IGNORECASE)
FLAGS = frozenset(("", "true", "false"))


def looks_secret(name: str, value: str) -> bool:
    """Whether ``value``, called ``name``, looks as if it should be in a secret manager."""
    if PRIVATE_KEY.search(value) or IN_ADDRESS.search(value):
        return True
    return bool(SECRET_NAME.search(name)) and not NOT_SECRET.search(name) and value.lower() not in FLAGS
