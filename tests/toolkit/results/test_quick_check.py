"""The quick check of results takes nothing that the schema's general validator refuses."""

import copy
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from asmnet_kit.results.quick_check import quick_check
from asmnet_kit.results.results import check_result, load_result, schema

REFERENCE = Path(__file__).resolve().parents[3] / "benchmarks" / "reference"
ODD = [None, True, -1, 1.5, 1e300, math.nan, "x", "", [], {}, [None], [1.0], [True, 2.0], {"": 0}]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in ``value`` with each of its keys; of a list, the first and the last."""
    if isinstance(value, dict):
        for key in value:
            yield value, key
            yield from places(value[key])
    elif isinstance(value, list):
        for index in {0, len(value) - 1} & set(range(len(value))):
            yield value, index
            yield from places(value[index])


def whole_result(make_result) -> dict[str, Any]:
    """A result with everything in it that is checked in some way of its own."""
    result = make_result(nme=4.0)
    result |= {
        "intervals_ms": {"p50": [2.0, 2.0], "p90": None},
        "profile": [{"op": "ADD", "name": "a", "microseconds": 1, "target": "cpu"}],
        "sustained": {"minutes": 1, "slowdown": 1.0, "windows": [{"seconds": 5.0, "p50": 2.0}]},
        "notes": ["a note"],
    }
    result["accuracy"]["ced"] = {"nme_percent": [0, 0.5, 1.0], "faces_percent": [0.0, None, 99.5]}
    return result


def test_every_damage_that_the_quick_check_takes_the_validator_takes_too(make_result):
    """Each value of a result in turn is replaced by odd ones, and left out."""
    quick, general = quick_check(inlined(schema())), Draft202012Validator(schema())
    result = whole_result(make_result)
    assert quick(result)
    taken = refused = 0
    for container, key in list(places(result)):
        kept = copy.copy(container)
        for odd in [*ODD, ...]:
            if odd is ...:
                del container[key]
            else:
                container[key] = odd
            if quick(result):
                taken += 1
                assert general.is_valid(result), (key, odd)
            else:
                refused += 1
            container.clear() if isinstance(container, dict) else container.__delitem__(slice(None))
            container.update(kept) if isinstance(container, dict) else container.extend(kept)
    assert taken > 100
    assert refused > 1000


@pytest.mark.parametrize("path", sorted(REFERENCE.glob("*.json")), ids=lambda path: path.stem)
def test_measured_results_need_no_general_validator(path):
    assert quick_check(inlined(schema()))(load_result(path))


def test_a_result_that_fits_in_an_unusual_way_is_still_taken(make_result):
    """A whole number may be written 3.0, which only the general validator takes."""
    result = make_result()
    result["protocol"]["runs"] = 3.0
    assert not quick_check(inlined(schema()))(result)
    assert check_result(result, name="r.json") is result


def test_numbers_of_both_kinds_in_a_list_are_each_of_an_allowed_one():
    whole = quick_check({"type": "array", "items": {"type": "integer", "minimum": 1}})
    assert whole([1, 2, 3])
    assert not whole([1, 2.5, 3])
    assert not whole([1, 0])
    either = {"anyOf": [{"const": 1}, {"const": 3}]}
    assert not quick_check({"type": "array", "items": either})([1, 2, 3])


def test_a_keyword_that_it_does_not_know_is_refused():
    with pytest.raises(ValueError, match="uniqueItems"):
        quick_check({"type": "array", "uniqueItems": True})


def test_text_that_may_hold_control_characters_is_cleaned(tmp_path, make_result):
    """As an escape, as a letter beyond ASCII, and the last of ASCII, which stands for itself."""
    for number, name in enumerate(("a\x1b[31m", "é\x9b", "a\x7f")):
        path = tmp_path / f"{number}.json"
        result = make_result()
        result["runtime"]["name"] = name
        path.write_text(json.dumps(result, ensure_ascii=number == 0), encoding="utf-8")
        read = load_result(path)["runtime"]["name"]
        assert "\ufffd" in read and read.isprintable()


def inlined(part: Any) -> Any:
    """A schema without references."""
    if isinstance(part, list):
        return [inlined(item) for item in part]
    if not isinstance(part, dict):
        return part
    if "$ref" in part:
        return inlined(schema()["$defs"][part["$ref"].removeprefix("#/$defs/")])
    return {key: inlined(item) for key, item in part.items() if key != "$defs"}
