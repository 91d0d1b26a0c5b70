"""JSON that is written has no NaN and no infinity."""

import json
import pathlib
import re

import programs
import pytest

import data_prep.basics.strict_json
import noise2map_jax.strict_json

DOORS = (noise2map_jax.strict_json, data_prep.basics.strict_json)


def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")


@pytest.mark.parametrize("door", DOORS)
def test_what_is_no_number_becomes_null_at_any_depth(door):
    nan, infinite = float("nan"), float("inf")
    content = {"a": nan, "b": [1.5, (infinite, {"c": -infinite})], "d": "NaN", "e": True, "f": None}
    text = door.dumps(content)
    assert json.loads(text, parse_constant=refuse) == {
        **{"a": None, "b": [1.5, [None, {"c": None}]]},
        **{"d": "NaN", "e": True, "f": None},
    }


@pytest.mark.parametrize("door", DOORS)
def test_other_content_is_written_as_ever(door):
    """Digests of configs and questions are of this text, and those on disk stay valid."""
    content = {"b": [1, 2.5, "ä"], "a": {"c": ()}}
    for options in ({}, {"indent": 2}, {"sort_keys": True}, {"ensure_ascii": False}):
        assert door.dumps(content, **options) == json.dumps(content, **options)


@pytest.mark.parametrize("package", ["noise2map_jax", "data_prep"])
def test_there_is_no_other_door(package):
    past = [
        str(path)
        for path in pathlib.Path(programs.ROOT, package).rglob("*.py")
        if path.name != "strict_json.py"
        and re.search(r"(?<!strict_)json\.dumps?\(", path.read_text(encoding="utf-8"))
    ]
    assert past == []
