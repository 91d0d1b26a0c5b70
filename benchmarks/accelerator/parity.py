"""Are the device's numbers right: against golden values of diffusers, and against the CPU."""

import contextlib
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.accelerator.job import Found, Job
from benchmarks.accelerator.reference import random_params
from noise2map_jax.cost.arithmetic import cpu_device
from noise2map_jax.devices.compiler_options import compiler_options
from noise2map_jax.experiment.components import create_process
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.network.interface import find_head
from noise2map_jax.page.measurements import Column, Shown, Table
from noise2map_jax.weights import load_diffusers

GOLDEN = pathlib.Path(__file__).parents[2] / "tests" / "golden"
ERRORS = ("largest_error", "largest_error_of_largest", "typical_error_of_typical")
BACKBONE = "backbone"
WAYS = (("float32", "highest"), ("bfloat16", "default"), ("float32", "default"))
NOTE = (
    "Largest and typical error of the output, over its largest and its typical value. Float32 at "
    "precision highest should agree to about 1e-5; bfloat16 and, on accelerators, the default "
    "multiply with fewer digits. The backbone has random weights, and is compared with the same on "
    "the CPU. The others are small networks of diffusers, with its weights, inputs and outputs."
)


def measure(job: Job) -> None:
    """Compare what was not compared yet."""
    rows = job.found.setdefault("rows", [])
    for row, output, expected in _comparisons(job, len(rows)):
        rows.append(row | errors(output, expected))
        job.save()


def errors(output: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    """Compare an output with what it should be: in its own unit, and as a share of the values."""
    expected = np.asarray(expected, np.float64)
    difference = np.asarray(output, np.float64) - expected
    largest = np.abs(difference).max()
    typical = np.sqrt(np.square(difference).mean() / np.square(expected).mean())
    values = largest, largest / np.abs(expected).max(), typical
    return dict(zip(ERRORS, map(float, values), strict=True))


def _comparisons(job: Job, done: int) -> Iterator[tuple[dict[str, str], np.ndarray, np.ndarray]]:
    """Make the outputs that are still to be compared: the backbone's first."""
    # On a CPU, float32 is what it is compared with, and `default` is `highest`.
    ways = [(BACKBONE, *way) for way in (WAYS if _differs() else WAYS[1:2])]
    ways += [(name, *way) for name in job.size.golden for way in WAYS[: 3 if _differs() else 2]]
    expected = None
    for name, dtype, precision in ways[done:]:
        title = f"{job.size.network} backbone" if name == BACKBONE else name
        job.need(0, f"{title} in {dtype}, {precision}, and what follows")
        row = {"network": title, "dtype": dtype, "precision": precision}
        if name != BACKBONE:
            yield row | {"reference": "diffusers"}, *_golden(name, dtype, precision)
            continue
        if expected is None:
            expected = _backbone(job, "float32", "highest", cpu_device())
        output = _backbone(job, dtype, precision, jax.devices()[0])
        yield row | {"reference": "float32 on the CPU"}, output, expected


def _differs() -> bool:
    """Whether the device is another than the CPU, and so may have products of its own."""
    return jax.default_backend() != "cpu"


def _golden(name: str, dtype: str, precision: str) -> tuple[np.ndarray, np.ndarray]:
    unet, params = load_diffusers(GOLDEN / name, dtype=jnp.dtype(dtype))
    with np.load(GOLDEN / name / "forward.npz") as arrays:
        x, y = (np.moveaxis(arrays[key], 1, -1) for key in ("x", "y"))
        timesteps = arrays["timesteps"]
    with jax.default_matmul_precision(precision):
        return np.asarray(jax.jit(unet.apply)({"params": params}, x, timesteps)), y


def _backbone(job: Job, dtype: str, precision: str, device: jax.Device) -> np.ndarray:
    """Apply the backbone to one image on a device; weights and image are always the same."""
    case = job.case(1, dtype)
    config = case.config()
    config.model.matmul_precision = precision
    model, task = create_model(config), case.task
    process = create_process(config)
    side, bands = case.tile_size, find_head(model, task).num_inputs
    x = np.random.default_rng(1).standard_normal((1, side, side, bands), np.float32)
    arguments = random_params(model, side), x, np.full(1, 999, np.int32)

    def apply(params: Any, x: jax.Array, timesteps: jax.Array) -> Any:
        use = process.use_timestep
        return model.apply({"params": params}, x, timesteps, task=task, use_timestep=use)

    at_home: Any = contextlib.nullcontext()
    if device.platform != jax.default_backend():
        process = jax.device_get(process)
        at_home = jax.default_device(device)
    with at_home:
        jitted = jax.jit(apply, compiler_options=compiler_options([device]))
        return np.asarray(jitted(*jax.device_put(arguments, device)))


def show(found: Found) -> Shown:
    """Show what was found."""
    columns = (
        Column("Network", numeric=False),
        Column("Computed in", numeric=False),
        Column("Compared with", numeric=False),
        Column("Largest error", "absolute"),
        Column("Largest error", "of the largest value"),
        Column("Typical error", "of the typical value"),
    )
    rows = tuple(
        (
            row["network"],
            f"{row['dtype']}, {row['precision']}",
            row["reference"],
            *(f"{row[key]:.1e}" for key in ERRORS),
        )
        for row in found.get("rows", ())
    )
    return Shown(NOTE, (Table("", columns, rows),))
