"""Kubernetes Events: one for each transition of a run and each thing put back, with its numbers.

The name of an event says what it is about, so writing it twice makes one: a restarted operator repeats nothing.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from croupier.core.render.version import Owner
from croupier.model.objects import JsonObject
from croupier.model.release_policy import API_VERSION, GROUP

_LONGEST_NOTE_BYTES = 1024
"""API servers count bytes, and refuse a longer one."""


def event(owner: Owner, *, reason: str, note: str, at: float, key: str, is_warning: bool) -> JsonObject:
    """One event on the policy.

    Args:
        owner: the policy.
        reason: CamelCase, stable.
        note: one sentence for people, with numbers.
        at: seconds since the epoch.
        key: what makes it one event (the run, the time and the text of a line of its story).
        is_warning: whether somebody should look.
    """
    name = f"{owner.name[:40].rstrip('-')}.{hashlib.sha256(f'{owner.uid} {key}'.encode()).hexdigest()[:16]}"
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": owner.namespace},
        "eventTime": datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": f"{GROUP}/operator",
        "reportingInstance": "croupier",
        "action": reason,
        "reason": reason,
        "note": note.encode()[:_LONGEST_NOTE_BYTES].decode(errors="ignore"),
        "type": "Warning" if is_warning else "Normal",
        "regarding": {
            "apiVersion": API_VERSION,
            "kind": "ReleasePolicy",
            "name": owner.name,
            "namespace": owner.namespace,
            "uid": owner.uid,
        },
    }


def reason_of(text: str) -> tuple[str, bool]:
    """The reason for one line of a run's story (``croupier.core.run.story_line``), and whether it is a warning.

    Lines are told apart by how they begin: what follows may be a person's words.
    """
    for start, reason, is_warning in _REASONS:
        if text.startswith(start):
            return reason, is_warning
    if " does not answer: " in text:
        return "Fault", True
    return "Progress", False


_REASONS = (
    ("planned", "Planned", False),
    ("started", "Started", False),
    ("step ", "StepEntered", False),
    ("settled", "WeightConfirmed", False),
    ("passed", "StepPassed", False),
    ("held", "Held", True),
    ("paused", "Paused", False),
    ("resumed", "Resumed", False),
    ("promoting", "Promoting", False),
    ("promoted", "Promoted", False),
    ("rolling back", "RollingBack", True),
    ("rolled-back", "RolledBack", True),
    ("gates: fail", "Gate", True),
    ("gates: ", "Gate", False),
)
