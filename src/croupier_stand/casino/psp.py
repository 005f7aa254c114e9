"""Payment service providers as payments-api sees them: intents, payouts, and the events they send back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

from aiohttp import ClientError, ClientSession

from croupier_stand.casino.payment import Payment
from croupier_stand.casino.pod import Undecided


class PspUnavailable(Undecided):
    """No answer that decides anything. Repeat with the same id."""


class Fact(StrEnum):
    """What an event says happened."""

    CAPTURED = "captured"
    DECLINED = "declined"
    PAID = "paid"
    PAYOUT_FAILED = "payout-failed"


EVENT_TYPES: Mapping[str, Fact] = {
    "payment.captured": Fact.CAPTURED,
    "payment.settled": Fact.CAPTURED,  # instant methods: captured and settled in one
    "payment.declined": Fact.DECLINED,
    "payout.paid": Fact.PAID,
    "payout.failed": Fact.PAYOUT_FAILED,
}


@dataclass(frozen=True, slots=True)
class PspEvent:
    """A partner's event in our words. ``id``: of our deposit or withdrawal. ``amount``: cents."""

    fact: Fact
    id: str
    amount: int


def parse_event(message: Mapping[str, Any]) -> PspEvent | None:
    """Understand a verified webhook; None for a type that is none of our business. Raises KeyError when malformed."""
    fact = EVENT_TYPES.get(message["type"])
    if fact is None:
        return None
    data = message["data"]
    return PspEvent(fact, str(data["id"]), int(data["amount"]))


class Psps:
    """Calls the partners. ``public_url``: where their webhooks reach us."""

    def __init__(self, client: ClientSession, urls: Mapping[str, str], public_url: str) -> None:
        self._client, self._urls, self._public_url = client, urls, public_url

    def webhook_url(self, psp: str, player: str, arm: str) -> str:
        """Carries the player, so that the edge sends the webhook to the version that began the payment."""
        return f"{self._public_url}/payments/webhooks/{psp}?{urlencode({'player': player, 'arm': arm})}"

    async def intend(self, payment: Payment) -> str:
        """Begin a payment; returns the partner's reference. Safe to repeat. Raises ``PspUnavailable``."""
        return await self._begin("intents", payment)

    async def pay_out(self, payment: Payment) -> str:
        """Begin a payout; returns the partner's reference. Safe to repeat. Raises ``PspUnavailable``."""
        return await self._begin("payouts", payment)

    async def limit(self, psp: str, player: str) -> int:
        """The most cents the partner lets this player deposit at once. Raises ``PspUnavailable``."""
        answer = await self._call("GET", f"{self._urls[psp]}/limits?{urlencode({'player': player})}", None)
        return int(answer["limit"])

    async def _begin(self, what: str, payment: Payment) -> str:
        body = {
            "id": payment.id,
            "player": payment.player,
            "amount": payment.amount,
            "currency": payment.currency,
            "webhook": self.webhook_url(payment.psp, payment.player, payment.arm),
        }
        return str((await self._call("POST", f"{self._urls[payment.psp]}/{what}", body))["reference"])

    async def _call(self, method: str, url: str, body: Mapping[str, Any] | None) -> Mapping[str, Any]:
        try:
            async with self._client.request(method, url, json=body) as response:
                if response.status >= 300:
                    raise PspUnavailable(f"{url} answered {response.status}")
                answer: Mapping[str, Any] = await response.json()
                return answer
        except (ClientError, TimeoutError) as error:
            raise PspUnavailable(f"{url} did not answer: {error!r}") from error
