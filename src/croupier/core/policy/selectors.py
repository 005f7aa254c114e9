"""Label selectors as the API server reads them."""

from __future__ import annotations

from typing import Any

from croupier.core.policy.objects import listed, mapping, text
from croupier.model.objects import JsonObject


def matches(selector: Any, labels: JsonObject) -> bool:
    """Whether a LabelSelector takes ``labels``; an empty one takes all, None takes nothing."""
    if type(selector) is not dict:
        return False
    return takes(selector.get("matchLabels"), labels) and all(
        _holds(mapping(each), labels) for each in listed(selector.get("matchExpressions"))
    )


def takes(pairs: Any, labels: JsonObject) -> bool:
    """Whether ``labels`` hold all of ``pairs``: the selector of a Service."""
    return all(labels.get(key) == value for key, value in mapping(pairs).items())


def is_empty(selector: Any) -> bool:
    """Whether a LabelSelector asks for nothing."""
    held = mapping(selector)
    return not held.get("matchLabels") and not held.get("matchExpressions")


def _holds(each: JsonObject, labels: JsonObject) -> bool:
    key, values = text(each.get("key")), listed(each.get("values"))
    match each.get("operator"):
        case "In":
            return labels.get(key) in values if key in labels else False
        case "NotIn":
            return key not in labels or labels[key] not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            return False
