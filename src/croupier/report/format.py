"""How values are written for people: durations, shares, versions, tables. One way for each, used by every screen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from croupier.model.digest import short

if TYPE_CHECKING:
    from croupier.model.verdict import ArmNumbers
    from croupier.model.view import VersionView

UNKNOWN = "–"

_STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_WHOLE_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def duration(seconds: float | None) -> str:
    """``45 s``, ``4 min 05 s``, ``2 h 03 min``; a dash when unknown."""
    if seconds is None:
        return UNKNOWN
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def short_duration(seconds: float | None) -> str:
    """At most six characters: ``45 s``, ``4m05s``, ``2h03m``; a dash when unknown."""
    if seconds is None:
        return UNKNOWN
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def clock(at: float) -> str:
    """Time of day in UTC, ``03:14:07``."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def timestamp(at: float) -> str:
    """Date and time in UTC, ``2026-03-01 03:14:07 UTC``."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def count(number: float) -> str:
    return f"{number:,.0f}"


def short_count(number: float) -> str:
    """At most five characters below a million: ``9,999``, ``12.3k``, ``123k``, ``1.2M``."""
    if number < 10_000:
        return f"{number:,.0f}"
    if number < 99_950:
        return f"{number / 1000:.1f}k"
    if number < 999_500:
        return f"{number / 1000:.0f}k"
    return f"{number / 1_000_000:.1f}M"


def percent(ratio: float) -> str:
    """A share 0-1 in percent with two significant places or so: ``0.31 %``, ``4.2 %``, ``25 %``."""
    value = ratio * 100
    places = 2 if value < 1 else 1 if value < 10 or value % 1 else 0
    return f"{value:.{places}f} %"


def bad_of_total(numbers: ArmNumbers) -> str:
    return f"{count(numbers.bad)}/{count(numbers.total)}"


def bad_ratio(numbers: ArmNumbers) -> str:
    return percent(numbers.bad / numbers.total) if numbers.total else UNKNOWN


def version(view: VersionView) -> str:
    """``payments-api 3f2a9c1b44de (healthy)`` without the service: digest first, because that is what counts."""
    return f"{short(view.digest)} ({readable(view.label)})" if view.label else short(view.digest)


def plain(text: str) -> str:
    """One line, without characters that steer a terminal, break the line or turn its direction: a reason that somebody
    typed must not draw on another one's screen. Bytes in a file's name that are no UTF-8 cannot be shown either."""
    return _STEERING.sub("\N{REPLACEMENT CHARACTER}", text)


def readable(text: str) -> str:
    """A plain sentence with whole digests cut to the twelve digits that all screens use."""
    return plain(_WHOLE_DIGEST.sub(lambda found: short(found.group()), text))


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), indent: str = "  ") -> list[str]:
    """Lines with aligned columns. ``right``: indices of columns aligned to the right. All rows are equally long."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append((indent + "  ".join(cells)).rstrip())
    return lines
