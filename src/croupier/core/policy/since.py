"""What is new since an earlier state of the same manifests: objects that changed, and findings that a change elsewhere
brought about (a budget that was removed, a namespace that another policy opens).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from croupier.core.policy.check import Finding, check
from croupier.core.policy.fingerprint import fingerprint
from croupier.core.policy.objects import Settings
from croupier.core.policy.rule import Rule, Scope
from croupier.core.policy.waivers import comments
from croupier.model.manifest import Manifest


def new_since(
    manifests: Sequence[Manifest],
    findings: Sequence[Finding],
    before: Mapping[str, Sequence[Manifest]],
    rules: Sequence[Rule],
    settings: Settings,
) -> list[Finding]:
    """Those of ``findings`` in ``manifests`` whose object changed, and those of rules on bundles that were not there.

    ``before``: file, as it is called now -> the objects that it held. An object that moved to another file, as it
    was, did not change; one that lost a waiver did.
    """
    kept = unchanged(manifests, before)
    old = [manifest for each in before.values() for manifest in each]
    asked = [rule for rule in rules if rule.scope is Scope.BUNDLE]
    known = {fingerprint(each.rule.id, old[each.index], each.path) for each in check(old, asked, settings)}
    return [
        each
        for each in findings
        if each.index not in kept
        or (
            each.rule.scope is Scope.BUNDLE and fingerprint(each.rule.id, manifests[each.index], each.path) not in known
        )
    ]


def unchanged(manifests: Sequence[Manifest], before: Mapping[str, Sequence[Manifest]]) -> frozenset[int]:
    """Indices of the objects that were there: in the same file, else in one that no longer holds them."""
    left = Counter((file, _identity(each)) for file, held in before.items() for each in held)
    found, moved = set(), []
    for index, each in enumerate(manifests):
        key = each.source.file, _identity(each)
        if left[key]:
            left[key] -= 1
            found.add(index)
        else:
            moved.append(index)
    gone: Counter[str] = Counter()
    for (_, identity), count in left.items():
        gone[identity] += count
    for index in moved:
        identity = _identity(manifests[index])
        if gone[identity]:
            gone[identity] -= 1
            found.add(index)
    return frozenset(found)


def _identity(manifest: Manifest) -> str:
    """Everything of an object that rules and waivers read."""
    said = [[list(each.path), each.message] for each in manifest.remarks]
    return json.dumps([manifest.value, said, comments(manifest.source.text)], sort_keys=True, ensure_ascii=True)
