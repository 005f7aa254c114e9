"""Sets of addresses: what ranges come to when they are taken together, and taken from each other (S2.5, S8.9)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network, summarize_address_range
from typing import Any

from croupier.core.policy.objects import listed, mapping, text
from croupier.model.objects import JsonObject

Spans = tuple[tuple[int, int], ...]
"""First and last address of each span, as numbers; in order, apart from each other, the last one included."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """A set of IPv4 and one of IPv6 addresses."""

    four: Spans = ()
    six: Spans = ()

    @classmethod
    def of(cls, *cidrs: str) -> Ranges:
        """All addresses of ``cidrs`` together. Raises ``ValueError`` for what is no range."""
        four: list[tuple[int, int]] = []
        six: list[tuple[int, int]] = []
        for cidr in cidrs:
            network = ip_network(cidr, strict=False)
            span = int(network.network_address), int(network.broadcast_address)
            (four if network.version == 4 else six).append(span)
        return cls(_joined(four), _joined(six))

    def __bool__(self) -> bool:
        return bool(self.four or self.six)

    def __or__(self, other: Ranges) -> Ranges:
        return Ranges(_joined(self.four + other.four), _joined(self.six + other.six))

    def __sub__(self, other: Ranges) -> Ranges:
        return Ranges(_without(self.four, other.four), _without(self.six, other.six))

    def __and__(self, other: Ranges) -> Ranges:
        return self - (self - other)

    def sizes(self) -> tuple[int, int]:
        """How many addresses there are of IPv4 and of IPv6."""
        return _size(self.four), _size(self.six)

    def cidrs(self) -> tuple[str, ...]:
        """The fewest ranges that are the set, in order, IPv4 first."""
        four = (
            each for first, last in self.four for each in summarize_address_range(IPv4Address(first), IPv4Address(last))
        )
        six = (
            each for first, last in self.six for each in summarize_address_range(IPv6Address(first), IPv6Address(last))
        )
        return (*map(str, four), *map(str, six))


EVERY = Ranges(((0, 2**32 - 1),), ((0, 2**128 - 1),))


def of_block(block: JsonObject) -> Ranges:
    """The addresses of an ``ipBlock``: its range without its exceptions; none where one of them is no range."""
    holes = [text(each) for each in listed(block.get("except"))]
    try:
        return Ranges.of(text(block.get("cidr"))) - Ranges.of(*holes)
    except ValueError:
        return Ranges()


def of_peers(peers: Any) -> Ranges:
    """The addresses of all peers that are blocks; no peers at all are every address (NetworkPolicy)."""
    named = listed(peers)
    return united(of_block(mapping(mapping(each).get("ipBlock"))) for each in named) if named else EVERY


def united(sets: Iterable[Ranges]) -> Ranges:
    """All of ``sets`` together."""
    held = list(sets)
    return Ranges(
        _joined(span for each in held for span in each.four), _joined(span for each in held for span in each.six)
    )


def _joined(spans: Iterable[tuple[int, int]]) -> Spans:
    held: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if held and first <= held[-1][1] + 1:
            held[-1] = held[-1][0], max(held[-1][1], last)
        else:
            held.append((first, last))
    return tuple(held)


def _without(spans: Spans, holes: Spans) -> Spans:
    return tuple(each for span in spans for each in _cut(span, holes))


def _cut(span: tuple[int, int], holes: Spans) -> Iterator[tuple[int, int]]:
    first, last = span
    for begin, end in holes:
        if end < first or begin > last:
            continue
        if begin > first:
            yield first, begin - 1
        first = end + 1
        if first > last:
            return
    yield first, last


def _size(spans: Spans) -> int:
    return sum(last - first + 1 for first, last in spans)
