"""Who runs this process, as it is written down with what they decide."""

from __future__ import annotations

import getpass
import os


def user_name() -> str:
    """In a container a user may have no name, only a number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
