"""Whether JSON plainly fits a schema, which the general validator takes far longer to say.

What fits here fits the general validator, too. What does not may still fit, so the general one has
the last word, and the words.
"""

import re
from collections.abc import Callable, Mapping
from operator import ne
from typing import Any

Test = Callable[[Any], bool]

TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}
NUMBERS = {int, float}
KEYWORDS = {
    "$schema", "$defs", "title", "description", "type", "const", "anyOf", "required", "properties",
    "additionalProperties", "items", "minItems", "maxItems", "minLength", "pattern", "minimum",
    "maximum",
}  # fmt: skip


def quick_check(schema: Mapping[str, Any]) -> Test:
    """A test that takes only what fits.

    Args:
        schema: without references.

    Raises:
        ValueError: it has a keyword that this does not know.
    """
    if unknown := schema.keys() - KEYWORDS:
        raise ValueError(f"expected keywords of {sorted(KEYWORDS)}, got {sorted(unknown)}")
    if "const" in schema:
        wanted = schema["const"]
        return lambda value: type(value) is type(wanted) and bool(value == wanted)
    if "anyOf" in schema:
        choices = [quick_check(choice) for choice in schema["anyOf"]]
        return lambda value: any(choice(value) for choice in choices)
    makers: dict[type, Callable[[Mapping[str, Any]], Test]] = {
        dict: _object, list: _array, str: _string, int: _number, float: _number
    }  # fmt: skip
    if not schema:
        return _anything
    names = schema.get("type", list(TYPES))
    tests = {
        kind: makers[kind](schema) if kind in makers else _anything
        for name in ([names] if isinstance(names, str) else names)
        for kind in TYPES[name]
    }

    def fits(value: Any) -> bool:
        test = tests.get(type(value))
        return test is not None and test(value)

    return fits


def _anything(value: Any) -> bool:
    return True


def _object(schema: Mapping[str, Any]) -> Test:
    required = set(schema.get("required", ()))
    properties = {key: quick_check(part) for key, part in schema.get("properties", {}).items()}
    rest = schema.get("additionalProperties")
    other = _anything if rest is None else quick_check(rest)

    def fits(value: dict[str, Any]) -> bool:
        if not required <= value.keys():
            return False
        for key, item in value.items():
            test = properties.get(key, other)
            if test is not _anything and not test(item):
                return False
        return True

    return fits


def _array(schema: Mapping[str, Any]) -> Test:
    least, most = schema.get("minItems", 0), schema.get("maxItems", float("inf"))
    items = schema.get("items", {})
    each, within = quick_check(items), _number(items)
    limits_alone = not {"const", "anyOf"} & items.keys()

    def fits(value: list[Any]) -> bool:
        if not least <= len(value) <= most:
            return False
        kinds = set(map(type, value))
        if not limits_alone or not kinds or not kinds <= NUMBERS:
            return all(map(each, value))
        # Thousands of numbers, without a step of Python for each. NaN is unlike itself.
        return (
            all(each(next(item for item in value if type(item) is kind)) for kind in kinds)
            and within(min(value))
            and within(max(value))
            and not any(map(ne, value, value))
        )

    return fits


def _string(schema: Mapping[str, Any]) -> Test:
    if not {"minLength", "pattern"} & schema.keys():
        return _anything
    least, pattern = schema.get("minLength", 0), re.compile(schema.get("pattern", ""))
    return lambda value: len(value) >= least and pattern.search(value) is not None


def _number(schema: Mapping[str, Any]) -> Test:
    low, high = schema.get("minimum", -float("inf")), schema.get("maximum", float("inf"))
    return lambda value: bool(low <= value <= high)
