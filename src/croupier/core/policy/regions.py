"""What regions and jurisdictions ask of each other: a standby that runs the same, and data that stays where it must and
as it was written (S9.6, S10.14, S11.1).

Regions and markets are told by the labels ``region``, ``brand`` and ``market``. Where data may be is an annotation of
the store or of its namespace: ``croupier.dev/locations``, names of places apart by commas.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from croupier.core.policy.facts import PREFIX, is_money, label
from croupier.core.policy.objects import SEVERAL, Object, Pod, at, items, mapping, text
from croupier.core.policy.quantities import number
from croupier.core.policy.reach import boundary
from croupier.core.policy.rule import Found, Level, bundle_rule
from croupier.core.policy.world import World
from croupier.model.manifest import Path

LOCATIONS = f"{PREFIX}locations"
_SPARED = re.compile(r"(^|[-.])(login|identity|auth|session|wallet|ledger|payments?|cashier)s?($|[-.])")
"""What a standby has to have at least, by name; and whatever is of the money tier."""
_WRITTEN_ONCE = re.compile(r"(^|[-.])(audit|worm|journal|compliance|kyc-logs?)s?($|[-.])")
WALLET = (
    "{apiVersion: apps/v1, kind: Deployment, metadata: {name: wallet, namespace: %s, labels: {brand: lucky, market: "
    "se, region: %s}}, spec: {replicas: 3, template: {spec: {containers: [{name: app, image: "
    "'registry.example/wallet@%s'}]}}}}\n"
)
NORTH, SOUTH = WALLET % ("north", "eu-north", "sha256:aaaa"), WALLET % ("south", "eu-south", "sha256:%s")
BUCKET = (
    "{apiVersion: s3.aws.upbound.io/v1beta1, kind: Bucket, metadata: {name: audit-log, annotations: {croupier.dev/"
    "locations: eu-north-1}}, spec: {forProvider: {region: %s, objectLockEnabled: %s}}}"
)
DAYS = (
    "\n---\n{apiVersion: s3.aws.upbound.io/v1beta1, kind: BucketObjectLockConfiguration, metadata: {name: audit-log}, "
    "spec: {forProvider: {bucketRef: {name: audit-log}, rule: [{defaultRetention: [{mode: COMPLIANCE, days: 365}]}]}}}"
)


@bundle_rule(
    "standby-parity", "A standby region runs what the active one does", level=Level.WARNING, source="S11.1",
    why="In the night of the failover players meet a version that nobody has tried together with the rest.",
    fix="Give login, wallet and payments the same images and the same variables in every region of a brand and market; "
    "while a release goes from region to region, waive it with an end.",
    bad=NORTH + "---\n" + SOUTH % "bbbb", good=NORTH + "---\n" + SOUTH % "aaaa",
)  # fmt: skip
def standby_parity(world: World) -> Iterator[Found]:
    alike: dict[tuple[str, str, str], dict[str, Pod]] = defaultdict(dict)
    regions: dict[tuple[str, str], set[str]] = defaultdict(set)
    for pod in world.pods:
        brand, market = boundary(world, pod)
        region = label(pod, "region", world.namespaces.get(pod.owner.namespace, {}))
        if (brand or market) and region and pod.owner.kind in SEVERAL and "croupier.dev/version" not in pod.labels:
            regions[brand, market].add(region)
            if is_money(pod) or _SPARED.search(pod.owner.name):
                alike[brand, market, pod.owner.name].setdefault(region, pod)
    for (brand, market, name), held in alike.items():
        first = next(iter(held))
        if missing := sorted(regions[brand, market] - held.keys()):
            said = f"{name} of {brand} {market} is not in {', '.join(missing)}, where others of theirs are"
            yield Found(held[first].owner, ("metadata",), said)
        for region, pod in held.items():
            if region != first and (difference := _difference(held[first], pod)):
                yield Found(pod.owner, pod.path, f"{difference} than in {first}")


def _difference(one: Pod, other: Pod) -> str:
    if {each.name: each.value.get("image") for each in one.containers} != {
        each.name: each.value.get("image") for each in other.containers
    }:
        return "runs other images"
    mine, theirs = (
        {text(held.get("name")) for each in pod.containers for _, held in items(each.value.get("env"))}
        for pod in (one, other)
    )
    differ = sorted(mine ^ theirs)
    return f"is told other variables ({', '.join(differ)})" if differ else ""


class Store(NamedTuple):
    """A place where objects are kept. ``location`` "": not written. ``keeps``: whether nobody can change or delete what
    was written, None: it can be, and nothing says for how long.
    """

    name: str
    object: Object
    path: Path
    location: str
    keeps: bool | None


def stores(world: World) -> Iterator[Store]:
    """Buckets of Crossplane, ACK, Google's Config Connector and MinIO."""
    for each in world.of("Bucket"):
        if each.group.startswith("s3.aws."):
            given = mapping(each.spec.get("forProvider"))
            keeps = _retained(world, each.name) if given.get("objectLockEnabled") is True else False
            yield Store(each.name, each, ("spec", "forProvider"), text(given.get("region")), keeps)
        elif each.group == "s3.services.k8s.aws":
            place = text(at(each.spec, "createBucketConfiguration", "locationConstraint"))
            named, is_locked = text(each.spec.get("name")), each.spec.get("objectLockEnabledForBucket") is True
            keeps = _retained(world, named) if is_locked else False
            yield Store(each.name, each, ("spec",), place, keeps)
    for each in world.of("StorageBucket"):
        policy = mapping(each.spec.get("retentionPolicy"))
        is_kept = policy.get("isLocked") is True and (number(policy.get("retentionPeriod")) or 0) > 0
        yield Store(each.name, each, ("spec",), text(each.spec.get("location")), is_kept)
    for each in world.of("Tenant"):
        for index, held in items(each.spec.get("buckets")) if each.group == "minio.min.io" else ():
            path: Path = ("spec", "buckets", index)
            yield Store(text(held.get("name")), each, path, text(held.get("region")), held.get("objectLock") is True)


