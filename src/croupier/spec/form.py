"""The form of one file of a platform folder. Each may hold any of the sections; together they are the platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.base import Name, Value
from croupier.model.events import Event
from croupier.model.gitops import GitOps
from croupier.model.patches import Patch
from croupier.model.platform import Brand, Cell, Market, Region
from croupier.model.providers import Provider
from croupier.model.service import Tier, Traffic
from croupier.model.service_spec import Layer, ServiceSpec
from croupier.spec.partial import partial

FIXED = ("name", "tier", "layer", "traffic", "journeys")
"""What a service is by its declaration alone: no default, preset or layer sets it."""

EGRESS = "egress"
"""The trait that is a list, and that layers change."""

LeafPath = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9]*(\.[A-Za-z0-9_-]+)*$")]

if TYPE_CHECKING:

    class ServicePart(Value): ...

else:
    ServicePart = partial(ServiceSpec, "ServicePart")


class DeclaredService(ServicePart):
    """A service: what it is wherever it runs. Layers change it where they apply."""

    name: Name


class When(Value):
    """Traits of services; those that are given must all fit."""

    tier: Tier | None = None
    layer: Layer | None = None
    traffic: Traffic | None = None
    egress: Name | None = None
    """A provider that it calls in a cell, whichever layer says so. Such a preset sets no ``egress`` itself."""

    @model_validator(mode="after")
    def _names_a_trait(self) -> Self:
        if not any(dict(self).values()):
            raise PydanticCustomError("when", "name at least one of tier, layer, traffic, egress")
        return self


class Preset(Value):
    """What services of a kind have in common. The more traits it names, the more it weighs."""

    when: When
    set: ServicePart


class At(Value):
    """Where a layer applies; axes that are not named are all."""

    brand: Name | None = None
    market: Name | None = None
    region: Name | None = None
    service: Name | None = None

    @model_validator(mode="after")
    def _names_an_axis(self) -> Self:
        if not any(dict(self).values()):
            raise PydanticCustomError("at", "name at least one of brand, market, region, service")
        return self


class ServiceLayer(Value):
    """What is different somewhere. The more axes it names, the more it weighs; the order of files means nothing."""

    at: At
    set: ServicePart | None = None
    unset: Annotated[tuple[LeafPath, ...], Field(max_length=64)] = ()
    """Paths that are taken away again, like ``scaling`` or ``config.LOG_LEVEL``."""
    patches: Annotated[tuple[Patch, ...], Field(max_length=64)] = ()
    """Changes to rendered objects that no key makes."""


class PlatformFile(Value):
    """One file of a platform folder."""

    brands: Annotated[dict[Name, Brand], Field(default_factory=dict)]
    """Sites that players see."""
    markets: Annotated[dict[Name, Market], Field(default_factory=dict)]
    """Licensed jurisdictions, with what they lock and where they let data be."""
    regions: Annotated[dict[Name, Region], Field(default_factory=dict)]
    """Places with a cluster."""
    providers: Annotated[dict[Name, Provider], Field(default_factory=dict)]
    """External parties that services call."""
    events: Annotated[dict[Name, Event], Field(default_factory=dict)]
    """Matches, tournaments and promotions, and what has to be there before they start."""
    gitops: GitOps | None = None
    """Who applies what is rendered. None: that is arranged elsewhere. Stands in one file only."""
    cells: tuple[Cell, ...] = ()
    """Which brand runs in which market in which region."""
    defaults: ServicePart | None = None
    """What every service has unless something else says otherwise. Stands in one file only."""
    presets: tuple[Preset, ...] = ()
    """What services of a kind have in common."""
    services: tuple[DeclaredService, ...] = ()
    """What runs, each declared once."""
    layers: tuple[ServiceLayer, ...] = ()
    """What is different somewhere."""
