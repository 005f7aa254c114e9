"""Nodes of a region, by purpose: which there are, what they have, and how many are kept free.

Field names are the keys of the platform file; ``docs/reference/platform.md`` is made from this module.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.base import Cpu, LabelKey, LabelValue, Memory, Name, Value
from croupier.model.container import Image
from croupier.model.service import Traffic


class Taint(Value):
    """What keeps pods away from a node that do not tolerate it."""

    key: LabelKey
    value: LabelValue = ""
    effect: Literal["NoSchedule", "NoExecute", "PreferNoSchedule"] = "NoSchedule"


class Node(Value):
    """What one node of a pool has for pods that are sent there: what its kubelet allots, less what DaemonSets take."""

    cpu: Cpu
    memory: Memory
    pods: Annotated[int, Field(ge=1, le=1000)] = 110
    """Most pods that its kubelet runs, less those of DaemonSets."""
    descriptors: Annotated[int, Field(ge=256, le=1_073_741_816)] | None = None
    """Files and sockets that a process in a pod there may have open: what the node's container runtime gives, no pod
    can ask for more. None: not known, so nothing is held against it (S6.5)."""
    connections: Annotated[int, Field(ge=1024, le=1_073_741_816)] | None = None
    """Connections that its kernel keeps track of (``nf_conntrack_max``). None: not known."""


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
    node: Node | None = None
    """What one of its nodes has. None: not known, so no pod is held against it."""
    max_nodes: Annotated[int, Field(ge=1, le=15_000)] | None = None
    """Most nodes that it grows to. All that is sent there has to fit beside ``warm_nodes`` (S6.4). None: not known."""
    warm_nodes: Annotated[int, Field(ge=0, le=1000)] = 0
    """Nodes whose room is kept free, by pods that make way for any other: ``warm`` of the region says which."""

    @property
    def is_raised(self) -> bool:
        """Whether room for events is kept here ahead of their pods, where the region says ``aheadMinutes``."""
        return self.node is not None and not self.spot

    @model_validator(mode="after")
    def _numbers_are_of_known_nodes(self) -> Self:
        for key, number in (("maxNodes", self.max_nodes), ("warmNodes", self.warm_nodes)):
            if number and self.node is None:
                raise PydanticCustomError("nodes", f"{key} needs node: what one of them has")
        if self.spot and self.warm_nodes:
            raise PydanticCustomError("nodes", "warmNodes are for who cannot wait, and spot capacity is for who can")
        if self.max_nodes is not None and self.warm_nodes > self.max_nodes:
            raise PydanticCustomError("nodes", f"warmNodes {self.warm_nodes} is more than maxNodes {self.max_nodes}")
        return self


class WarmNodes(Value):
    """Pods that do nothing but keep room on warm nodes, and make way for any other (S6.4)."""

    image: Image
    """A program that only waits, like Kubernetes' pause."""
    namespace: Name = "warm"
    ahead_minutes: Annotated[int, Field(ge=1, le=1440)] | None = None
    """How long before the pods of an event their nodes are asked for, beside ``warmNodes``: as long as a node takes to
    come. KEDA counts the pods that keep the room, so it has to run there. None: nodes are asked for when pods are."""
