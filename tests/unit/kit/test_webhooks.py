"""Standard Webhooks: what is signed by our key within five minutes, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from croupier_kit.clock import now
from croupier_kit.webhooks import Rejected, Signer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()
BODY = json.dumps({"type": "payment.captured", "data": {"id": "d"}}).encode()


def moment() -> datetime:
    return datetime.fromtimestamp(now(), UTC)


def test_signs_as_the_scheme_says() -> None:
    """v1 = base64(HMAC-SHA256(secret, "id.timestamp.body"))."""
    at = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    signed = Signer([SECRET]).sign("msg_1", at, BODY)
    stamp = str(int(at.timestamp()))
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.digest(key, f"msg_1.{stamp}.".encode() + BODY, hashlib.sha256)).decode()
    assert signed == {"webhook-id": "msg_1", "webhook-timestamp": stamp, "webhook-signature": f"v1,{expected}"}


def test_an_aware_time_in_any_zone_is_the_same_time() -> None:
    at = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    elsewhere = at.astimezone(timezone(timedelta(hours=5)))
    assert Signer([SECRET]).sign("m", at, BODY) == Signer([SECRET]).sign("m", elsewhere, BODY)
    with pytest.raises(ValueError, match="aware"):
        Signer([SECRET]).sign("m", datetime(2026, 11, 24), BODY)


def test_what_was_signed_verifies() -> None:
    headers = Signer([SECRET]).sign("m", moment(), BODY)
    assert Signer([SECRET]).verify(headers, BODY)["type"] == "payment.captured"
    assert Signer([SECRET]).verify({name.title(): value for name, value in headers.items()}, BODY)


def test_a_key_can_be_rotated_without_losing_a_message() -> None:
    old, both, new = Signer([OTHER]), Signer([SECRET, OTHER]), Signer([SECRET])
    assert both.verify(old.sign("m", moment(), BODY), BODY)
    assert both.verify(new.sign("m", moment(), BODY), BODY)
    assert old.verify(both.sign("m", moment(), BODY), BODY)
    assert new.verify(both.sign("m", moment(), BODY), BODY)


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "nonsense"},
        {"webhook-signature": "v1,é"},
        {"webhook-signature": ""},
        {"webhook-timestamp": "yesterday"},
        {"webhook-timestamp": "nan"},
        {"webhook-timestamp": "1e400"},
        {"webhook-id": "another"},
    ],
)
def test_a_tampered_header_is_rejected_not_an_error(change: dict[str, str]) -> None:
    headers = Signer([SECRET]).sign("m", moment(), BODY) | change
    with pytest.raises(Rejected):
        Signer([SECRET]).verify(headers, BODY)


def test_a_malformed_signature_beside_a_good_one_does_no_harm() -> None:
    headers = Signer([SECRET]).sign("m", moment(), BODY)
    headers["webhook-signature"] = f"v1a,zzz junk {headers['webhook-signature']}"
    assert Signer([SECRET]).verify(headers, BODY)


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_message_from_another_time_is_rejected(minutes: int) -> None:
    headers = Signer([SECRET]).sign("m", moment() + timedelta(minutes=minutes), BODY)
    with pytest.raises(Rejected):
        Signer([SECRET]).verify(headers, BODY)


@pytest.mark.parametrize("body", [b"\xff\xfe", b"not json", b"[1]", b"x" * 20_001])
def test_a_body_that_is_no_message_is_rejected(body: bytes) -> None:
    try:
        headers = Signer([SECRET]).sign("m", moment(), body)
    except UnicodeDecodeError:
        headers = Signer([SECRET]).sign("m", moment(), BODY)
    with pytest.raises(Rejected):
        Signer([SECRET]).verify(headers, body)


def test_another_key_is_rejected() -> None:
    with pytest.raises(Rejected):
        Signer([OTHER]).verify(Signer([SECRET]).sign("m", moment(), BODY), BODY)


def test_keys_come_from_a_file_newest_first(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{SECRET}\n{OTHER}\n")
    assert Signer([SECRET]).verify(Signer.from_file(file).sign("m", moment(), BODY), BODY)
    file.write_text("\n")
    with pytest.raises(ValueError, match="no webhook secret"):
        Signer.from_file(file)
