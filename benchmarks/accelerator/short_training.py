"""A short training with its score: does the device learn?"""

import math
import time
from typing import Any

import numpy as np

from benchmarks.accelerator.datasets import config_for, dataset_of
from benchmarks.accelerator.job import Found, Job
from noise2map_jax.page.curves import LearningCurve
from noise2map_jax.page.measurements import Column, Shown, Table
from noise2map_jax.reports.parts import learning_curve
from noise2map_jax.train import train

NUM_EVALUATIONS = 4
PROGRAMS = 1.5  # the step's, and the smaller ones of the first state and of evaluation
SHARE = 0.5  # of the time that is left after compiling, for the steps alone: evaluation needs its


def measure(job: Job) -> None:
    """Train for as many steps as there is time for."""
    size = job.size
    config = config_for(job, dataset := dataset_of(job))
    steps = _num_steps(job)
    config.train.num_steps = steps
    config.train.warmup_steps = steps // 10
    config.train.cosine = True
    config.train.max_gradient_norm = 1.0
    config.train.log_every_steps = max(1, steps // 50)
    config.train.eval_every_steps = max(1, steps // NUM_EVALUATIONS)
    config.train.write_report = False
    workdir = job.folder / "training"
    start = time.perf_counter()
    train(config, workdir)
    task = config.task
    curve = learning_curve(workdir, task, config.seed, loss="train/loss", f1="val/f1/foreground")
    f1 = curve.f1[np.isfinite(curve.f1)]
    job.found.update(
        data=dataset.protocol("val"),
        is_drawn=not job.dataset,
        network=size.network,
        dtype=size.dtypes[0],
        steps=steps,
        batch_size=config.train.batch_size,
        seconds=time.perf_counter() - start,
        f1=float(f1.max()) if len(f1) else None,
        curve={
            "loss_steps": curve.loss_steps.tolist(),
            "loss": curve.loss.tolist(),
            "f1_steps": curve.f1_steps.tolist(),
            "f1": curve.f1.tolist(),
        },
    )
    job.save()


def _num_steps(job: Job) -> int:
    """Return how many steps there is time for, by what was measured of the training step."""
    size, rows = job.size, job.results.get("training", {}).get("rows", ())
    rates = [row["images_per_second"] for row in rows if row["dtype"] == size.dtypes[0]]
    seconds = size.train_batch / max(rates) if rates else 0.0
    if not seconds:
        return size.least_steps
    compiling = PROGRAMS * job.compiling("training")
    steps = math.floor(SHARE * (job.seconds_left - compiling) / seconds)
    job.need(compiling + size.least_steps * seconds / SHARE, f"{size.least_steps} steps")
    return min(max(steps, size.least_steps), size.most_steps)


def curve_of(found: Found) -> LearningCurve | None:
    """Return the learning curve; None if nothing was trained."""
    if "curve" not in found:
        return None
    curve: dict[str, Any] = {
        # JSON has no NaN: what was not finite is None.
        name: np.array([np.nan if v is None else v for v in values])
        for name, values in found["curve"].items()
    }
    return LearningCurve("training", 0, **curve)


def show(found: Found) -> Shown:
    """Show the score."""
    if not found:
        return Shown()
    kind = (
        "on drawn scenes, for no dataset was named: the score says that the device learns, and "
        "nothing of real images"
        if found["is_drawn"]
        else "on imagery"
    )
    note = f"Trained {kind}. Validation: {found['data']}. The learning curves are below."
    columns = (
        Column("Network", numeric=False),
        Column("Steps"),
        Column("Batch", "images"),
        Column("Seconds", "with compiling and evaluation"),
        Column("Best F1", "%, of the foreground, validation"),
    )
    f1 = None if found["f1"] is None else 100 * found["f1"]
    name = f"{found['network']}, {found['dtype']}"
    row = name, found["steps"], found["batch_size"], found["seconds"], f1
    return Shown(note, (Table("", columns, (row,)),))
