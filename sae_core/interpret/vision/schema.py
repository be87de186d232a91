"""Whether a reply fits its JSON schema, checked here whatever the endpoint promised: many routes ignore a schema in silence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "number": (int, float),
    "integer": (int,),
    "null": (type(None),),
}
_KNOWN = frozenset(
    {
        "type",
        "enum",
        "const",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "title",
        "description",
    }
)


def fault(value: Any, schema: Mapping[str, Any], where: str = "reply") -> str | None:
    """The first thing in `value` that does not fit, in words, or None when it fits.

    The part of JSON Schema that structured output allows: types, enum and const, properties (required, additional),
    items, and limits of numbers, texts and lists. As there, 3.0 is an integer and true is no number.
    """
    assert set(schema) <= _KNOWN, f"keywords this does not check: {sorted(set(schema) - _KNOWN)}"
    kinds = schema.get("type")
    if kinds is not None and not any(_is(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return f"{where} is {_name(value)}, not {kinds if isinstance(kinds, str) else ' or '.join(kinds)}"
    allowed = [schema["const"]] if "const" in schema else schema.get("enum")
    # Python's 1 == True would let a boolean stand for a number.
    if allowed is not None and not any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in allowed):
        return f"{where} is {str(value)[:40]!r}, not one of {', '.join(map(repr, allowed))}"
    if isinstance(value, dict):
        return _object(value, schema, where)
    if isinstance(value, list):
        return _array(value, schema, where)
    return _limits(value, schema, where)


def _object(value: Mapping[str, Any], schema: Mapping[str, Any], where: str) -> str | None:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            return f"{where} lacks {name}"
    for name, inner in value.items():
        if name in properties:
            if found := fault(inner, properties[name], f"{where}.{name}"):
                return found
        elif schema.get("additionalProperties", True) is False:
            return f"{where} has {name[:40]!r}, which is not asked for"
    return None


def _array(value: list[Any], schema: Mapping[str, Any], where: str) -> str | None:
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    if len(value) < least or (most is not None and len(value) > most):
        return f"{where} has {len(value)} items, not {least} to {most if most is not None else 'any number'}"
    found = (fault(inner, schema["items"], f"{where}[{i}]") for i, inner in enumerate(value)) if "items" in schema else ()
    return next((one for one in found if one), None)


def _limits(value: Any, schema: Mapping[str, Any], where: str) -> str | None:
    if isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            return f"{where} is shorter than {schema['minLength']} characters"
        if "maxLength" in schema and len(value) > schema["maxLength"]:
            return f"{where} is longer than {schema['maxLength']} characters"
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if "minimum" in schema and value < schema["minimum"]:
            return f"{where} is {value}, below {schema['minimum']}"
        if "maximum" in schema and value > schema["maximum"]:
            return f"{where} is {value}, above {schema['maximum']}"
    return None


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[kind])


def _name(value: Any) -> str:
    return next(kind for kind in ("null", "boolean", "string", "integer", "number", "array", "object") if _is(value, kind))
