"""Variants of a study as lines over the values of one field."""

import itertools
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from noise2map_jax import strict_json
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.config_fields import fields
from noise2map_jax.study.variants import Variant

STEPS, EPOCHS = "train.num_steps", "train.num_epochs"
# Fields that go with the length of training: over it, variants may differ in them, too.
_GO_WITH_LENGTH = (
    *(STEPS, EPOCHS, "train.warmup_steps", "train.eval_every_steps"),
    "train.checkpoint_every_steps",
)


class FieldLine(NamedTuple):
    """Variants that are the same but for one field.

    Attributes:
        label: what their names share, or the first of them; unlike that of any other line.
        points: each with its value of the field, ascending.
    """

    label: str
    points: tuple[tuple[float, Variant], ...]


def lines_over(config: ConfigDict, variants: Sequence[Variant]) -> list[FieldLine]:
    """Group variants that are the same but for the field `study.over`.

    Fields of `study.tune` may differ, too; over the length of training, so may what goes with it.

    Raises:
        UserError: the field is no number or has no effect, no two variants differ in it, or two
            with the same value would be one point.
    """
    name, tuned = config.study.over, _tuned(config)
    left_out = (*tuned, *(_GO_WITH_LENGTH if name in (STEPS, EPOCHS) else ()))
    groups: dict[str, dict[float, Variant]] = {}
    for variant in variants:
        own = fields(variant.apply(config))
        value = _value(own, name, variant)
        rest = {
            k: v
            for k, v in own.items()
            if k not in (name, *left_out) and not k.startswith("study.")
        }
        group = groups.setdefault(strict_json.dumps(rest, sort_keys=True), {})
        if value in group:
            raise UserError(
                f"study.over is {name!r}: variants {group[value].name!r} and {variant.name!r} both "
                f"have {value:g} and would be one point; leave one of them out"
            )
        group[value] = variant
    if all(len(group) == 1 for group in groups.values()):
        raise UserError(
            f"study.over is {name!r}, but no two variants differ in that field alone; give it "
            f"values, as in study.grid=('{name}=VALUE|VALUE',), or leave study.over out"
        )
    lines = [tuple(sorted(group.items(), key=lambda pair: pair[0])) for group in groups.values()]
    labels = [_label(name, [variant.name for _, variant in points]) for points in lines]
    if len(set(labels)) < len(labels):  # names share the same beginning
        labels = [points[0][1].name for points in lines]
    return [FieldLine(label, points) for label, points in zip(labels, lines, strict=True)]


def _tuned(config: ConfigDict) -> list[str]:
    return [text.partition("=")[0].strip() for text in config.study.get("tune", ())]


def _value(own: dict[str, Any], name: str, variant: Variant) -> float:
    value = own.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        found = "no field" if value is None else repr(value)
        raise UserError(
            f"study.over is {name!r}, which is {found} in variant {variant.name!r}; expected a "
            f"field that is a number, such as {STEPS}"
        )
    if name == EPOCHS and own[STEPS]:
        raise UserError(
            f"study.over is {name!r}, which has no effect in variant {variant.name!r}, because "
            f"{STEPS} is {own[STEPS]}; set that to 0, or take study.over={STEPS}"
        )
    return float(value)


def _label(field: str, names: Sequence[str]) -> str:
    """Return what names of variants share; a grid writes the field's last part and its value."""
    written = re.compile(rf"(?:^|, ){re.escape(field.rpartition('.')[2])}=[^,]*")
    without = {written.sub("", name).strip(", ") for name in names}
    shared = without.pop() if len(without) == 1 else ""
    if not shared:  # the beginning that all names have
        alike = itertools.takewhile(
            lambda letters: len(set(letters)) == 1, zip(*names, strict=False)
        )
        shared = "".join(letters[0] for letters in alike)
    return shared.strip(" ,:=_-") or names[0]
