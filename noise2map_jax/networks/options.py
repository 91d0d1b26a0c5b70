"""Options of a network: attributes that differ from the published ones."""

import dataclasses
import math
from collections.abc import Collection, Mapping
from typing import Any

import flax.linen as nn

from noise2map_jax.errors import UserError

_OWN_FIELDS = {"num_classes", "dtype", "param_dtype", "parent", "name"}
_FROM_ZERO = ("timesteps", "output_indices")  # numbers of things, not how many there are


def with_options(
    module: nn.Module, options: Any, name: str, without: Collection[str] = ()
) -> nn.Module:
    """Return a network with other attributes.

    Args:
        module: the network as published.
        options: values by attribute, of the kind that the published ones have; those of a module
            within are a dictionary.
        name: what messages call the network.
        without: attributes that are no options.

    Raises:
        UserError: there is no such attribute, or its value is of another kind or out of range.
    """
    fixed = {*_OWN_FIELDS, *without}
    known = [f.name for f in dataclasses.fields(module) if f.name not in fixed]
    if not isinstance(options, Mapping):
        raise UserError(
            f"model.options: {name} is {options!r}; expected fields, some of {', '.join(known)}"
        )
    if unknown := sorted(set(options) - set(known)):
        raise UserError(
            f"model.options: {name} has no {', '.join(unknown)}; it has {', '.join(known)}"
        )
    changed: dict[str, Any] = {}
    for key, value in options.items():
        published = getattr(module, key)
        if isinstance(published, nn.Module):
            changed[key] = with_options(published, value, f"{name}'s {key}")
            continue
        expected = _expected(key, published)
        if not _fits(key, value, published):
            raise UserError(f"model.options: {name}'s {key} is {value!r}; expected {expected}")
        changed[key] = value
    return module.clone(**changed)


def _fits(key: str, value: Any, published: Any) -> bool:
    """Whether a value is of the kind of the published one, and in its range."""
    if published is None or isinstance(published, tuple):
        item = published[0] if published else 1
        return (
            isinstance(value, tuple)
            and bool(value)
            and all(_fits(key, entry, item) for entry in value)
        )
    if isinstance(published, float):
        number = type(value) in (int, float) and math.isfinite(value)
        return number and (0 <= value < 1 if key.endswith("rate") else value > 0)
    if type(published) is int:
        return type(value) is int and value >= (0 if key in _FROM_ZERO else 1)
    return type(value) is type(published)


def _expected(key: str, published: Any) -> str:
    """Say what `_fits` accepts."""
    least = 0 if key in _FROM_ZERO else 1
    if published is None or isinstance(published, tuple):
        return f"whole numbers, each {least} or more, such as {list(published or (2, 5, 8, 11))}"
    if isinstance(published, bool):
        return "true or false"
    if isinstance(published, float):
        return "0 or more and less than 1" if key.endswith("rate") else "a number above 0"
    return f"a whole number, {least} or more" if isinstance(published, int) else "a text"