def _retained(world: World, bucket: str) -> bool | None:
    """Whether objects of a bucket that can be locked are, for a time that nobody can shorten."""
    for each in world.of("BucketObjectLockConfiguration"):
        given = mapping(each.spec.get("forProvider"))
        if bucket and bucket in (text(at(given, "bucketRef", "name")), text(given.get("bucket"))):
            for _, rule in items(given.get("rule")):
                for _, kept in items(rule.get("defaultRetention")):
                    return kept.get("mode") == "COMPLIANCE"
    return None


def _is_written_once(store: Store) -> bool:
    kept = text(store.object.labels.get("data")) or text(store.object.labels.get(f"{PREFIX}data"))
    return kept in ("audit", "logs", "compliance") or _WRITTEN_ONCE.search(store.name) is not None


@bundle_rule(
    "write-once", "What is kept for auditors can be changed by nobody", level=Level.ERROR, source="S9.6, S10.12",
    why="Who gets in wipes the traces first; and what can be changed proves nothing to a regulator.",
    fix="Lock the objects: S3 objectLockEnabled with a default retention in COMPLIANCE mode, Google Cloud "
    "retentionPolicy with isLocked, MinIO objectLock. ACK's objectLockEnabledForBucket only allows a retention: give "
    "one as a BucketObjectLockConfiguration, or waive the rule for a bucket that has it by other means.",
    bad=BUCKET % ("eu-north-1", "false"), good=BUCKET % ("eu-north-1", "true") + DAYS,
)  # fmt: skip
def write_once(world: World) -> Iterator[Found]:
    for each in stores(world):
        if _is_written_once(each) and each.keeps is not True:
            what = "its objects can be changed or deleted"
            said = what if each.keeps is False else "its objects can be locked, and no retention locks them"
            yield Found(each.object, each.path, f"{each.name}: {said}")


@bundle_rule(
    "data-location", "Logs and artefacts are kept where their market allows", level=Level.ERROR, source="S10.14, S2.2",
    why="A copy in another country is under another law, and a breach of the licence from its first hour.",
    fix=f"Move the store, or write every place that is allowed into {LOCATIONS} of its namespace.",
    bad=BUCKET % ("us-east-1", "true") + DAYS, good=BUCKET % ("eu-north-1", "true") + DAYS,
)  # fmt: skip
def data_location(world: World) -> Iterator[Found]:
    spaces = {each.name: each for each in world.of("Namespace")}
    for each in stores(world):
        space = spaces.get(each.object.namespace)
        written = each.object.annotations.get(LOCATIONS, space.annotations.get(LOCATIONS) if space else None)
        allowed = [place.strip().lower() for place in text(written).split(",") if place.strip()]
        if written is not None and each.location.lower() not in allowed:
            where = each.location or "a place that is not written"
            yield Found(
                each.object, each.path, f"{each.name} is in {where}, allowed is {', '.join(allowed) or 'nothing'}"
            )


RULES = (standby_parity, write_once, data_location)
