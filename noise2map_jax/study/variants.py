"""Named variants of an experiment, read from strings and applied to configs."""

import ast
import dataclasses
import hashlib
import itertools
import math
import re
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from noise2map_jax.errors import UserError

LONGEST_SLUG = 100  # characters; with the seed it must fit into a file name
MOST_VARIANTS = 1000
# Fields that no variant may set: members that differ in them could not be compared.
SHARED = ("task", "tasks", "seed", "data", "mesh", "eval", "study")

_PUBLISHED = (
    *("noise.kind=structured", "noise.schedule=linear", "noise.num_train_timesteps=1000"),
    *("noise.beta_start=1e-4", "noise.beta_end=0.02", "noise.mix=default"),
    *("noise.timestep_range=0,0", "noise.min_contrast=0.0", "noise.contrast_power=0.0"),
    *("noise.inference_timesteps=-1,", "noise.use_timestep=True"),
)
# Each control sets the whole noise process, so its name means the same in every study.
CONTROLS: dict[str, tuple[str, ...]] = {
    "paper": _PUBLISHED,
    "clean": (*_PUBLISHED, "noise.kind=clean"),  # no noise, no timestep
    "clean_timestep": (*_PUBLISHED, "noise.kind=clean_timestep"),
    "gaussian": (*_PUBLISHED, "noise.mix=gaussian"),
    "self": (*_PUBLISHED, "noise.mix=image"),
    "swap": (*_PUBLISHED, "noise.mix=swap"),  # for pairs only
}


@dataclasses.dataclass(frozen=True)
class Variant:
    """A variant of an experiment, to compare with others.

    Attributes:
        name: name of the variant.
        overrides: `field=value`, as on the command line without `--config.`.
    """

    name: str
    overrides: tuple[str, ...]

    @property
    def slug(self) -> str:
        """The name as a file name, shortened if it is too long."""
        slug = re.sub(r"[^A-Za-z0-9._=,+-]+", "_", self.name)
        if len(slug) <= LONGEST_SLUG:
            return slug
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:12]
        return f"{slug[: LONGEST_SLUG - 13]}-{digest}"

    def describe(self) -> str:
        """Describe in one line what the variant changes."""
        control = CONTROLS.get(self.name)
        if control and self.overrides[: len(control)] == control:
            what = {
                "paper": "the published noise process",
                "clean": "no noise, and no timestep",
                "clean_timestep": "no noise, but a timestep",
                "gaussian": "Gaussian noise in place of structured noise",
                "self": "the image itself as noise",
                "swap": "the pair with its dates exchanged as noise",
            }[self.name]
            return " ".join((what, *self.overrides[len(control) :]))
        return " ".join(self.overrides) or "the experiment as it is"

    def apply(self, config: ConfigDict) -> ConfigDict:
        """Return a copy of an experiment with this variant's values.

        Raises:
            UserError: a field does not exist or is in `SHARED`, or a value has the wrong type.
        """
        config = config.copy_and_resolve_references()
        for override in self.overrides:
            _set_field(config, override, self.name)
        return config


def parse_variants(variants: Sequence[str], grid: Sequence[str]) -> list[Variant]:
    """Read the variants of a study from its config.

    Args:
        variants: `NAME`, one of `CONTROLS`, or `NAME: FIELD=VALUE FIELD=VALUE ...`, with values as
            on the command line.
        grid: `FIELD=VALUE|VALUE|...`; each combination of values is another variant, named by its
            values.

    Raises:
        UserError: a name is unknown or comes twice, an entry of the grid is empty, or there are no
            variants.
    """
    for name, texts in (("variants", variants), ("grid", grid)):
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise UserError(f"study.{name} is {texts!r}; expected strings, such as ('paper',)")
    found = [_parse(text) for text in variants] + combinations(grid)
    if not found:
        raise UserError("study.variants and study.grid are empty; there is nothing to compare")
    by_slug: dict[str, Variant] = {}
    for variant in found:
        other = by_slug.setdefault(variant.slug, variant)
        if other is not variant:
            raise UserError(
                f"study: variant {variant.name!r} comes twice"
                + (f", as {other.name!r}" if other.name != variant.name else "")
                + "; give every variant its own name, different in a-z, A-Z, 0-9 and ._=,+-"
            )
    return found


