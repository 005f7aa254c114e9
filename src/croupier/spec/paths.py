"""Dotted paths in a service, like ``scaling.max`` or ``objectives.deposits.successRatio``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

from pydantic import BaseModel, JsonValue

from croupier.errors import UnknownName
from croupier.model.base import LabelKey
from croupier.model.service_spec import LIST_KEYS
from croupier.spec.partial import bare

Path = tuple[str, ...]
_DOTTED = (LabelKey, str)
"""Kinds of keys that may hold dots."""


def parse_path(text: str, model: type[BaseModel]) -> Path:
    """The parts of a dotted path. Raises ``UnknownName`` for a part that ``model`` does not have there.

    A key of a free mapping (``config``), or of a list whose items people name (``ports``), is not looked at. Keys of
    labels and the like hold dots: of a mapping of such to text all that follows is one key.
    """
    parts = tuple(text.split("."))
    kind: Any = model
    for at, part in enumerate(parts):
        kind = bare(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            fields = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
            if part not in fields:
                raise UnknownName("path", ".".join(parts[: at + 1]), [".".join((*parts[:at], key)) for key in fields])
            kind = fields[part]
        elif get_origin(kind) is dict:
            named, kind = get_args(kind)
            if named in _DOTTED and (kind is str or get_args(kind)[:1] == (str,)):
                return (*parts[:at], ".".join(parts[at:]))
        elif get_origin(kind) is tuple and parts[at - 1] in LIST_KEYS:
            kind = get_args(kind)[0]
            known = get_args(kind.model_fields[LIST_KEYS[parts[at - 1]]].annotation)
            if known and part not in known:
                raise UnknownName("path", ".".join(parts[: at + 1]), [".".join((*parts[:at], key)) for key in known])
        else:
            raise UnknownName("path", text, [".".join(parts[:at])])
    return parts


def value_at(tree: JsonValue, path: Sequence[str]) -> JsonValue:
    """What stands at ``path``; None where nothing does."""
    value = tree
    for at, part in enumerate(path):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and at and (key := LIST_KEYS.get(path[at - 1])):
            value = next((each for each in value if isinstance(each, Mapping) and each.get(key) == part), None)
        else:
            return None
    return value
