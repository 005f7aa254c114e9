"""Exceptions to rules, written where they hold: each has a reason, an owner and an end, or it is none.

Two forms: an annotation of the object, ``waive.croupier.dev/RULE: owner=payments until=2027-01-31 reason=PSP needs
it``, or a comment on the line of the finding or the one above it, ``# croupier:waive RULE owner=… until=… reason=…``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from croupier.core.policy.objects import Object, mapping, text
from croupier.core.policy.rule import Hit, Level, object_rule
from croupier.model.manifest import Manifest

PREFIX = "waive.croupier.dev/"
_FORM = re.compile(r"owner=(?P<owner>\S+)\s+until=(?P<until>\S+)\s+reason=(?P<reason>\S.*)")
_COMMENT = re.compile(r"#\s*croupier:waive\s+(?P<rule>[a-z0-9-]+)\s+(?P<rest>.*)")
_OTHERS = (
    re.compile(r"ignore-check\.kube-linter\.io/(.+)|kube-linter\.io/(ignore-all)"),
    re.compile(r"polaris\.fairwinds\.com/(.+)-exempt|polaris\.fairwinds\.com/(exempt)"),
    re.compile(r"checkov\.io/(skip[0-9]*)"),
    re.compile(r"kube-score/(ignore)"),
)
POD = "{apiVersion: v1, kind: Pod, metadata: {name: bets, annotations: {%s}}, spec: {containers: [{name: app}]}}"


@dataclass(frozen=True, slots=True)
class Waiver:
    """Who answers for an exception, until when (inclusive), and why."""

    owner: str
    until: date
    reason: str


def parsed(written: str) -> Waiver | None:
    """The waiver in ``owner=… until=YYYY-MM-DD reason=…``, or None where a part is missing."""
    found = _FORM.fullmatch(written.strip())
    if found is None:
        return None
    try:
        until = date.fromisoformat(found["until"])
    except ValueError:
        return None
    return Waiver(found["owner"], until, found["reason"].strip())


def waiver_for(rule: str, manifest: Manifest, lines: Sequence[str]) -> Waiver | None:
    """The waiver of ``rule`` in the annotations of the object or in ``lines``: that of the finding and the one
    above.
    """
    for key, value in mapping(mapping(manifest.value.get("metadata")).get("annotations")).items():
        if key == PREFIX + rule and (held := parsed(text(value))) is not None:
            return held
    for line in lines:
        found = _COMMENT.search(line)
        if found is not None and found["rule"] == rule and (held := parsed(found["rest"])) is not None:
            return held
    return None


def comments(text: str) -> list[str]:
    """The waivers that comments in ``text`` speak of, in order."""
    return [found[0].strip() for found in _COMMENT.finditer(text)] if "croupier:waive" in text else []


@object_rule(
    "waiver", "Every exception has a reason, an owner and an end", level=Level.WARNING, source="S15.2",
    why="An exception without an end is a rule that nobody keeps; one without an owner is nobody's.",
    fix="Write waive.croupier.dev/RULE: owner=… until=YYYY-MM-DD reason=… instead.",
    bad=POD % "waive.croupier.dev/host-ports: 'needed'",
    good=POD % "waive.croupier.dev/host-ports: 'owner=payments until=2027-01-31 reason=the PSP calls this port'",
)  # fmt: skip
def waiver(each: Object) -> Iterator[Hit]:
    for key, value in each.annotations.items():
        path = ("metadata", "annotations", key)
        if key.startswith(PREFIX) and parsed(text(value)) is None:
            yield Hit(path, f"waiver of {key.removeprefix(PREFIX)} lacks owner, until or reason")
        elif any(form.fullmatch(key) for form in _OTHERS):
            yield Hit(path, f"{key} switches another tool's check off, without owner and end")


RULES = (waiver,)
