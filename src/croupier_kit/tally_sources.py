"""What the tally's sources say, put into the words of the fold. Pure: records in, calls on the fold out.

Attempts begin in the outboxes of the services, with arm and pod as stored with the intent. They are decided by the
ledger (the wallet's outbox, written by the function that posts) and by the partners' books; what a service says of its
own success is not asked. Logins are counted as sessions issued against server errors at the edge; a wrong password is
no attempt. The ledger is also watched for what it must never show (``tally_invariants``).

An event that begins an attempt may name its ``provider`` and its ``market``: such attempts are counted for each, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from croupier_kit.outbox import Event
from croupier_kit.tally_fold import Beginning, Fact, Facts, Fold, Outcome, Request, Rule, Strata, parse_arm
from croupier_kit.tally_invariants import ArmName

STRATA = ("provider", "market")

LOGIN_SERVICE = "identity"
"""Its server errors at the edge are failed logins."""

_UPGRADED = 101

_BEGINNINGS = {"deposit.created": "deposits", "withdrawal.created": "withdrawals", "bet.created": "bets"}
_TRANSFERS = {
    "deposit": "deposits",
    "withdrawal-reserve": "withdrawals",
    "withdrawal-settle": "withdrawals",
    "withdrawal-release": "withdrawals",
    "bet": "bets",
    "win": "bets",
    "rollback": "bets",
}


def _deposit(facts: Facts) -> Outcome | None:
    if credit := facts.get("posted:deposit"):
        return Outcome(credit.at, "credited", is_good=True)
    if decline := facts.get("books:declined"):
        return Outcome(decline.at, "declined", is_good=True)
    return None


def _withdrawal(facts: Facts) -> Outcome | None:
    for kind, outcome in (
        ("posted:withdrawal-settle", "paid"),
        ("posted:withdrawal-release", "returned"),
        ("refused:withdrawal-reserve", "refused"),
    ):
        if fact := facts.get(kind):
            return Outcome(fact.at, outcome, is_good=True)
    return None


def _bet(facts: Facts) -> Outcome | None:
    if refusal := facts.get("refused:bet"):
        return Outcome(refusal.at, "refused", is_good=True)
    for kind in ("posted:rollback", "tombstoned:bet"):
        if undone := facts.get(kind):
            return Outcome(undone.at, "rolled-back", is_good=False)
    stake, played, paid = facts.get("posted:bet"), facts.get("books:round"), facts.get("posted:win")
    if stake is None or played is None or (played.amount > 0 and paid is None):
        return None
    return Outcome(max(fact.at for fact in (stake, played, paid) if fact is not None), "settled", is_good=True)


RULES: Mapping[str, Rule] = {
    "deposits": Rule(_deposit, patience_seconds=8.0),
    "withdrawals": Rule(_withdrawal, patience_seconds=15.0),
    "bets": Rule(_bet, patience_seconds=8.0),
}


def take_event(fold: Fold, event: Event) -> None:
    """One outbox event."""
    if event.type.startswith("transfer."):
        kind = event.data["kind"]
        poster = parse_arm(event.payload.get("arm") or "")
        if poster is not None and event.type == "transfer.posted":
            arm_name = ArmName(poster.service, poster.run, poster.version)
            fold.invariants.post(kind, event.subject, event.data["amount"], arm_name, event.at)
        if signal := _TRANSFERS.get(kind):
            outcome = event.type.removeprefix("transfer.")
            fold.learn(signal, event.subject, Fact(event.at, f"{outcome}:{kind}", event.data["amount"]))
        return
    arm = parse_arm(event.payload.get("arm") or "")
    if arm is None:
        return
    player, pod = event.payload["player"], event.payload["pod"]
    if signal := _BEGINNINGS.get(event.type):
        fold.begin(Beginning(event.at, signal, event.subject, arm, player, pod, _strata(event.data)))
        if signal == "deposits":
            fold.invariants.ask(event.subject, event.data["amount"], event.at)
    elif event.type == "session.issued":
        beginning = Beginning(event.at, "logins", event.id, arm, player, pod, _strata(event.data))
        fold.decide(beginning, Outcome(event.at, "issued", is_good=True))


def _strata(data: Mapping[str, Any]) -> Strata:
    return tuple((kind, str(data[kind])) for kind in STRATA if data.get(kind))


def take_book_entry(fold: Fold, entry: Mapping[str, Any]) -> None:
    """One entry of a partner's books: ``{"at", "kind", "id", "amount", "more"}``."""
    match entry["kind"]:
        case "declined":
            fold.learn("deposits", entry["id"], Fact(entry["at"], "books:declined"))
        case "round":
            fold.learn("bets", entry["id"], Fact(entry["at"], "books:round", entry["more"]["win"]))


def take_log_line(fold: Fold, line: bytes, internal: frozenset[str]) -> float | None:
    """One line of the edge's access log; gives the time the request ended, None for a line that is none.

    Players' requests are those on the public listener whose route is the service itself, or its sockets (webhooks have
    routes of their own). Services in ``internal`` are counted on the mesh listener instead. Of a socket the handshake
    counts, which has a line when it is done; the line of its end is hours late and says nothing of an answer.

    A request on the mesh counts for its caller too, as ``calls``, by the arm it carries, which is the caller's own.
    There a refusal is a failure as well: a service that is asked for what it does not know is asked wrongly.
    """
    try:
        told = json.loads(line.decode())
        seconds = float(told["ms"]) / 1000
        arm, at = parse_arm(told["hop"] or ""), float(told["t"]) + seconds
        listener, route, code = told["listener"], told["route"], int(told["code"])
        caller = parse_arm(told.get("arm") or "")
    except (ValueError, KeyError, TypeError):
        return None
    if code == _UPGRADED and told.get("type") == "DownstreamEnd":
        return at
    if listener == "mesh" and caller is not None and (arm is None or arm.service != caller.service):
        call = Beginning(at, "calls", "", caller, told.get("player") or "", told.get("up") or "edge")
        is_good = 0 < code < 400
        fold.decide(call, Outcome(at, "answered" if is_good else "failed", is_good))
    if (
        arm is None
        or route not in (arm.service, f"{arm.service}:socket")
        or listener != ("mesh" if arm.service in internal else "public")
    ):
        return at
    pod, player = told.get("up") or "edge", told.get("player") or ""
    failed = code >= 500 or code == 0
    fold.request(Request(at, arm, player, pod, failed, seconds))
    if failed and arm.service == LOGIN_SERVICE:
        beginning = Beginning(at, "logins", "", arm, player, pod)
        fold.decide(beginning, Outcome(at, "failed", is_good=False))
    return at
