"""Puts the scores of a study into one JSON file: of each member, and the tables of its page.

    python -m benchmarks study_scores --workdir=runs/recipe_ss --output=recipe_study.json \
        --command="python -m noise2map_jax.main --config=configs/ablate_recipe.py:ss --mode=ablate"

`--workdir` is the folder of a study that `--mode=ablate` has finished.
"""

import argparse
import csv
import math
import pathlib
import statistics
from typing import Any

from scipy import stats

from benchmarks import machine
from noise2map_jax.errors import UserError
from noise2map_jax.method.foreground_scores import foreground_f1, foreground_iou
from noise2map_jax.study.member_result import FILES, load
from noise2map_jax.study.record import STUDY, present_config
from noise2map_jax.study.result_rows import STUDY_TABLES
from noise2map_jax.study.variants import parse_variants


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--workdir", required=True, help="the folder of a finished study")
    parser.add_argument(
        "--command", required=True, help="the command of the study, to be kept with its scores"
    )


def run(arguments: argparse.Namespace) -> None:
    """Read, and print the result."""
    result = {
        "command": arguments.command,
        "summed_up_on": machine.describe(),
        **of_study(pathlib.Path(arguments.workdir)),
    }
    machine.report(result, arguments.output)


def of_study(workdir: pathlib.Path) -> dict[str, Any]:
    """Read the scores of a study.

    Returns:
        `members`: by variant, seed and split the step of the weights, and foreground F1 and IoU
        in percent, pooled over all tiles. `over_seeds`: by variant its mean F1 on validation, the
        mean difference to the reference with the same seeds, and the 95 % interval of that by a
        t-test on the seeds' differences, not corrected for several comparisons: it holds for other
        seeds on the same tiles. `tables`: the tables that the study wrote, whose intervals hold for
        other places too, and for all comparisons together.

    Raises:
        UserError: a member has no result yet, or the page of the study was not written.
    """
    if not (workdir / STUDY).is_file():
        raise UserError(f"{workdir} is no study: it has no {STUDY}")
    config = present_config(workdir)
    options = config.study
    variants = parse_variants(options.variants, options.grid)
    members = {
        variant.name: {
            seed: _scores(workdir / "members" / f"{variant.slug}-{seed}") for seed in options.seeds
        }
        for variant in variants
    }
    tables = {
        split: list(csv.DictReader((workdir / table).read_text().splitlines()))
        for split, table in STUDY_TABLES.items()
        if (workdir / table).is_file()
    }
    if not tables:
        raise UserError(f"{workdir} is no finished study: run it to its end with --mode=ablate")
    return {
        "dataset": config.data.dataset,
        "steps": config.train.num_steps,
        "study": options.to_dict(),
        "members": members,
        "over_seeds": _over_seeds(members, options.reference),
        "tables": tables,
    }


def _scores(folder: pathlib.Path) -> dict[str, Any]:
    results = {split: result for split in FILES if (result := load(folder, split))}
    if "val" not in results:
        raise UserError(f"{folder} has no result yet: run the study to its end with --mode=ablate")
    scores = {}
    for split, result in results.items():
        pooled = result.confusions.sum(axis=0)
        f1, iou = float(foreground_f1(pooled)), float(foreground_iou(pooled))
        scores[split] = {"step": result.step, "f1": 100 * f1, "iou": 100 * iou}
    return scores


def _over_seeds(members: dict[str, Any], reference: str) -> dict[str, Any]:
    """Return means over seeds, and differences to the reference with intervals."""
    found = {}
    for name, by_seed in members.items():
        own = [scores["val"]["f1"] for scores in by_seed.values()]
        row: dict[str, Any] = {"f1": statistics.mean(own)}
        if name != reference:
            others = [scores["val"]["f1"] for scores in members[reference].values()]
            row["difference"], row["interval"] = _difference(own, others)
        found[name] = row
    return found


def _difference(own: list[float], others: list[float]) -> tuple[float, list[float] | None]:
    differences = [f - g for f, g in zip(own, others, strict=True)]
    mean, seeds = statistics.mean(differences), len(differences)
    if seeds < 2:
        return mean, None
    half = stats.t.ppf(0.975, seeds - 1) * statistics.stdev(differences) / math.sqrt(seeds)
    return mean, [mean - float(half), mean + float(half)]
