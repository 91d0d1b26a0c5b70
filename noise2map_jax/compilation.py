"""The program `--mode=compile`: whether a config fits into memory, and how fast it can be at most.

It compiles the training step of `--mode=train` from shapes alone, for the devices of this machine,
for a TPU slice or for machines with GPUs. It needs neither data nor an accelerator.
"""

import dataclasses
import math
import pathlib
import re
from typing import Any

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from noise2map_jax import strict_json
from noise2map_jax.buckets.names import shown
from noise2map_jax.cost.abstract_step import create_abstract_step
from noise2map_jax.cost.accelerators import GIB, accelerator_of
from noise2map_jax.cost.arithmetic import lowered_flops
from noise2map_jax.cost.compiled_step import (
    CompiledStep,
    DoesNotFit,
    compile_step,
)
from noise2map_jax.cost.description import WHAT_TO_CHANGE, describe, describe_memory
from noise2map_jax.cost.largest_batch import search_largest_batch
from noise2map_jax.cost.placement import placement_warnings
from noise2map_jax.cost.topologies import EXAMPLES, topology_mesh
from noise2map_jax.devices.sharding import check_batch_size, create_mesh
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.components import count_params
from noise2map_jax.experiment.task_configs import task_configs
from noise2map_jax.network.matmul_precision import describe_precision


def compile_config(
    config: ConfigDict,
    workdir: pathlib.Path,
    topology: str = "",
    num_slices: int = 1,
    fit: bool = False,
) -> None:
    """Compile the training step, print its costs, and write them to `compile/*.json`.

    Args:
        config: an experiment.
        workdir: the folder for `compile/`.
        topology: a TPU slice such as `v5e:16x16`, or the GPUs of a machine such as `h100:8`; empty
            = the devices of this machine.
        num_slices: number of such slices or machines.
        fit: whether to search the largest batch that fits, beginning with `train.batch_size`.

    Raises:
        UserError: a field is wrong, there is no such topology, or the step does not fit.
    """
    if "study" in config:
        raise UserError("this config is a study of several networks: compile its base config")
    mesh = _mesh(config, topology, num_slices)
    name = (topology or mesh.devices.flat[0].device_kind) + (
        f" x {num_slices}" if num_slices > 1 else ""
    )
    compiled = None
    if fit:
        config, compiled = _largest(config, mesh, name, num_slices)
    print(_about(config, mesh, name), flush=True)
    compiled = compiled or compile_step(config, mesh, name, num_slices)
    cost = compiled.cost
    if math.isnan(cost.flops):
        cost = dataclasses.replace(cost, flops=lowered_flops(config, mesh))
    compiled = dataclasses.replace(compiled, cost=cost)
    num_images = config.train.batch_size * len(task_configs(config))
    print(f"compiled    in {compiled.seconds:.0f} s\n")
    print(describe(cost, compiled.accelerator, num_images, mesh.size))
    content = {
        "devices": name,
        "num_devices": mesh.size,
        "mesh": dict(mesh.shape),
        "images_a_step": num_images,
        "dtype": config.model.dtype,
        "matmul_precision": config.model.matmul_precision,
        "num_microbatches": config.train.num_microbatches,
        "jax": jax.__version__,
        **_facts(compiled),
    }
    path = workdir / "compile" / (re.sub(r"[^0-9a-z]+", "_", name.lower()).strip("_") + ".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(strict_json.dumps(content, indent=2) + "\n")
    print(f"\nwritten: {shown(path)}")


def _mesh(config: ConfigDict, topology: str, num_slices: int) -> Mesh:
    if num_slices != 1 and not topology:
        raise UserError(f"--num_slices={num_slices} needs --topology, the shape of one slice")
    if num_slices < 1:
        raise UserError(f"--num_slices is {num_slices}; expected 1 or more")
    if topology:
        jax.config.update("jax_platforms", "cpu")  # else JAX would look for devices, and take them
    if jax.process_count() > 1:
        raise UserError("--mode=compile runs in one process; it does not need other devices")
    if topology:
        return topology_mesh(topology, num_slices, config.mesh.fsdp)
    return create_mesh(config.mesh.fsdp)


def _largest(
    config: ConfigDict, mesh: Mesh, name: str, num_slices: int
) -> tuple[ConfigDict, CompiledStep]:
    """Search the largest batch that fits; print a line for each that is tried."""
    accelerator = accelerator_of(mesh.devices.flat[0])
    if accelerator is None:
        raise UserError(
            f"--fit needs to know the memory of {name}; give --topology, for example {EXAMPLES}"
        )
    config, num_microbatches = config.copy_and_resolve_references(), config.train.num_microbatches
    unit = mesh.size * num_microbatches
    check_batch_size(unit, mesh.size, num_microbatches=num_microbatches)
    fitting: dict[int, CompiledStep] = {}
    print(f"memory      of a device: {describe_memory(accelerator)} GiB", flush=True)

    def fits(batch_size: int) -> bool:
        config.train.batch_size = batch_size
        try:
            compiled = compile_step(config, mesh, name, num_slices)
        except DoesNotFit as error:
            print(f"batch {batch_size:<6}does not fit: {error.amounts}", flush=True)
            return False
        answer = "fits" if compiled.fits else "does not fit"
        needed = f"it needs {compiled.cost.memory / GIB:.1f} GiB"
        print(f"batch {batch_size:<6}{answer}: {needed}, {compiled.seconds:.0f} s", flush=True)
        if compiled.fits:
            fitting[batch_size] = compiled
        return compiled.fits

    found = search_largest_batch(fits, config.train.batch_size, unit)
    if not found.size:
        raise UserError(f"not even a batch of {found.too_large} fits {name}; {WHAT_TO_CHANGE}")
    print(f"largest     {found.describe()}\n")
    config.train.batch_size = found.size
    return config, fitting[found.size]


def _facts(compiled: CompiledStep) -> dict[str, Any]:
    cost, accelerator = compiled.cost, compiled.accelerator
    return {
        "compile_seconds": compiled.seconds,
        **{k: v for k, v in dataclasses.asdict(cost).items() if k != "collectives"},
        "memory": cost.memory,
        "usable_memory": accelerator.usable if accelerator else None,
        "sent": cost.sent(),
        "seconds": cost.seconds(accelerator) if accelerator else {},
        "estimated_seconds": cost.estimated_seconds(accelerator) if accelerator else None,
    }


def _about(config: ConfigDict, mesh: Mesh, name: str) -> str:
    axes = " x ".join(f"{axis}={size}" for axis, size in mesh.shape.items())
    options, device = config.train, mesh.devices.flat[0]
    state = create_abstract_step(config, mesh).state
    precision = describe_precision(
        config.model.dtype, config.model.matmul_precision, device.platform
    )
    return "\n".join(
        (
            f"parameters  {count_params(state.params):,}",
            f"precision   {precision}",
            f"devices     {name}: {mesh.size} x {device.device_kind}, {axes}",
            f"batch       {options.batch_size} images a task, {options.batch_size // mesh.size} a "
            f"device, {options.num_microbatches} micro-batch(es)",
            *(f"warning     {line}" for line in placement_warnings(config, mesh, state)),
        )
    )
