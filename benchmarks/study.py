"""Times a study of 8 schedules x 3 seeds against 24 runs of `--mode=train`, one after another.

Times are wall times of whole commands: start-up, compiling and data included. A single run is
trained and evaluated on the validation split just like a member of the study.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import time
from typing import Any

from benchmarks import machine
from benchmarks.study_config import SCHEDULES

CONFIG = "benchmarks/study_config.py"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--data_dir", default="demo/data", help="folder with demo_ss, see `make demo`"
    )
    parser.add_argument("--workdir", default="runs/benchmark_study", help="an empty folder")
    parser.add_argument(
        "--num_schedules", type=int, default=len(SCHEDULES), help="number of schedules in the study"
    )
    parser.add_argument("--num_seeds", type=int, default=3)
    parser.add_argument("--num_steps", type=int, default=300)
    parser.add_argument(
        "--executions",
        nargs="+",
        default=["auto"],
        help="ways to run the study: auto, dispatch, vmap, devices",
    )
    parser.add_argument(
        "--num_alone",
        type=int,
        help="single runs to time (default all); the time of fewer is scaled up to all",
    )


def run(arguments: argparse.Namespace) -> None:
    """Time both ways and report."""
    workdir = pathlib.Path(arguments.workdir)
    if workdir.exists() and any(workdir.iterdir()):
        sys.exit(f"error: {workdir} is not empty: work done before would not be timed")
    schedules = list(SCHEDULES.values())[: arguments.num_schedules]
    members = [(text, seed) for seed in range(arguments.num_seeds) for text in schedules]
    num_alone = len(members) if arguments.num_alone is None else arguments.num_alone
    result: dict[str, Any] = {
        "benchmark": "study",
        "machine": machine.describe(),
        "options": {k: v for k, v in vars(arguments).items() if k not in ("name", "output")},
        "members": len(members),
        "study": {},
    }
    # Every n-th member, so that schedules and seeds are covered evenly.
    chosen = members[:: max(1, len(members) // num_alone)][:num_alone]
    seconds = [
        _alone(text, seed, workdir / f"alone_{i}", arguments)
        for i, (text, seed) in enumerate(chosen)
    ]
    total = sum(seconds) * len(members) / len(seconds)
    result["alone"] = {
        "runs_timed": len(seconds),
        "seconds_a_run": machine.median_and_spread(seconds),
        "seconds_of_all": total,
        "is_extrapolated": len(seconds) < len(members),
    }
    for kind in arguments.executions:
        took = _study(kind, workdir / kind, arguments)
        result["study"][kind] = took | {"times_less": total / took["seconds"]}
        machine.report(result, arguments.output)


def _study(kind: str, workdir: pathlib.Path, arguments: argparse.Namespace) -> dict[str, Any]:
    named = list(SCHEDULES.items())[: arguments.num_schedules]
    variants = tuple(f"{name}: {overrides}" for name, overrides in named)
    start = time.monotonic()
    _main(
        f"--config={CONFIG}:study",
        "--mode=ablate",
        f"--workdir={workdir}",
        f"--config.study.execution={kind}",
        f"--config.study.variants={variants}",
        f"--config.study.seeds={tuple(range(arguments.num_seeds))}",
        *_options(arguments),
    )
    took: dict[str, Any] = {"seconds": time.monotonic() - start}
    for path in (workdir / "executions").glob("*.json"):
        took["seconds_a_step_of_a_member"] = json.loads(path.read_text())
    return took


def _alone(
    overrides: str, seed: int, workdir: pathlib.Path, arguments: argparse.Namespace
) -> float:
    options = [
        f"--config={CONFIG}:alone",
        f"--workdir={workdir}",
        f"--config.seed={seed}",
        "--config.eval.split=val",
        *(f"--config.{override}" for override in overrides.split()),
        *_options(arguments),
    ]
    start = time.monotonic()
    for mode in ("train", "eval"):
        _main(*options, f"--mode={mode}")
    return time.monotonic() - start


def _options(arguments: argparse.Namespace) -> list[str]:
    return [
        f"--config.data.data_dir={arguments.data_dir}",
        f"--config.train.num_steps={arguments.num_steps}",
    ]


def _main(*options: str) -> None:
    command = [sys.executable, "-m", "noise2map_jax.main", *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
