"""What a market locks, held against what the layers of a service came to."""

from __future__ import annotations

from pydantic import JsonValue

from croupier.model.platform import Lock
from croupier.spec.merge import Merged
from croupier.spec.paths import Path, value_at


def loosened(lock: Lock, tree: JsonValue, merged: Merged) -> str:
    """How a value breaks a lock, in words; "" when it does not.

    What a service does not have is not locked, unless a layer has taken it away.
    """
    path = tuple(lock.path.split("."))
    value = value_at(tree, path)
    if value is None:
        return "is taken away" if _had(merged, path) else ""
    if lock.at_least is not None or lock.at_most is not None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "is not a number"
        if lock.at_least is not None and value < lock.at_least:
            return f"is {value:g}, below {lock.at_least:g}"
        if lock.at_most is not None and value > lock.at_most:
            return f"is {value:g}, above {lock.at_most:g}"
        return ""
    held = value if isinstance(value, list) else [value]
    if lock.within is not None:
        odd = [item for item in held if item not in lock.within]
        return f"holds {odd[0]!r}" if odd else ""
    missing = [item for item in lock.includes or () if item not in held]
    return f"lacks {missing[0]!r}" if missing else ""


def _had(merged: Merged, path: Path) -> bool:
    """Whether some layer gave a value at ``path``, also in a list that a heavier one replaced."""
    for at, chained in merged.chains.items():
        if at[: len(path)] == path:
            return True
        if path[: len(at)] == at:
            given = (said.value for said in chained if said.verb in ("set", "add"))
            if any(value_at({at[-1]: value}, path[len(at) - 1 :]) is not None for value in given):
                return True
    return False
