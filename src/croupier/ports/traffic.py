from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from croupier.model.traffic import Capabilities, ObservedSplit, Split


class Traffic(Protocol):
    """The data plane of one platform.

    All methods are safe to repeat. They raise ``Unreachable`` when the data plane does not answer, and never report a
    split that the data plane has not confirmed.
    """

    @property
    def capabilities(self) -> Capabilities: ...

    async def set_split(self, split: Split) -> None:
        """Make the data plane serve ``split``; returns when it has confirmed it.

        Players stay with their version while ``offset`` is unchanged and the weight rises. Backends with weight 0
        are kept reachable until a later split drops them. Raises ``Unreachable`` if not confirmed within 10 s, in
        which case the split before is still in force or has been restored; one that goes back may still come into
        force. May be cancelled, which is as if the desk
        were killed there: nothing of the call is changed after it has ended, and the next one goes on from what is.
        """
        ...

    async def observe(self, service: str) -> ObservedSplit:
        """The split that the data plane reports as loaded. Raises ``UnknownName`` for a service it does not serve, and
        ``Unconfirmed`` where all of a split is written and only who has to take it up does not say so."""
        ...

    async def open_sockets(self, service: str) -> Mapping[str, int]:
        """Digest -> what is open to that version now: upgraded connections, and requests under way.

        Of every version that the data plane still has, also one with weight 0. A version that is absent cannot be told,
        nor can any where nobody counts. Raises ``UnknownName`` for a service that is not declared.
        """
        ...
