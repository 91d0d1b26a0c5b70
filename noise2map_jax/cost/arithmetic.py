"""Counts the arithmetic of programs: in all places that tell TFLOP/s, in the same way.

XLA counts arithmetic of programs that are not compiled yet for CPUs only, and of compiled ones it
leaves out what libraries compute, such as cuDNN. So a program is lowered for a CPU, whatever device
it runs on, and is not compiled. What a compiler saves or adds is not in it.
"""

from typing import Any

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from noise2map_jax.cost.abstract_step import create_abstract_step
from noise2map_jax.devices.sharding import create_mesh
from noise2map_jax.errors import UserError


def count_flops(function: Any, *arguments: Any) -> float:
    """Count the arithmetic of a function of arrays on one device; a multiply-add is two.

    Args:
        function: what to count.
        arguments: its arguments, or their shapes.

    Raises:
        UserError: JAX was told not to use the CPU.
    """
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), arguments)
    with jax.default_device(cpu_device()):
        return _flops(jax.jit(function).lower(*shapes))


def lowered_flops(config: ConfigDict, mesh: Mesh) -> float:
    """Count the arithmetic of a training step on one device.

    Args:
        config: an experiment.
        mesh: the devices, which share a batch.

    Raises:
        UserError: JAX was told not to use the CPU.
    """
    config = config.copy_and_resolve_references()
    config.train.batch_size //= mesh.size
    config.mesh.fsdp = 1
    step = create_abstract_step(config, create_mesh(1, [cpu_device()]))
    return step.num_loops * _flops(step.step.lower(*step.arguments))


def _flops(lowered: jax.stages.Lowered) -> float:
    analysis = lowered.cost_analysis()
    assert analysis is not None  # CPUs have it
    return float(analysis["flops"])


def cpu_device() -> jax.Device:
    """Return the CPU as a device of JAX.

    Raises:
        UserError: JAX was told not to use it.
    """
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        asked = jax.config.jax_platforms
        raise UserError(
            f"JAX_PLATFORMS={asked} leaves out the CPU, which counts arithmetic and is compared "
            f"with; set JAX_PLATFORMS={asked},cpu"
        ) from None
