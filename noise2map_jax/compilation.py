"""The program `--mode=compile`: whether a config fits into memory, and how fast it can be at most.

It compiles the training step of `--mode=train` from shapes alone, for the devices of this machine
or for a TPU slice. It needs neither data nor an accelerator.
"""

import dataclasses
import pathlib
import re
import time
from typing import Any

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from noise2map_jax import strict_json
from noise2map_jax.cost.abstract_step import AbstractStep, create_abstract_step
from noise2map_jax.cost.accelerators import GIB, Accelerator, accelerator_of
from noise2map_jax.cost.step_cost import StepCost, step_cost
from noise2map_jax.cost.topologies import topology_devices
from noise2map_jax.devices.sharding import create_mesh
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.components import count_params
from noise2map_jax.experiment.task_configs import task_configs
from noise2map_jax.network.matmul_precision import describe_precision

_AMOUNT = re.compile(r"\b\d+\.\d+[KMGT]\b")  # in the compiler's message: needed, available
WHAT_TO_CHANGE = (
    "use a smaller train.batch_size, more train.num_microbatches, train.remat=blocks, or "
    "model.dtype=bfloat16; mesh.fsdp splits parameters and optimiser"
)


def compile_step(
    config: ConfigDict, workdir: pathlib.Path, topology: str = "", num_slices: int = 1
) -> None:
    """Compile the training step, print its costs, and write them to `compile/*.json`.

    Args:
        config: an experiment.
        workdir: the folder for `compile/`.
        topology: a TPU slice such as `v5e:16x16`; empty = the devices of this machine.
        num_slices: number of such slices.

    Raises:
        UserError: a field is wrong, there is no such slice, or the step does not fit.
    """
    if "study" in config:
        raise UserError("this config is a study of several networks: compile its base config")
    if num_slices != 1 and not topology:
        raise UserError(f"--num_slices={num_slices} needs --topology, the shape of one slice")
    if num_slices < 1:
        raise UserError(f"--num_slices is {num_slices}; expected 1 or more")
    if jax.process_count() > 1:
        raise UserError("--mode=compile runs in one process; it does not need other devices")
    devices = topology_devices(topology, num_slices) if topology else None
    mesh = create_mesh(config.mesh.fsdp, devices)
    step = create_abstract_step(config, mesh)
    name = (topology or mesh.devices.flat[0].device_kind) + (
        f" x {num_slices}" if num_slices > 1 else ""
    )
    print(_about(config, step, mesh, name), flush=True)
    start = time.perf_counter()
    compiled = _compile(step, name)
    seconds = time.perf_counter() - start
    cost = step_cost(compiled, step.state, step.num_loops)
    accelerator = accelerator_of(mesh.devices.flat[0])
    num_images = config.train.batch_size * len(task_configs(config))
    print(f"compiled    in {seconds:.0f} s\n")
    print(describe(cost, accelerator, num_images, mesh.size))
    content = {
        "devices": name,
        "num_devices": mesh.size,
        "mesh": dict(mesh.shape),
        "images_a_step": num_images,
        "dtype": config.model.dtype,
        "matmul_precision": config.model.matmul_precision,
        "num_microbatches": config.train.num_microbatches,
        "compile_seconds": seconds,
        "jax": jax.__version__,
        **{k: v for k, v in dataclasses.asdict(cost).items() if k != "collectives"},
        "memory": cost.memory,
        "sent": cost.sent(),
        "seconds": cost.seconds(accelerator) if accelerator else {},
        "estimated_seconds": cost.estimated_seconds(accelerator) if accelerator else None,
    }
    path = workdir / "compile" / (re.sub(r"[^0-9a-z]+", "_", name.lower()).strip("_") + ".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(strict_json.dumps(content, indent=2) + "\n")
    print(f"\nwritten: {path}")


def describe(
    cost: StepCost, accelerator: Accelerator | None, num_images: int, num_devices: int
) -> str:
    """Describe the costs of a step on one device, whether it fits, and its largest speed.

    Args:
        cost: the costs of a step on one device.
        accelerator: the limits of a device; None if they are not known.
        num_images: images a step, over all devices.
        num_devices: number of devices.
    """
    own = num_images / num_devices
    lines = ["memory of a device"]
    parts = ("parameters", "optimizer", "averages", "batch", "temporary", "code")
    names = ("parameters", "optimiser", "averaged parameters", "batch", "activations", "program")
    for part, name in zip(parts, names, strict=True):
        lines.append(f"  {name:<20}{getattr(cost, part) / GIB:8.3f} GiB")
    share = ""
    if accelerator:
        fits = "it fits"
        if cost.memory > accelerator.memory:  # only some compilers raise an error themselves
            fits = f"it does NOT fit; {WHAT_TO_CHANGE}"
        share = f" of {accelerator.memory / GIB:.1f}: {fits}"
    lines.append(f"  {'all':<20}{cost.memory / GIB:8.3f} GiB{share}")
    lines.append(f"\na step of {num_images:,} images, {own:g} a device")
    units = {
        "arithmetic": (cost.flops / 1e12, "TFLOP", "flops", "TFLOP/s", 1e12),
        "memory traffic": (cost.traffic / 1e9, "GB", "bandwidth", "GB/s", 1e9),
        "collectives": (cost.sent_within_slice / 1e9, "GB", "interconnect", "GB/s", 1e9),
    }
    seconds = cost.seconds(accelerator) if accelerator else {}
    for name, (amount, unit, limit, limit_unit, scale) in units.items():
        line = f"  {name:<20}{amount:8.3f} {unit:<6}"
        if accelerator:
            most = getattr(accelerator, limit) / scale
            line += f"{1e3 * seconds[name]:9.2f} ms at {most:,.0f} {limit_unit}"
        lines.append(line.rstrip())
    lines += [f"    {kind:<18}{size / 1e9:8.3f} GB" for kind, size in cost.sent().items()]
    tera, giga = cost.flops / own / 1e12, cost.traffic / own / 1e9
    line = f"  {'an image':<20}{tera:8.3f} TFLOP, {giga:.2f} GB"
    if cost.counted_traffic is not None:
        line += f" ({cost.counted_traffic / own / 1e9:.2f} GB with what stays on the chip)"
    lines.append(line)
    if accelerator:
        bound = max(seconds, key=lambda name: seconds[name])
        rate = num_images / seconds[bound]
        lines.append(
            f"\nbound by {bound}: at most {rate:,.0f} images/s, {rate / num_devices:,.1f} a device"
        )
        if (estimate := cost.estimated_seconds(accelerator)) is not None:
            lines += _estimate(cost.cycles, estimate, num_images)
    return "\n".join(lines)


def _estimate(cycles: dict[str, float], seconds: float, num_images: int) -> list[str]:
    """Describe the compiler's estimate of the time, and the parts that take most of it."""
    total = sum(cycles.values())
    lines = [
        "\nestimated by the compiler's own model, not measured, without exchanges between devices",
        f"  {'a step':<20}{1e3 * seconds:8.2f} ms, {total / 1e6:,.1f} million cycles: "
        f"{num_images / seconds:,.0f} images/s",
    ]
    return lines + [
        f"    {part:<18}{1e3 * seconds * of_part / total:8.2f} ms, {of_part / total:.0%}"
        for part, of_part in cycles.items()
        if of_part > 0.02 * total
    ]


def _about(config: ConfigDict, step: AbstractStep, mesh: Mesh, name: str) -> str:
    axes = " x ".join(f"{axis}={size}" for axis, size in mesh.shape.items())
    options, device = config.train, mesh.devices.flat[0]
    precision = describe_precision(
        config.model.dtype, config.model.matmul_precision, device.platform
    )
    return "\n".join(
        (
            f"parameters  {count_params(step.state.params):,}",
            f"precision   {precision}",
            f"devices     {name}: {mesh.size} x {device.device_kind}, {axes}",
            f"batch       {options.batch_size} images a task, {options.batch_size // mesh.size} a "
            f"device, {options.num_microbatches} micro-batch(es)",
        )
    )


def _compile(step: AbstractStep, name: str) -> Any:
    try:
        return step.step.lower(*step.arguments).compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        found = _AMOUNT.findall(str(error))
        amounts = f": it needs {found[0]}iB of {found[1]}iB" if len(found) > 1 else ""
        raise UserError(
            f"the step does not fit the memory of {name}{amounts}; {WHAT_TO_CHANGE}"
        ) from None