def _parse(text: str) -> Variant:
    name, colon, rest = text.partition(":")
    name, overrides = name.strip(), tuple(rest.split())
    if not name:
        raise UserError(f"study.variants: {text!r} has no name; expected NAME: FIELD=VALUE ...")
    if not colon:
        if name not in CONTROLS:
            raise UserError(
                f"study.variants: {name!r} is none of {', '.join(CONTROLS)}; "
                "a variant of your own is written NAME: FIELD=VALUE ..."
            )
        return Variant(name, CONTROLS[name])
    if name in CONTROLS:
        raise UserError(
            f"study.variants: {name!r} is the name of a control, which means the same in every "
            "study; choose another name"
        )
    return Variant(name, overrides)


def combinations(grid: Sequence[str], field_name: str = "study.grid") -> list[Variant]:
    """Return a variant for each combination of values, named by its values.

    Args:
        grid: `FIELD=VALUE|VALUE|...`, one a field.
        field_name: what messages call it.

    Raises:
        UserError: an entry is empty, comes twice, or there are too many combinations.
    """
    axes: list[list[str]] = []
    for text in grid:
        field, equals, values = (part.strip() for part in text.partition("="))
        options = [value.strip() for value in values.split("|")]
        if not equals or not field or not all(options):
            raise UserError(
                f"{field_name}: {text!r} is empty or has an empty value; expected "
                "FIELD=VALUE|VALUE|..."
            )
        if any(axis[0].startswith(f"{field}=") for axis in axes):
            raise UserError(f"{field_name}: {field} comes twice; give all its values at once")
        axes.append([f"{field}={value}" for value in options])
    if not axes:
        return []
    if (number := math.prod(map(len, axes))) > MOST_VARIANTS:
        raise UserError(f"{field_name} has {number} combinations; expected at most {MOST_VARIANTS}")
    return [
        Variant(", ".join(_short(override) for override in overrides), overrides)
        for overrides in itertools.product(*axes)
    ]


def _short(override: str) -> str:
    field, _, value = override.partition("=")
    return f"{field.rpartition('.')[2]}={value}"


def _set_field(config: ConfigDict, override: str, variant: str) -> None:
    field, equals, text = override.partition("=")
    *path, last = field.split(".")
    if not equals:
        raise UserError(f"variant {variant!r}: {override!r} is not of the form FIELD=VALUE")
    if (path or [last])[0] in SHARED:
        raise UserError(
            f"variant {variant!r} sets {field}; all variants of a study share {', '.join(SHARED)}"
        )
    section: Any = config
    for name in path:
        section = section.get(name) if isinstance(section, ConfigDict) else None
    if not isinstance(section, ConfigDict) or last not in section:
        raise UserError(
            f"variant {variant!r}: no such config field {field!r}; configs/default.py lists them"
        )
    try:
        section[last] = _parse_value(text, section[last])
    except (TypeError, ValueError, SyntaxError):
        kind = type(section[last]).__name__
        raise UserError(f"variant {variant!r}: {override!r}; expected a {kind}") from None


def _parse_value(text: str, like: Any) -> Any:
    """Parse a value that must have the type of `like`."""
    if isinstance(like, str):
        return text
    value = ast.literal_eval(text)
    if isinstance(like, tuple):
        values = tuple(value) if isinstance(value, tuple | list) else (value,)
        kinds = {type(item) for item in like} or {int, float}
        if not {type(item) for item in values} <= kinds:
            raise TypeError
        return values
    if isinstance(like, float) and type(value) is int:
        return float(value)
    if type(value) is not type(like):
        raise TypeError
    return value
