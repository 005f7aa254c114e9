"""Bodies that nobody who means well would send: seeded, each with how it may be answered."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tests.support.reviews import images, pod, review

REFUSED, ANY = frozenset((400,)), frozenset((200, 400))


class Hostile(NamedTuple):
    """``kind``: what is wrong with it. ``statuses``: those of an answer that is right."""

    kind: str
    raw: bytes
    statuses: frozenset[int]


def hostile(seed: int, count: int) -> Iterator[Hostile]:
    """``count`` bodies, of each kind in turn."""
    chance = random.Random(seed)
    kinds = list(_KINDS)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        make, statuses = _KINDS[kind]
        yield Hostile(kind, make(chance), statuses)


def _good(chance: random.Random) -> dict[str, Any]:
    return images("registry.example/bets:1") if chance.random() < 0.2 else review(pod())


def _text(value: object) -> bytes:
    return json.dumps(value).encode()


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all values below ``value``."""
    found = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in found:
        yield (*path, key)
        yield from _places(inner, (*path, key))


def _with(chance: random.Random, odd: Callable[[], object], *, times: int = 1) -> dict[str, Any]:
    """A good review with something odd at ``times`` of its places."""
    made = _good(chance)
    for _ in range(times):
        *path, last = chance.choice(list(_places(made)))
        holder: Any = made
        for key in path:
            holder = holder[key]
        holder[last] = odd()
    return made


def _odd(chance: random.Random) -> object:
    return chance.choice([None, True, -1, 0.5, "", "x" * 300, "\ud800", [], {}, [[]], {"": {}}, ["a", 1, None, {}]])


def _deep(chance: random.Random) -> bytes:
    depth = chance.randrange(101, 20_000)
    opened, closed = chance.choice([(b"[", b"]"), (b'{"a":', b"}"), (b'[{"containers":', b"}]")])
    return b'{"request":' + opened * depth + b"0" + closed * depth * chance.randrange(2) + b"}"


def _marked(chance: random.Random, word: str) -> bytes:
    """A good review with ``word``, which Python would not write, as one of its values."""
    return _text(_with(chance, lambda: "@@@")).replace(b'"@@@"', word.encode())


def _not_a_number(chance: random.Random) -> bytes:
    return _marked(chance, chance.choice(["NaN", "Infinity", "-Infinity", "1e999", "-1e400", "0x10", "01", "+1", ".5"]))


def _huge_number(chance: random.Random) -> bytes:
    digits = chance.randrange(20, 10_000)
    return _marked(chance, chance.choice(["9" * digits, "-" + "9" * digits, f"1.{'9' * digits}", f"1e{digits % 308}"]))


def _broken_text(chance: random.Random) -> bytes:
    raw = bytearray(_text(_good(chance)))
    raw[chance.randrange(len(raw))] = chance.choice((0x80, 0xC0, 0xF5, 0xFE, 0xFF))
    return bytes(raw)


def _twice(chance: random.Random) -> bytes:
    """Keys that stand there twice, the second time with something else."""
    raw = _text(_good(chance))
    key = chance.choice([b'"request": ', b'"spec": ', b'"kind": ', b'"containers": ', b'"apiVersion": '])
    return raw.replace(key, key + _text(_odd(chance)) + b", " + key, 1)


def _cut(chance: random.Random) -> bytes:
    raw = _text(_good(chance))
    return raw[: chance.randrange(len(raw))]


def _many(chance: random.Random) -> bytes:
    return _text(_with(chance, lambda: [0] * chance.randrange(50_000, 80_000)))


def _long(chance: random.Random) -> bytes:
    return _text(_with(chance, lambda: chance.choice("a-9:/") * chance.randrange(10_000, 300_000)))


_KINDS: dict[str, tuple[Callable[[random.Random], bytes], frozenset[int]]] = {
    "nested deeply": (_deep, REFUSED),
    "wrong types": (lambda chance: _text(_with(chance, lambda: _odd(chance), times=chance.randrange(1, 6))), ANY),
    "no number": (_not_a_number, REFUSED),
    "huge number": (_huge_number, ANY),
    "no UTF-8": (_broken_text, REFUSED),
    "keys twice": (_twice, ANY),
    "cut off": (_cut, REFUSED),
    "too many values": (_many, REFUSED),
    "long texts": (_long, ANY),
    "noise": (lambda chance: chance.randbytes(chance.randrange(2_000)), REFUSED),
}
