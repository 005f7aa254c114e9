"""A harmless difference for every service: answers carry a schema version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from croupier_stand.casino import bets as bets_service
from croupier_stand.casino import cashier
from croupier_stand.casino import identity as identity_service
from croupier_stand.casino import wallet as wallet_service
from croupier_stand.casino.payment import Payment

_SCHEMA = {"schema": "2"}


def payments(parts: cashier.Parts) -> cashier.Parts:
    def receipt(payment: Payment) -> Mapping[str, Any]:
        return {**parts.receipt(payment), **_SCHEMA}

    return replace(parts, receipt=receipt)


def identity(parts: identity_service.Parts) -> identity_service.Parts:
    def welcome(player: str, token: str) -> Mapping[str, str]:
        return {**parts.welcome(player, token), **_SCHEMA}

    return replace(parts, welcome=welcome)


def wallet(parts: wallet_service.Parts) -> wallet_service.Parts:
    def answer(outcome: str, transfer: int, balance: int) -> Mapping[str, Any]:
        return {**parts.answer(outcome, transfer, balance), **_SCHEMA}

    return replace(parts, answer=answer)


def bets(parts: bets_service.Parts) -> bets_service.Parts:
    def slip(state: str, win: int, balance: int | None) -> Mapping[str, Any]:
        return {**parts.slip(state, win, balance), **_SCHEMA}

    return replace(parts, slip=slip)
