"""Variants of a study as lines over the values of one field."""

from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from noise2map_jax import strict_json
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.config_fields import fields
from noise2map_jax.study.variants import Variant

# Fields that go with the length of training or the amount of data: variants that differ in them
# alone are points of one line.
_GO_WITH = ("num_steps", "num_epochs", "warmup_steps", "eval_every_steps", "checkpoint_every_steps")


def lines_over(
    config: ConfigDict, variants: Sequence[Variant]
) -> list[list[tuple[float, Variant]]]:
    """Group variants that are the same but for the field `study.over`, each with its value.

    Raises:
        UserError: the field is no number, or no two variants differ in it.
    """
    name = config.study.over
    tuned = [text.partition("=")[0].strip() for text in config.study.get("tune", ())]
    lines: dict[str, list[tuple[float, Variant]]] = {}
    for variant in variants:
        own: dict[str, Any] = fields(variant.apply(config))
        value = own.pop(name, None)
        if isinstance(value, bool) or not isinstance(value, int | float):
            found = "no field" if value is None else repr(value)
            raise UserError(
                f"study.over is {name!r}, which is {found} in variant {variant.name!r}; expected a "
                "field that is a number, such as train.num_steps"
            )
        for left_out in (*(f"train.{field}" for field in _GO_WITH), *tuned):
            own.pop(left_out, None)
        own = {k: v for k, v in own.items() if not k.startswith("study.")}
        key = strict_json.dumps(own, sort_keys=True)
        lines.setdefault(key, []).append((float(value), variant))
    if not any(len({value for value, _ in line}) > 1 for line in lines.values()):
        raise UserError(
            f"study.over is {name!r}, but no two variants differ in that field alone; give it "
            "values, as in study.grid=('train.num_steps=500|1000|2000',), or leave study.over out"
        )
    return list(lines.values())
