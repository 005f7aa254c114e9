"""Freeze windows of a file to moments in time, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croupier.model.freeze import Freeze, FreezeWindow
from croupier.spec.load import Flaw

_MINUTE = "%Y-%m-%dT%H:%M"


def freezes_of(windows: Mapping[str, FreezeWindow]) -> tuple[Freeze, ...]:
    """The windows in time, by name. Raises ``ValueError`` for one that ``flaws`` has something to say of."""
    return tuple(_freeze(name, windows[name]) for name in sorted(windows))


def flaws(windows: Mapping[str, FreezeWindow]) -> Iterator[Flaw]:
    """Unknown zones, times that no calendar has, windows that end before they start. Locations begin with the name."""
    for name, window in windows.items():
        try:
            zone = _zone(window)
        except ValueError:
            hint = "like Europe/Stockholm or UTC"
            yield Flaw((name, "zone"), "TIME", f"no time zone is called {window.zone!r}", hint)
            continue
        wrong = [field for field in ("starts", "ends") if not _is_time(getattr(window, field))]
        for field in wrong:
            message = f"there is no {getattr(window, field)}"
            yield Flaw((name, field), "TIME", message, "year-month-dayThours:minutes")
        if not wrong and max(_readings(window.ends, zone)) <= min(_readings(window.starts, zone)):
            yield Flaw(
                (name, "ends"), "TIME", f"it ends at {window.ends} and starts at {window.starts}", "end it later"
            )


def _freeze(name: str, window: FreezeWindow) -> Freeze:
    zone = _zone(window)
    # An hour that comes twice, or never, makes the window longer, not shorter.
    from_at, until_at = min(_readings(window.starts, zone)), max(_readings(window.ends, zone))
    return Freeze(
        name=name,
        title=window.title,
        from_at=from_at,
        until_at=until_at,
        until=f"{window.ends.replace('T', ' ')} {window.zone}",
        services=window.services,
    )


def _zone(window: FreezeWindow) -> ZoneInfo:
    try:
        return ZoneInfo(window.zone)
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(f"no time zone is called {window.zone!r}") from error


def _is_time(text: str) -> bool:
    try:
        datetime.strptime(text, _MINUTE)
    except ValueError:
        return False
    return True


def _readings(local: str, zone: ZoneInfo) -> tuple[float, float]:
    """The moments that a local time may mean, in epoch seconds; two where clocks are put back or forward."""
    read = datetime.strptime(local, _MINUTE).replace(tzinfo=zone)
    return read.timestamp(), read.replace(fold=1).timestamp()
