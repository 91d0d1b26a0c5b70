"""Sums up the scores of one recipe over seeds: mean, spread, groups, calibration.

Each run is evaluated first, on the split that is asked for:

    python -m noise2map_jax.main --workdir=runs/ss_0 --mode=eval --config.eval.split=test
"""

import argparse
import json
import pathlib
import statistics
from typing import Any

from benchmarks import machine
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.run_config import load_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--workdirs", nargs="+", required=True, help="evaluated runs")
    parser.add_argument("--split", default="test")


def run(arguments: argparse.Namespace) -> None:
    """Read, sum up, and print the result."""
    rows = [of_run(pathlib.Path(workdir), arguments.split) for workdir in arguments.workdirs]
    result = {
        "summed_up_on": machine.describe(),
        "command": f"python -m benchmarks recipes --split={arguments.split} --workdirs "
        + " ".join(pathlib.Path(workdir).name for workdir in arguments.workdirs),
        "split": arguments.split,
        "summary": summary(rows),
        "runs": rows,
    }
    machine.report(result, arguments.output)


def of_run(workdir: pathlib.Path, split: str) -> dict[str, Any]:
    """Read what a run's evaluation wrote.

    Raises:
        UserError: the run was not evaluated on this split.
    """
    path = workdir / "report" / f"scores_{split}.json"
    if not path.is_file():
        raise UserError(
            f"{path} is not there: evaluate the run first, with --mode=eval "
            f"--config.eval.split={split}"
        )
    found = json.loads(path.read_text())
    config = load_config(workdir)
    return {
        "seed": config.seed,
        "steps": config.train.num_steps,
        "init_from": pathlib.Path(config.init_from).name,
        "step": found["step"],
        "protocol": found["protocol"],
        "scores": found["scores"],
        "records": found["records"],
        "f1_at_threshold_of_validation": found.get("f1_at_threshold_of_validation"),
        "calibration": [
            {name: value for name, value in one.items() if name != "reliability"}
            for one in found.get("calibration", [])
        ],
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Return mean, spread, least and most foreground F1 of each group of tiles, over runs.

    Raises:
        UserError: the runs were not scored on the same records by the same rules.
    """
    for name in ("protocol", "records"):
        if len({row[name] for row in rows}) > 1:
            raise UserError(
                f"the runs differ in {name}: {' | '.join(sorted({row[name] for row in rows}))}; "
                "give runs that were scored on the same split"
            )
    groups = [group for group in rows[0]["scores"] if all(group in row["scores"] for row in rows)]
    values = {group: [row["scores"][group]["f1/foreground"] for row in rows] for group in groups}
    values["at the threshold of validation"] = [
        row["f1_at_threshold_of_validation"] for row in rows
    ]
    return {
        group: spread(found) for group, found in values.items() if not any(f is None for f in found)
    }


def spread(values: list[float]) -> dict[str, float | None]:
    """Return mean, standard deviation (None for one value), least and most."""
    return {
        "mean": statistics.mean(values),
        "standard_deviation": statistics.stdev(values) if len(values) > 1 else None,
        "least": min(values),
        "most": max(values),
    }
