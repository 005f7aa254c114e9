"""CEL asked of one object here, as the API server would ask it: by Google's own evaluator (``croupier[cel]``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from croupier.core.policy.quantities import quantity
from croupier.errors import EnvironmentFault, UsageError
from croupier.model.objects import JsonObject
from croupier.model.quantity import size

Predicate = Callable[[JsonObject], bool]


class Unanswered(Exception):
    """An expression gave no answer for an object: a field of another type than it takes, a field that is not there."""


def compiled(expression: str, variables: Mapping[str, str] | None = None) -> Predicate:
    """A function from an object to whether ``expression`` holds of it.

    Args:
        expression: in CEL; sees ``object`` and ``variables``.
        variables: name -> expression, each of which sees those before it.

    Raises ``UsageError`` for what is no CEL, ``EnvironmentFault`` without the evaluator. The function raises
    ``Unanswered`` where there is no answer, or none that is true or false.
    """
    environment = _environment()
    parts = [(name, _parsed(environment, each)) for name, each in (variables or {}).items()]
    asked = _parsed(environment, expression)

    def holds(value: JsonObject) -> bool:
        seen: dict[str, Any] = {}
        data = {"object": without_nulls(value), "variables": seen}
        for name, part in parts:
            seen[name] = _answer(part, data)
        answer = _answer(asked, data)
        if not isinstance(answer, bool):
            raise Unanswered(f"the answer is {answer!r}, neither true nor false")
        return answer

    return holds


def without_nulls(value: Any) -> Any:
    """``value`` as the API server holds it: what is null is not there."""
    if isinstance(value, dict):
        return {key: without_nulls(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [without_nulls(each) for each in value]
    return value


def _environment() -> Any:
    try:
        from cel_expr_python import cel  # noqa: PLC0415  # only who asks CEL needs it
        from cel_expr_python.ext import ext_optional, ext_strings  # noqa: PLC0415
    except ImportError as error:
        raise EnvironmentFault("there is no evaluator of CEL", hint="pip install 'croupier[cel]'") from error
    known = {"object": cel.Type.DYN, "variables": cel.Type.DYN}
    number, words, truth = cel.Type.DOUBLE, cel.Type.STRING, cel.Type.BOOL
    quantities = [
        cel.FunctionDecl("isQuantity", [cel.Overload("is_quantity_string", truth, [words], False, _is_quantity)]),
        cel.FunctionDecl("quantity", [cel.Overload("string_to_quantity", number, [words], False, _as_number)]),
        cel.FunctionDecl("asApproximateFloat", [cel.Overload("quantity_float", number, [number], True, float)]),
    ]
    extensions = [ext_optional.ExtOptional(), ext_strings.ExtStrings()]
    return cel.NewEnv(variables=known, extensions=extensions, functions=quantities)


def _is_quantity(text: str) -> bool:
    return quantity(text) is not None


def _as_number(text: str) -> float:
    """A quantity, which is a number here; the API server compares it as one only by ``asApproximateFloat``."""
    return float(size(text))


def _parsed(environment: Any, expression: str) -> Any:
    try:
        return environment.compile(expression)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()]
        said = lines[0].removeprefix("INVALID_ARGUMENT: ").removeprefix("ERROR: ").removeprefix("<input>:")
        raise UsageError(f"no CEL: {said}") from None


def _answer(expression: Any, data: Mapping[str, Any]) -> Any:
    try:
        answer = expression.eval(data=data)
    except RuntimeError as error:  # it is ended where it takes too many steps
        raise Unanswered(str(error)) from None
    if answer.type().name() in ("ERROR", "UNKNOWN"):
        raise Unanswered(str(answer.plain_value()))
    return answer.plain_value()
