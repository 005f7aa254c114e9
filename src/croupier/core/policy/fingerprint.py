"""Names for findings that outlive a change of lines: what a baseline and a code-scanning page know a finding by."""

from __future__ import annotations

from hashlib import sha256

from croupier.core.policy.objects import mapping, text
from croupier.model.manifest import Manifest, Path


def written(path: Path) -> str:
    """``spec.containers[0].image``, with keys that are no words in brackets."""
    parts = []
    for step in path:
        if isinstance(step, int) or "." in step or "/" in step:
            parts.append(f"[{step}]")
        else:
            parts.append(f".{step}")
    return "".join(parts).removeprefix(".")


def fingerprint(rule: str, manifest: Manifest, path: Path) -> str:
    """32 hex digits of rule, API group, kind, namespace, name and path; items of a list go by name where they have
    one.
    """
    group = text(manifest.value.get("apiVersion")).rpartition("/")[0]
    steps: list[str] = []
    value: object = manifest.value
    for step in path:
        held: object = None
        if isinstance(step, int):
            held = value[step] if isinstance(value, list) and step < len(value) else None
            steps.append(f"[{text(mapping(held).get('name')) or step}]")
        else:
            held = mapping(value).get(step)
            steps.append(step)
        value = held
    said = "\n".join((rule, group, manifest.name, *steps))
    return sha256(said.encode()).hexdigest()[:32]
