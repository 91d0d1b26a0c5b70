"""Configs as flat fields with full names: compare two configs, replace values."""

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from flax import traverse_util
from ml_collections import ConfigDict

from noise2map_jax import strict_json

_SECTION = re.compile(r"^tasks\.[^.]+\.")  # section of one task; its fields repeat the common names

Changes = dict[str, tuple[Any, Any]]  # field -> value before and after


def changes(before: ConfigDict, after: ConfigDict) -> Changes:
    """Return the fields in which two configs differ, with both values in their JSON form."""
    one, other = fields(before), fields(after)
    return {
        name: (one.get(name), other.get(name))
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    }


def fields(config: ConfigDict, *, without: Collection[str] = ()) -> dict[str, Any]:
    """Return a config's values in their JSON form, by the full names of their fields.

    Args:
        config: the config.
        without: names of fields to leave out; a name that ends in a dot is a whole section.
    """
    content = json.loads(strict_json.dumps(config.to_dict()))
    flat = traverse_util.flatten_dict(content, sep=".")
    return {name: value for name, value in flat.items() if not is_among(name, without)}


def describe(changed: Changes) -> str:
    """Write changes in one line for people."""
    return ", ".join(f"{k} ({before!r}, now {after!r})" for k, (before, after) in changed.items())


def is_among(field: str, names: Collection[str]) -> bool:
    """Whether `names` holds a field, common or of a task; `train.` names a whole section."""
    field = _SECTION.sub("", field)
    return any(field.startswith(n) if n.endswith(".") else field == n for n in names)


def with_values(config: ConfigDict, values: Mapping[str, Any]) -> ConfigDict:
    """Return a copy in which fields, by full name, have other values (in their JSON form)."""
    content = config.to_dict()
    for field, value in values.items():
        *path, last = field.split(".")
        section = content
        for name in path:
            section = section[name]
        section[last] = value
    return ConfigDict(with_tuples(content))


def with_tuples(value: Any) -> Any:
    """Turn lists, which JSON has in place of tuples, back into tuples at any depth."""
    if isinstance(value, dict):
        return {key: with_tuples(v) for key, v in value.items()}
    return tuple(map(with_tuples, value)) if isinstance(value, list) else value


def digest(config: ConfigDict) -> str:
    """Return the SHA-256 of a config, which tells the maps and exports of two configs apart."""
    content = strict_json.dumps(config.to_dict(), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()
