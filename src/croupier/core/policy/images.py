"""Which images run: pinned, from where, pulled how (S3.7, S3.8)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from croupier.core.policy.objects import Pod, text
from croupier.core.policy.rule import Hit, Level, pod_rule

DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_ANY = "f" * 64


class Image(NamedTuple):
    """``registry/repository:tag@digest`` taken apart; parts that are not written are ""."""

    repository: str
    tag: str
    digest: str


def parsed(reference: str) -> Image:
    """An image reference in its parts; a port behind the registry is no tag."""
    name, _, digest = reference.partition("@")
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        return Image(name, "", digest)
    return Image(head, tag, digest)


def _images(pod: Pod) -> Iterator[tuple[str, Image, tuple[str | int, ...]]]:
    for each in pod.containers:
        written = text(each.value.get("image"))
        if written:
            yield written, parsed(written), (*each.path, "image")


@pod_rule(
    "image-tag",
    "No image is latest or without a tag",
    level=Level.ERROR,
    source="S3.8",
    why="Nobody can say what runs, and two pods of one Deployment may run different programs.",
    fix="Name the version, best by digest.",
    bad="containers: [{name: app, image: 'registry.example:5000/bets'}]",
    good="containers: [{name: app, image: 'registry.example:5000/bets:2026.2.3'}]",
)
def image_tag(pod: Pod) -> Iterator[Hit]:
    for written, image, path in _images(pod):
        if image.tag == "latest":
            yield Hit(path, f"image {written} is latest")
        elif not image.tag and not image.digest:
            yield Hit(path, f"image {written} has no tag")


@pod_rule(
    "image-digest",
    "Images are named by digest",
    level=Level.ERROR,
    source="S3.7",
    why="A tag can be moved to another image after review; a digest cannot.",
    fix="Name the image as repository@sha256:… with its 64 hexadecimal digits.",
    bad="containers: [{name: app, image: 'registry.example/bets:2026.2.3'}]",
    good=f"containers: [{{name: app, image: 'registry.example/bets@sha256:{_ANY}'}}]",
)
def image_digest(pod: Pod) -> Iterator[Hit]:
    for written, image, path in _images(pod):
        if not image.digest:
            yield Hit(path, f"image {written} is not pinned by digest")
        elif not DIGEST.fullmatch(image.digest):
            yield Hit(path, f"image {written} has a digest that is none")


@pod_rule(
    "image-registry",
    "Images come from the registries that are allowed",
    level=Level.ERROR,
    source="S3.6",
    why="What is pulled from elsewhere was neither built nor scanned nor signed here.",
    fix="Copy the image to a registry that is allowed (--registry) and name it there.",
    bad="containers: [{name: app, image: 'registry.example.evil/bets:1'}]",
    good="containers: [{name: app, image: 'registry.example/bets:1'}]",
)
def image_registry(pod: Pod) -> Iterator[Hit]:
    allowed = tuple(f"{each.rstrip('/')}/" for each in pod.owner.settings.registries)
    for written, _, path in _images(pod):
        if allowed and not written.startswith(allowed):
            yield Hit(path, f"image {written} comes from none of {', '.join(allowed)}")


@pod_rule(
    "pull-policy",
    "Images that are not pinned are always pulled",
    level=Level.WARNING,
    source="S3.7",
    why="A node keeps what it pulled: without Always, a tag that moved gives different programs on different nodes.",
    fix="Pin the image by digest, or set imagePullPolicy: Always.",
    bad="containers: [{name: app, image: 'registry.example/bets:1'}]",
    good=f"containers: [{{name: app, image: 'registry.example/bets@sha256:{_ANY}', imagePullPolicy: IfNotPresent}}]",
    usual=False,
)
def pull_policy(pod: Pod) -> Iterator[Hit]:
    for each in pod.containers:
        pinned = DIGEST.fullmatch(parsed(text(each.value.get("image"))).digest)
        if not pinned and each.value.get("imagePullPolicy") != "Always":
            yield Hit((*each.path, "imagePullPolicy"), f"{each.called} does not always pull its image")


@pod_rule(
    "helm-tiller",
    "Nobody runs Tiller",
    level=Level.ERROR,
    source="S10.13",
    why="Tiller, part of Helm 2, is an administrator of the cluster for whoever reaches its port.",
    fix="Use Helm 3, which needs no server.",
    bad="containers: [{name: tiller, image: 'ghcr.io/helm/tiller:v2.17.0'}]",
    good="containers: [{name: app, image: 'registry.example/bets:1'}]",
)
def helm_tiller(pod: Pod) -> Iterator[Hit]:
    for written, image, path in _images(pod):
        if "tiller" in image.repository:
            yield Hit(path, f"image {written} is Tiller")


RULES = (image_tag, image_digest, image_registry, pull_policy, helm_tiller)
