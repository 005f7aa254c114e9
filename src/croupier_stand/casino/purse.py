"""The wallet as its callers see it: one call, safe to repeat."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import ClientError, ClientSession

from croupier_kit.idempotency import KEY_HEADER
from croupier_stand.casino.pod import Undecided
from croupier_stand.casino.wallet import CALLER_HEADER


class WalletUnavailable(Undecided):
    """No answer that decides anything: the transfer may or may not have been posted. Repeat with the same key."""


@dataclass(frozen=True, slots=True)
class Posted:
    """A decided transfer. ``balance``: the player's, in cents, after it."""

    outcome: str
    balance: int


class Purse:
    """Calls the wallet through the mesh, under the current origin, as ``caller``."""

    def __init__(self, mesh: ClientSession, url: str, caller: str) -> None:
        self._mesh, self._url, self._caller = mesh, f"{url}/wallet/transfers", caller

    async def transfer(
        self, key: str, *, kind: str, reference: str, player: str, counterparty: str, amount: int
    ) -> Posted:
        """Post one transfer, once per ``key``. Raises ``WalletUnavailable``."""
        body = {
            "kind": kind,
            "reference": reference,
            "player": player,
            "counterparty": counterparty,
            "amount": amount,
        }
        headers = {KEY_HEADER: key, CALLER_HEADER: self._caller}
        try:
            async with self._mesh.post(self._url, json=body, headers=headers) as response:
                if response.status != 200:
                    raise WalletUnavailable(f"wallet answered {response.status}")
                answer = await response.json()
        except (ClientError, TimeoutError) as error:
            raise WalletUnavailable(f"wallet did not answer: {error!r}") from error
        return Posted(answer["outcome"], answer["balance"])
