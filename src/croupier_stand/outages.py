"""Faults that the supervisor makes on its own processes, and undoes: killed, and started again later; stopped, and told
to go on.

An order is a file in the stand's folder ``faults`` (``croupier_stand.faults`` writes it); what became of it stands in
``stand.json``. The supervisor owns the deadline, so that a fault ends whoever ordered it; if the supervisor is killed,
the kernel ends its children, stopped ones too, and the next ``up`` forgets what was ordered.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from croupier_stand.home import OutageRecord
from croupier_stand.keeper import Keeper

_LOG = logging.getLogger(__name__)
Kind = Literal["killed", "stopped", "off"]


class Order(BaseModel):
    """What is to happen to all of ``processes`` at once, for ``seconds``. ``off``: what lasts for ``part`` ends now."""

    model_config = ConfigDict(frozen=True)

    part: str
    kind: Kind
    seconds: int = 0
    processes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Lasting:
    """``until``: monotonic."""

    number: int
    order: Order
    keepers: list[Keeper]
    until: float


class Outages:
    """All of one stand, since it came up."""

    def __init__(self, orders: Path) -> None:
        self._orders = orders
        self._lasting: list[_Lasting] = []
        self._records: list[OutageRecord] = []

    @property
    def records(self) -> tuple[OutageRecord, ...]:
        return tuple(self._records)

    def step(self, keepers: Mapping[str, Keeper], now: float, wall: float) -> None:
        """End what is over and take new orders. ``now`` is monotonic, ``wall`` seconds since the epoch."""
        for each in [each for each in self._lasting if each.until <= now]:
            self._undo(each)
        for path in sorted(self._orders.glob("*.json")):
            try:
                order = Order.model_validate_json(path.read_bytes())
            except ValidationError as error:
                _LOG.warning("%s is no fault: %s", path, error)
            else:
                self._take(path.stem, order, keepers, now, wall)
            path.unlink()

    def end(self, wall: float) -> None:
        """Undo all that lasts."""
        for each in list(self._lasting):
            self._cut_short(each, wall)

    def _take(self, id_: str, order: Order, keepers: Mapping[str, Keeper], now: float, wall: float) -> None:
        hit = [keepers[name] for name in order.processes if name in keepers and keepers[name].child.is_running]
        if len(hit) != len(order.processes):
            _LOG.warning("%s is not %s: not all of %s run", order.part, order.kind, ", ".join(order.processes))
            return
        for each in [each for each in self._lasting if each.order.part == order.part]:
            self._cut_short(each, wall)
        if order.kind == "off":
            return
        lasting = _Lasting(len(self._records), order, hit, now + order.seconds)
        for keeper in hit:
            if order.kind == "killed":
                keeper.kill(lasting.until)
            else:
                keeper.freeze()
        self._lasting.append(lasting)
        self._records.append(
            OutageRecord(id=id_, part=order.part, kind=order.kind, began_at=wall, until=wall + order.seconds)
        )
        _LOG.info("%s is %s for %d s: %s", order.part, order.kind, order.seconds, ", ".join(order.processes))

    def _cut_short(self, each: _Lasting, wall: float) -> None:
        self._records[each.number] = self._records[each.number].model_copy(update={"until": wall})
        if each.order.kind == "killed":
            for keeper in each.keepers:
                keeper.put_off(0.0)
        self._undo(each)

    def _undo(self, each: _Lasting) -> None:
        self._lasting.remove(each)
        for keeper in each.keepers:
            if keeper.is_frozen:  # not one that was killed meanwhile and started again
                keeper.thaw()
        _LOG.info("%s is not %s any more", each.order.part, each.order.kind)
