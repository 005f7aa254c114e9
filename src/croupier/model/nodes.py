"""Nodes of a region, by purpose.

Field names are the keys of the platform file; ``docs/reference/platform.md`` is made from this module.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from croupier.model.base import Cpu, LabelKey, LabelValue, Memory, Value
from croupier.model.service_spec import Traffic


class Taint(Value):
    """What keeps pods away from a node that do not tolerate it."""

    key: LabelKey
    value: LabelValue = ""
    effect: Literal["NoSchedule", "NoExecute", "PreferNoSchedule"] = "NoSchedule"


class Capacity(Value):
    """What nodes hold together when there are as many of them as there may be."""

    cpu: Cpu
    memory: Memory


class NodePool(Value):
    """Nodes for one purpose, which are there already (S2.3, S13.1): pods of it go there and nowhere else."""

    serves: tuple[Traffic, ...] = ()
    """Services of this traffic run here, but for those that name a ``pool``. Empty: only those that name it."""
    labels: Annotated[dict[LabelKey, LabelValue], Field(min_length=1, max_length=8)]
    """What its nodes bear, and no others: the node selector of its pods."""
    taints: Annotated[tuple[Taint, ...], Field(max_length=8)] = ()
    """What its nodes bear to keep others away: its pods tolerate it."""
    spot: bool = False
    """Its nodes go with half a minute's notice: only batch work that is not money is sent there (S13.2)."""
    capacity: Capacity | None = None
    """What pods may ask for here at most, for what the calendar of events is held against. None: nobody counts."""
