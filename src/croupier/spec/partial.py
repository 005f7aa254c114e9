"""What a layer may say of a service: any part of it, and of a list what is added and taken away.

The model of a part is made from the model of the whole, so a field, its bounds and its words stand in the whole only.
"""

from __future__ import annotations

import types
from functools import cache
from typing import Annotated, Any, Self, Union, get_args, get_origin

from pydantic import BaseModel, Discriminator, Tag, create_model, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.base import Value
from croupier.model.service_spec import LIST_KEYS


class Change(Value):
    """A list as what is added to it and taken from it, instead of all it holds."""

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not any(dict(self).values()):
            raise PydanticCustomError("change", "give the list, or what add and remove change of it")
        return self


@cache
def partial(model: type[BaseModel], name: str | None = None) -> type[BaseModel]:
    """``model`` with every field left to choice and null nowhere; its parts likewise, items of lists whole."""
    fields: dict[str, Any] = {}
    for key, field in model.model_fields.items():
        kind = _part(field.annotation)
        if field.metadata:
            kind = Annotated[(kind, *field.metadata)]
        if get_origin(bare(field.annotation)) is tuple:
            kind = _list_or_change(kind, field.annotation, key)
        fields[key] = (kind, None)
    return create_model(name or f"{model.__name__}Part", __base__=Value, __doc__=model.__doc__, **fields)


def bare(annotation: Any) -> Any:
    """Without ``None``: a layer cannot say null, it unsets."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [each for each in get_args(annotation) if each is not type(None)]
        return kinds[0] if len(kinds) == 1 else Union[tuple(kinds)]  # noqa: UP007  # made at run time
    return annotation


def _part(annotation: Any) -> Any:
    kind = bare(annotation)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return partial(kind)
    if get_origin(kind) is dict:
        key, value = get_args(kind)
        made: Any = dict
        return made[key, _part(value)]
    return kind


def _list_or_change(kind: Any, annotation: Any, key: str) -> Any:
    item = get_args(bare(annotation))[0]
    many: Any = tuple
    change = create_model(
        f"{key.title().replace('_', '')}Change",
        __base__=Change,
        add=(many[item, ...], ()),
        remove=(many[str if key in LIST_KEYS else item, ...], ()),
    )
    return Annotated[
        Annotated[kind, Tag("list")] | Annotated[change, Tag("change")],
        Discriminator(lambda given: "change" if isinstance(given, dict) else "list"),
    ]
