"""Fields that each variant has a best value of, chosen on validation before variants are compared.

One learning rate does not suit networks of different kinds. So `study.tune` gives the same few
values to every variant; each is trained with each value and with `study.tune_seeds`, which the
comparison should not use again; the value with the highest mean F1 on validation is the variant's.
A value with which a seed fails is not chosen, however well the others did.

tuning/              members of a study of its own: every variant with every value
tuning/chosen.json   the values of each variant, and the F1 of all
"""

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from noise2map_jax import strict_json
from noise2map_jax.errors import UserError
from noise2map_jax.method.foreground_scores import foreground_f1
from noise2map_jax.study.variants import Variant, combinations, parse_variants

FOLDER, CHOSEN = "tuning", "chosen.json"


@dataclasses.dataclass(frozen=True)
class Tuned:
    """What tuning has found for a variant.

    Attributes:
        overrides: `field=value`, the best.
        f1: mean F1 on validation by values, as fractions of 1; NaN if a seed failed, or if it is
            not defined.
    """

    overrides: tuple[str, ...]
    f1: dict[str, float]

    def describe(self) -> str:
        """Say in one line what was chosen among what."""
        scores = ", ".join(
            f"{values}: {'no score' if math.isnan(f1) else f'{100 * f1:.2f}'}"
            for values, f1 in self.f1.items()
        )
        return f"{' '.join(self.overrides)} (F1 on validation: {scores})"


def tuning_config(config: ConfigDict) -> ConfigDict:
    """Return the study in which every variant of another has every value of `study.tune`.

    Raises:
        UserError: values or seeds are missing, or a seed is one of the comparison.
    """
    options = config.study
    seeds = options.tune_seeds
    if not seeds or set(seeds) & set(options.seeds):
        raise UserError(
            f"study.tune_seeds is {seeds} and study.seeds {options.seeds}; expected one or more"
            " that are not among the latter, which would favour what was chosen with them"
        )
    variants = [
        f"{_name(variant, values)}: {' '.join((*variant.overrides, *values.overrides))}"
        for variant in parse_variants(options.variants, options.grid)
        for values in combinations(options.tune, "study.tune")
    ]
    tuning = config.copy_and_resolve_references()
    tuning.study.update(
        variants=tuple(variants),
        grid=(),
        seeds=tuple(seeds),
        reference=variants[0].partition(":")[0],
        tune=(),
        over="",
        num_timesteps=0,
        num_scenes=0,
        cost_repeats=0,
    )
    return tuning


def choose(config: ConfigDict, workdir: pathlib.Path, results: Sequence[tuple[str, Any]]) -> None:
    """Write the best values of each variant.

    Args:
        config: the study that is tuned.
        workdir: its work folder.
        results: name of the variant and result of each member of the tuning study that did not
            fail.

    Raises:
        UserError: a variant has no score with any value.
    """
    num_seeds = len(tuple(config.study.tune_seeds))
    found: dict[str, Tuned] = {}
    for variant in parse_variants(config.study.variants, config.study.grid):
        scores: dict[str, float] = {}
        overrides: dict[str, tuple[str, ...]] = {}
        for values in combinations(config.study.tune, "study.tune"):
            f1 = [
                float(foreground_f1(result.confusions.sum(axis=0)))
                for name, result in results
                if name == _name(variant, values)
            ]
            scores[values.name] = float(np.mean(f1)) if len(f1) == num_seeds else math.nan
            overrides[values.name] = values.overrides
        defined = [name for name, score in scores.items() if not math.isnan(score)]
        if not defined:
            raise UserError(
                f"tuning gives variant {variant.name!r} no score with {', '.join(scores)}: a seed"
                " of each failed, or F1 is not defined on validation; give study.tune other values"
            )
        found[variant.name] = Tuned(overrides[max(defined, key=scores.__getitem__)], scores)
    content = {name: dataclasses.asdict(tuned) for name, tuned in found.items()}
    path = workdir / FOLDER / CHOSEN
    path.with_suffix(".tmp").write_text(strict_json.dumps(content, indent=2) + "\n")
    os.replace(path.with_suffix(".tmp"), path)


def read(workdir: pathlib.Path) -> dict[str, Tuned]:
    """Read what was chosen, by variant; empty if nothing was.

    Raises:
        UserError: the file is damaged.
    """
    path = workdir / FOLDER / CHOSEN
    if not path.is_file():
        return {}
    try:
        return {
            name: Tuned(
                tuple(content["overrides"]),
                {k: math.nan if v is None else float(v) for k, v in content["f1"].items()},
            )
            for name, content in json.loads(path.read_text(encoding="utf-8")).items()
        }
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path} is damaged ({error!r}); delete it, and --mode=ablate writes it again"
        ) from None


def with_chosen(variants: Sequence[Variant], workdir: pathlib.Path) -> list[Variant]:
    """Return the variants with the values that tuning has chosen for them.

    Raises:
        UserError: nothing was chosen for one of them.
    """
    chosen = read(workdir)
    if lacking := [variant.name for variant in variants if variant.name not in chosen]:
        raise UserError(
            f"{workdir} has no tuned values of {', '.join(lacking)}: --mode=ablate finds them"
        )
    return [
        dataclasses.replace(v, overrides=(*v.overrides, *chosen[v.name].overrides))
        for v in variants
    ]


def _name(variant: Variant, values: Variant) -> str:
    return f"{variant.name}, {values.name}"
