"""Where the desk of a stand answers, and with which token. Apart from the client, so that "no desk" is said at once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from croupier.cli.options import home_of
from croupier.errors import EnvironmentFault, Unauthorized, Unreachable

if TYPE_CHECKING:
    from croupier.cli.client import DeskClient


class DeskAddress(NamedTuple):
    url: str
    token: str

    def __repr__(self) -> str:
        return f"DeskAddress(url={self.url!r})"  # never the token: representations end up in logs


def address_of(stand: str) -> DeskAddress:
    """As the desk wrote it to its folder when it started.

    Raises ``Unreachable`` when there is none, ``Unauthorized`` when it belongs to another user, ``EnvironmentFault``
    when it cannot be understood.
    """
    folder = home_of(stand) / "desk"
    try:
        url = json.loads((folder / "desk.json").read_text(encoding="utf-8"))["url"]
        token = (folder / "token").read_text(encoding="ascii").strip()
    except FileNotFoundError as error:
        raise absent(stand) from error
    except PermissionError as error:
        raise Unauthorized(f"the desk of stand {stand!r} belongs to another user", hint=str(folder)) from error
    except (ValueError, KeyError, TypeError) as error:
        raise EnvironmentFault(f"{folder / 'desk.json'} cannot be read as the address of a desk") from error
    return DeskAddress(str(url), token)


def desk_of(stand: str) -> DeskClient:
    """The desk of a stand. Says at once when there is none, before anything heavy is imported."""
    address_of(stand)
    from croupier.cli.client import DeskClient

    return DeskClient.of(stand)


def absent(stand: str) -> Unreachable:
    """What to say, and what to do, when no desk has left an address."""
    return Unreachable(
        f"no desk answers for stand {stand!r}", hint=f"start the stand with its desk: croupier stand up{_name(stand)}"
    )


def silent(stand: str) -> Unreachable:
    """The same when there is an address and nobody answers there: a desk that ended takes its address along."""
    return Unreachable(
        f"no desk answers for stand {stand!r} at its address",
        hint=f"a stand restarts a desk that died: try again in a few seconds; see croupier stand status{_name(stand)}",
    )


def unanswered(stand: str) -> Unreachable:
    """The same when it was asked to change something, and may have done so."""
    return Unreachable(
        f"the desk of stand {stand!r} was asked and has not answered: nobody knows whether it did it",
        hint=f"look before you ask again: croupier release status{'' if stand == 'default' else f' --stand {stand}'}",
    )


def _name(stand: str) -> str:
    return "" if stand == "default" else f" --name {stand}"
