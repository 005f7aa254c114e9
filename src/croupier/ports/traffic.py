from __future__ import annotations

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
        which case the split before is still in force or has been restored. May be cancelled, which is as if the desk
        were killed there: nothing of the call is changed after it has ended, and the next one goes on from what is.
        """
        ...

    async def observe(self, service: str) -> ObservedSplit:
        """The split that the data plane reports as loaded. Raises ``UnknownName`` for a service it does not serve."""
        ...
