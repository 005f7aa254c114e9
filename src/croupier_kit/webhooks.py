"""Signed webhooks by the Standard Webhooks scheme (v1, HMAC-SHA256).

The library ``standardwebhooks`` does the cryptography. It is wrapped because it lets a malformed signature out as
``ValueError`` and a body that is not UTF-8 as ``UnicodeDecodeError``, a 500 where a 401 belongs, and because it stamps
an aware time that is not UTC wrongly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

ID_HEADER = "webhook-id"
_TIMESTAMP_HEADER = "webhook-timestamp"
_SIGNATURE_HEADER = "webhook-signature"
_BODY_LIMIT = 20_000
_WELLFORMED = re.compile(r"^v1,[A-Za-z0-9+/]{43}=$")


class Rejected(Exception):
    """The message is not one that a holder of our key sent lately: answer 401, and say no more."""


class Signer:
    """Signs messages with the newest of ``secrets`` and verifies with any of them, so that keys can be rotated.

    Secrets are ``whsec_…`` (base64), newest first. While a key is being rotated the sender signs with all of them.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets:
            raise ValueError("no webhook secret")
        self._keys = [Webhook(secret) for secret in secrets]

    @classmethod
    def from_file(cls, path: Path) -> Signer:
        """Secrets from a file, one a line, newest first. Raises OSError or ValueError."""
        return cls(path.read_text().split())

    def sign(self, id_: str, at: datetime, body: bytes) -> dict[str, str]:
        """Headers for ``body``. ``at`` must be aware (ValueError otherwise)."""
        if at.tzinfo is None:
            raise ValueError("a webhook's time must be aware")
        at = at.astimezone(UTC).replace(microsecond=0)
        signatures = " ".join(key.sign(id_, at, body.decode()) for key in self._keys)
        return {ID_HEADER: id_, _TIMESTAMP_HEADER: str(int(at.timestamp())), _SIGNATURE_HEADER: signatures}

    def verify(self, headers: Mapping[str, str], body: bytes) -> Mapping[str, Any]:
        """The message: a JSON object. Raises ``Rejected`` for anything not signed by our key within five minutes."""
        if len(body) > _BODY_LIMIT:
            raise Rejected("body too large")
        try:
            text = body.decode()
            told = {name.lower(): value for name, value in headers.items()}
        except UnicodeDecodeError as error:
            raise Rejected("body is not UTF-8") from error
        if not any(_verifies(key, text, told) for key in self._keys):
            raise Rejected("no signature matches")
        try:
            message = json.loads(text)
        except ValueError as error:
            raise Rejected("body is not JSON") from error
        if not isinstance(message, dict):
            raise Rejected("body is not an object")
        return message


def _verifies(key: Webhook, text: str, headers: dict[str, str]) -> bool:
    wellformed = [one for one in headers.get(_SIGNATURE_HEADER, "").split(" ") if _WELLFORMED.match(one)]
    try:
        key.verify(text, headers | {_SIGNATURE_HEADER: " ".join(wellformed)}, json_parse=False)
    except (WebhookVerificationError, ValueError):
        return False
    return True
