"""What must hold between players' memory, partners' books and ledger. Pure: one snapshot in, violations out.

Players are the oracle: what they were told must be so. Partners are the truth about money outside the house. Each rule
is a function from the snapshot to the violations it finds. What is younger than the snapshot's ``settled_before`` is
not held against anybody yet, because it may still be under way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from croupier_stand.memory import Note
from croupier_stand.providers.books import Entry

GAMES = "games"


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    """One thing that is not as it must be. ``kind`` is stable; ``subject`` is the id of what it is about."""

    kind: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """One posted transfer of the ledger. ``at``: epoch seconds; ``amount``: cents."""

    id: int
    kind: str
    reference: str
    player: str
    amount: int
    at: float


@dataclass(frozen=True)
class Snapshot:
    """Everything the rules look at. ``books``: partner -> entries. Memory was read first, then books, then ledger."""

    settled_before: float
    notes: Sequence[Note]
    books: Mapping[str, Sequence[Entry]]
    transfers: Sequence[Transfer]
    ledger: Sequence[Violation] = field(default=())
    """What the database found by itself: sums, chains, balances."""

    @cached_property
    def by_reference(self) -> Mapping[str, Mapping[str, Sequence[Transfer]]]:
        """Reference -> kind of transfer -> transfers, oldest first."""
        found: defaultdict[str, defaultdict[str, list[Transfer]]] = defaultdict(lambda: defaultdict(list))
        for transfer in self.transfers:
            found[transfer.reference][transfer.kind].append(transfer)
        return {reference: dict(kinds) for reference, kinds in found.items()}

    @cached_property
    def in_books(self) -> Mapping[str, Mapping[str, Entry]]:
        """Kind of entry -> id -> the first such entry, over all partners."""
        found: defaultdict[str, dict[str, Entry]] = defaultdict(dict)
        for entries in self.books.values():
            for entry in entries:
                found[entry.kind].setdefault(entry.id, entry)
        return found

    def posted(self, reference: str, kind: str) -> Sequence[Transfer]:
        return self.by_reference.get(reference, {}).get(kind, ())

    def entries(self, kind: str) -> Mapping[str, Entry]:
        return self.in_books.get(kind, {})

    def settled(self, kind: str) -> Iterator[tuple[str, Entry]]:
        """Entries of a kind that are old enough to be judged."""
        return ((id_, entry) for id_, entry in self.entries(kind).items() if entry.at < self.settled_before)


def check(snapshot: Snapshot) -> Sequence[Violation]:
    """All violations, sorted."""
    return sorted([*snapshot.ledger, *(violation for rule in RULES for violation in rule(snapshot))])


def captured_deposits_are_credited_once(snapshot: Snapshot) -> Iterator[Violation]:
    for id_, capture in snapshot.settled("captured"):
        credits = snapshot.posted(id_, "deposit")
        net = len(credits) - len(snapshot.posted(id_, "reversal")) - len(snapshot.posted(id_, "write-off"))
        if net != 1:
            kind = "capture-not-credited" if net < 1 else "capture-credited-twice"
            yield Violation(kind, id_, f"{capture.player} paid {capture.amount}, credited {net} times")
        if any((credit.player, credit.amount) != (capture.player, capture.amount) for credit in credits):
            yield Violation("credit-differs", id_, f"captured {capture.amount} from {capture.player}")


def credits_have_a_capture(snapshot: Snapshot) -> Iterator[Violation]:
    captured = snapshot.entries("captured")
    for transfer in snapshot.transfers:
        if transfer.kind == "deposit" and transfer.reference not in captured and transfer.at < snapshot.settled_before:
            yield Violation("credit-without-capture", transfer.reference, f"{transfer.player} got {transfer.amount}")


def accepted_deposits_reached_the_psp(snapshot: Snapshot) -> Iterator[Violation]:
    intents = snapshot.entries("intent")
    for note in snapshot.notes:
        if note.event == "deposit-accepted":
            intent = intents.get(note.id)
            if intent is None or (intent.player, intent.amount) != (note.player, note.amount):
                yield Violation("deposit-unknown-to-psp", note.id, f"{note.player} was told it is under way")
        elif note.event == "deposit-seen" and note.state == "credited" and not snapshot.posted(note.id, "deposit"):
            yield Violation("credit-told-not-booked", note.id, f"{note.player} was told it is credited")


def payouts_are_booked_once(snapshot: Snapshot) -> Iterator[Violation]:
    for outcome, booked_as, not_as in (
        ("payout-paid", "withdrawal-settle", "withdrawal-release"),
        ("payout-failed", "withdrawal-release", "withdrawal-settle"),
    ):
        for id_, entry in snapshot.settled(outcome):
            right, wrong = len(snapshot.posted(id_, booked_as)), len(snapshot.posted(id_, not_as))
            reserved = len(snapshot.posted(id_, "withdrawal-reserve"))
            if (reserved, right, wrong) != (1, 1, 0):
                detail = f"{outcome} of {entry.amount} to {entry.player}: reserved {reserved}, {booked_as} {right}"
                yield Violation("payout-not-booked-once", id_, f"{detail}, {not_as} {wrong}")


def reserved_money_is_on_its_way(snapshot: Snapshot) -> Iterator[Violation]:
    payouts = snapshot.entries("payout")
    outcomes = snapshot.entries("payout-paid").keys() | snapshot.entries("payout-failed").keys()
    for transfer in snapshot.transfers:
        if transfer.at >= snapshot.settled_before:
            continue
        if transfer.kind == "withdrawal-reserve" and transfer.reference not in payouts:
            yield Violation("withdrawal-stuck", transfer.reference, "reserved, and the PSP knows nothing of it")
        elif transfer.kind in {"withdrawal-settle", "withdrawal-release"} and transfer.reference not in outcomes:
            yield Violation("payout-booked-not-made", transfer.reference, f"{transfer.kind} without the PSP's word")


def accepted_withdrawals_reached_the_psp(snapshot: Snapshot) -> Iterator[Violation]:
    payouts = snapshot.entries("payout")
    for note in snapshot.notes:
        if note.event == "withdrawal-accepted" and note.id not in payouts:
            yield Violation("withdrawal-unknown-to-psp", note.id, f"{note.player} was told it is under way")


def acknowledged_bets_are_booked_once(snapshot: Snapshot) -> Iterator[Violation]:
    for note in snapshot.notes:
        if note.event != "bet-answered":
            continue
        bets, rollbacks = snapshot.posted(note.id, "bet"), snapshot.posted(note.id, "rollback")
        won = sum(win.amount for win in snapshot.posted(note.id, "win"))
        booked = f"booked: {len(bets)} bets, {won} won, {len(rollbacks)} rollbacks"
        match note.state:
            case "settled":
                is_right = [bet.amount for bet in bets] == [note.amount] and won == note.win and not rollbacks
            case "rolled-back":
                is_right = len(bets) == len(rollbacks) and won == 0
            case _:
                is_right = not bets and won == 0
        if not is_right:
            told = f"{note.player} was told {note.state}, stake {note.amount}, win {note.win}"
            yield Violation("bet-not-as-told", note.id, f"{told}; {booked}")


def rounds_are_booked_as_played(snapshot: Snapshot) -> Iterator[Violation]:
    void = snapshot.entries("void")
    for id_, round_ in snapshot.settled("round"):
        staked = sum(bet.amount for bet in snapshot.posted(id_, "bet"))
        returned = sum(rollback.amount for rollback in snapshot.posted(id_, "rollback"))
        won = sum(win.amount for win in snapshot.posted(id_, "win"))
        expected = (round_.amount, int(round_.more["win"]))
        if id_ in void:
            expected = (0, 0)
        if (staked - returned, won) != expected:
            detail = f"provider: stake {expected[0]}, win {expected[1]}; booked: {staked - returned}, {won}"
            yield Violation("round-not-as-played", id_, detail)


def stakes_have_a_round(snapshot: Snapshot) -> Iterator[Violation]:
    rounds, void = snapshot.entries("round"), snapshot.entries("void")
    for transfer in snapshot.transfers:
        if transfer.kind != "bet" or transfer.at >= snapshot.settled_before or transfer.reference in rounds:
            continue
        if transfer.reference not in void or not snapshot.posted(transfer.reference, "rollback"):
            yield Violation("stake-without-round", transfer.reference, f"{transfer.player} staked {transfer.amount}")


def keys_have_one_answer(snapshot: Snapshot) -> Iterator[Violation]:
    answers: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
    for note in snapshot.notes:
        if note.key and note.id:
            answers[note.event, note.player, note.key].add(note.id)
    for (event, player, key), ids in answers.items():
        if len(ids) > 1:
            yield Violation("key-answered-differently", key, f"{event} of {player}: {', '.join(sorted(ids))}")


Rule = Callable[[Snapshot], Iterator[Violation]]

RULES: Sequence[Rule] = (
    captured_deposits_are_credited_once,
    credits_have_a_capture,
    accepted_deposits_reached_the_psp,
    payouts_are_booked_once,
    reserved_money_is_on_its_way,
    accepted_withdrawals_reached_the_psp,
    acknowledged_bets_are_booked_once,
    rounds_are_booked_as_played,
    stakes_have_a_round,
    keys_have_one_answer,
)
