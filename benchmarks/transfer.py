"""Measures the gain from pretraining and from sharing a backbone: F1 over seeds, arm by arm.

Each arm is `configs/multitask_buildings.py` with the same number of steps: segmentation (ss),
change detection (cd) or both, from random values or from a pretrained denoiser. Finished runs are
not repeated. All arms run with one seed before the next seed, so an interrupted study is a valid
smaller one. Arms are compared on validation; `--split=test` gives the final numbers, once, and
trains nothing.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time
from typing import Any

from scipy import stats

from benchmarks import machine
from noise2map_jax.study.comparison import SIGNIFICANCE

CONFIG = "configs/multitask_buildings.py"
LEFT_OUT = {"ss": "cd", "cd": "ss"}
ARMS = {
    "ss random": ("ss", False),
    "ss pretrained": ("ss", True),
    "cd random": ("cd", False),
    "cd pretrained": ("cd", True),
    "both random": ("both", False),
    "both pretrained": ("both", True),
}
# Task, and the two arms whose difference is reported: the first minus the second.
COMPARED = (
    ("ss", "ss pretrained", "ss random"),
    ("cd", "cd pretrained", "cd random"),
    ("ss", "both random", "ss random"),
    ("cd", "both random", "cd random"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--pretrained", required=True, help="work folder of the denoiser")
    parser.add_argument("--data_dir", default="data")
    parser.add_argument(
        "--workdir", default="runs/transfer", help="folder with a subfolder for each run"
    )
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument(
        "--split", choices=("val", "test"), default="val", help="split of the scores"
    )
    parser.add_argument("--num_seeds", type=int, default=3)
    parser.add_argument("--num_steps", type=int, default=300)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--timestep_range", default="", help="range of t in training: first,last")
    parser.add_argument("--inference_timestep", type=int, help="t of prediction")
    parser.add_argument(
        "--sample_size", type=int, default=64, help="side in pixels that tiles are resampled to"
    )


def run(arguments: argparse.Namespace) -> None:
    """Train, evaluate and report."""
    result: dict[str, Any] = {
        "benchmark": "transfer",
        "machine": machine.describe(),
        "options": {k: v for k, v in vars(arguments).items() if k not in ("name", "output")},
        "runs": [],
    }
    for seed in range(arguments.num_seeds):
        for arm in arguments.arms:
            result["runs"].append(_run(arm, seed, arguments))
            result["f1"] = summary(result["runs"])
            result["differences"] = differences(result["runs"])
            machine.report(result, arguments.output)


def _run(arm: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    tasks, pretrained = ARMS[arm]
    workdir = pathlib.Path(arguments.workdir) / f"{arm.replace(' ', '_')}_{seed}"
    options = [
        f"--config={CONFIG}",
        f"--workdir={workdir}",
        f"--config.seed={seed}",
        f"--config.train.num_steps={arguments.num_steps}",
        f"--config.train.batch_size={arguments.batch_size}",
        f"--config.model.sample_size={arguments.sample_size}",
        "--config.train.eval_every_steps=100",
        *(f"--config.tasks.{task}.data.data_dir={arguments.data_dir}" for task in LEFT_OUT),
    ]
    scored = list(LEFT_OUT) if tasks == "both" else [tasks]
    for task in scored:
        noise = f"--config.tasks.{task}.noise"
        if arguments.timestep_range:
            options.append(f"{noise}.timestep_range={arguments.timestep_range}")
        if arguments.inference_timestep is not None:
            options.append(f"{noise}.inference_timesteps={arguments.inference_timestep},")
    if tasks in LEFT_OUT:
        options.append(f"--config.tasks.{LEFT_OUT[tasks]}.weight=0.0")
    if pretrained:
        options += [f"--config.init_from={arguments.pretrained}", "--config.init_input=inflate"]
    files = {task: workdir / "report" / f"scores_{arguments.split}_{task}.json" for task in scored}
    done = workdir / "transfer.json"  # written after training
    if done.is_file():
        record = json.loads(done.read_text())
        if record["options"] != options:
            sys.exit(f"error: {workdir} was run with other options; choose another --workdir")
    else:
        start = time.monotonic()
        _main(*options, "--mode=train")
        record = {"options": options, "seconds": time.monotonic() - start}
        done.write_text(json.dumps(record, indent=2) + "\n")
    if not all(path.is_file() for path in files.values()):
        _main(*options, "--mode=eval", f"--config.eval.split={arguments.split}")
    scores = {k: json.loads(path.read_text())["scores"]["all tiles"] for k, path in files.items()}
    return {
        "arm": arm,
        "seed": seed,
        "f1": {task: values["f1/foreground"] for task, values in scores.items()},
        "iou": {task: values["iou/mean"] for task, values in scores.items()},
        "seconds": record["seconds"],
    }


def _main(*options: str) -> None:
    command = [sys.executable, "-m", "noise2map_jax.main", *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and standard deviation over the seeds, for each arm and task."""
    found: dict[str, list[float]] = {}
    for entry in runs:
        for task, f1 in entry["f1"].items():
            found.setdefault(f"{entry['arm']}: {task}", []).append(f1)
    return {
        name: {
            "mean": statistics.mean(values),
            "standard_deviation": statistics.stdev(values) if len(values) > 1 else None,
            "seeds": len(values),
        }
        for name, values in found.items()
    }


def differences(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the differences between arms, over the seeds that both arms have.

    The intervals are Student's, over seeds alone; in 95 % of cases all of them hold at once. They
    do not cover a change of places. With a single seed the interval is None.
    """
    by_arm = {(entry["arm"], entry["seed"]): entry["f1"] for entry in runs}
    pairs = []
    for task, arm, other in COMPARED:
        seeds = sorted(s for a, s in by_arm if a == arm and (other, s) in by_arm)
        if seeds:
            of_seeds = [by_arm[arm, s][task] - by_arm[other, s][task] for s in seeds]
            pairs.append((f"{arm} less {other}: {task}", of_seeds))
    return [
        {
            "name": name,
            "mean": statistics.mean(values),
            "interval_over_seeds": list(
                stats.t.interval(
                    1 - SIGNIFICANCE / len(pairs),
                    len(values) - 1,
                    statistics.mean(values),
                    stats.sem(values),
                )
            )
            if len(values) > 1
            else None,
            "seeds": len(values),
        }
        for name, values in pairs
    ]
