"""Whether providers can be what the platform says of them: who takes over, where from they are called, who counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Network
from itertools import chain

from croupier.model.platform import PlacedCell, Region
from croupier.model.providers import TOLD_OF_PROVIDERS, Provider
from croupier.spec.load import Flaw, did_you_mean


def provider_flaws(name: str, providers: Mapping[str, Provider], regions: Mapping[str, Region]) -> Iterator[Flaw]:
    """What is wrong with provider ``name`` whoever calls it. Locations are paths in it."""
    provider = providers[name]
    # Each pod of a gateway has its share of the connections.
    for where, region in regions.items():
        egress = region.egress
        if egress is not None and provider.max_connections < egress.replicas:
            message = f"fewer than the {egress.replicas} pods of each egress gateway of region {where}"
            yield Flaw(("maxConnections",), "EGRESS", message, "let more be, or fewer pods")
            break
    for end in TOLD_OF_PROVIDERS:
        if (other := name.removesuffix(end)) != name and other in providers:
            message = f"pods are told of it by a variable of {other}: its{end.replace('-', ' ')}"
            yield Flaw((), "DUPLICATE_NAME", message, "call one of them otherwise")
    fallback = provider.fallback
    if fallback is None:
        return
    alike = [each for each, other in providers.items() if other.kind == provider.kind and each != name]
    if fallback == name:
        yield Flaw(("fallback",), "FALLBACK", f"{name} cannot take over from itself", _known(alike))
    elif fallback not in providers:
        hint = did_you_mean(fallback, alike) or _known(alike)
        yield Flaw(("fallback",), "UNKNOWN_NAME", f"provider {fallback!r} is not declared", hint)
    elif fallback not in alike:
        message = f"{fallback} is a {providers[fallback].kind} provider, and {name} a {provider.kind} provider"
        yield Flaw(("fallback",), "FALLBACK", message, _known(alike))


def called_flaws(cells: Iterable[PlacedCell]) -> Iterator[tuple[str, Flaw]]:
    """Providers and what is wrong with how regions call them. Locations are paths in a provider."""
    regions: dict[str, list[PlacedCell]] = {}
    for placed in cells:
        regions.setdefault(placed.cell.region, []).append(placed)
    for where, here in sorted(regions.items()):
        called = {name: each for placed in here for name, each in placed.providers.items()}
        for name, provider in sorted(called.items()):
            found = chain(_not_let_in(provider, where, here[0].region), _not_counted(name, provider, where, here))
            yield from ((name, flaw) for flaw in found)


def without_fallback(cells: Iterable[PlacedCell]) -> dict[tuple[str, str, str], list[str]]:
    """Service, provider and who would take over from that, where the service may not call the latter -> cells."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for placed in cells:
        for service in placed.services:
            for name in service.egress:
                fallback = placed.providers[name].fallback if name in placed.providers else None
                if fallback is not None and fallback not in service.egress:
                    found.setdefault((service.name, name, fallback), []).append(placed.cell.name)
    return found


def _not_let_in(provider: Provider, where: str, region: Region) -> Iterator[Flaw]:
    if region.egress is None or not provider.sources:
        return
    allowed = [IPv4Network(each) for each in provider.sources]
    pool = region.egress.sources
    if pool is None:
        message = f"region {where} does not say by which addresses its calls leave"
        yield Flaw(("sources",), "SOURCES", message, f"give regions.{where}.egress.sources")
        return
    for each in pool.addresses:
        if not any(IPv4Network(each).subnet_of(held) for held in allowed):
            message = f"calls from region {where} leave by {each}, which it does not let in"
            yield Flaw(("sources",), "SOURCES", message, f"have it let in, or change regions.{where}.egress.sources")


def _not_counted(name: str, provider: Provider, where: str, here: Sequence[PlacedCell]) -> Iterator[Flaw]:
    region = here[0].region
    if region.prometheus is None:
        return
    tallied = any(
        name in service.egress and service.release.metrics.tally is not None
        for placed in here
        for service in placed.services
    )
    for number, each in enumerate(provider.objectives):
        if each.signal == "connections" and region.egress is None:
            message = f"region {where} has no egress gateways, which count connections"
            yield Flaw(("objectives", number), "ALERTS", message, f"give regions.{where}.egress")
        elif each.signal != "connections" and not tallied:
            message = f"nobody counts {each.signal} through {name} in region {where}"
            hint = "give a service that calls it the address of the tally: release.metrics.tally"
            yield Flaw(("objectives", number), "ALERTS", message, hint)


def _known(alike: Sequence[str]) -> str:
    return f"of its kind: {', '.join(sorted(alike)) or 'none'}"
