"""Puts the scores of a study into one JSON file: of each member, and the tables of its page.

    python -m benchmarks study_scores --workdir=runs/recipe_ss --output=recipe_study.json \
        --command="python -m noise2map_jax.main --config=configs/ablate_recipe.py:ss --mode=ablate"

`--workdir` is the folder of a study that `--mode=ablate` has finished.
"""

import argparse
import csv
import json
import pathlib
from typing import Any

from benchmarks import machine
from noise2map_jax.errors import UserError
from noise2map_jax.method.foreground_scores import foreground_f1, foreground_iou
from noise2map_jax.study.member_result import FILES, MemberResult, load
from noise2map_jax.study.result_rows import STUDY_TABLES


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
        "published_on": machine.describe(),
        **of_study(pathlib.Path(arguments.workdir)),
    }
    machine.report(result, arguments.output)


def of_study(workdir: pathlib.Path) -> dict[str, Any]:
    """Read the scores of a study.

    Returns:
        `members`: by variant, seed and split the step of the weights, and foreground F1 and IoU
        in percent, pooled over all tiles; `tables`: the rows of the tables that the study wrote,
        with differences and their intervals.

    Raises:
        UserError: the study has no members with results, or its page was not written.
    """
    members: dict[str, dict[str, Any]] = {}
    for folder in sorted((workdir / "members").glob("*")):
        variant, _, seed = folder.name.rpartition("-")
        found = {split: load(folder, split) for split in FILES}
        scores = {
            split: {"step": result.step, **_percent(result)}
            for split, result in found.items()
            if result
        }
        if scores:
            members.setdefault(variant, {})[seed] = scores
    tables = {
        split: list(csv.DictReader((workdir / table).read_text().splitlines()))
        for split, table in STUDY_TABLES.items()
        if (workdir / table).is_file()
    }
    if not members or not tables:
        raise UserError(f"{workdir} is no finished study: run it to its end with --mode=ablate")
    study = json.loads((workdir / "study.json").read_text())
    return {
        "dataset": study["data"]["dataset"],
        "steps": study["train"]["num_steps"],
        "study": study["study"],
        "members": members,
        "tables": tables,
    }


def _percent(result: MemberResult) -> dict[str, float]:
    pooled = result.confusions.sum(axis=0)
    return {"f1": 100 * float(foreground_f1(pooled)), "iou": 100 * float(foreground_iou(pooled))}
