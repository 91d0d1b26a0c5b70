"""A training step, compiled for devices, with its costs."""

import dataclasses
import re
import time
from typing import Any

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from noise2map_jax.cost.abstract_step import AbstractStep, create_abstract_step
from noise2map_jax.cost.accelerators import Accelerator, accelerator_of
from noise2map_jax.cost.description import WHAT_TO_CHANGE
from noise2map_jax.cost.step_cost import StepCost, step_cost
from noise2map_jax.errors import UserError

_AMOUNT = re.compile(r"\b\d+\.\d+[KMGT]\b")  # in the compiler's message: needed, available


class DoesNotFit(UserError):
    """The compiler found no way to run the step within the device's memory.

    Attributes:
        amounts: what it needs and what there is, in the compiler's words; empty if it says nothing.
    """

    def __init__(self, name: str, amounts: str):
        of = f": {amounts}" if amounts else ""
        super().__init__(f"the step does not fit the memory of {name}{of}; {WHAT_TO_CHANGE}")
        self.amounts = amounts


@dataclasses.dataclass(frozen=True)
class CompiledStep:
    """What is known of a step that was compiled.

    Attributes:
        cost: its costs on one device.
        accelerator: the limits of a device; None if they are not known.
        seconds: how long compiling took.
    """

    cost: StepCost
    accelerator: Accelerator | None
    seconds: float

    @property
    def fits(self) -> bool:
        """Whether the device has the memory; True if its memory is not known."""
        return self.accelerator is None or self.cost.memory <= self.accelerator.usable


def compile_step(config: ConfigDict, mesh: Mesh, name: str, num_slices: int = 1) -> CompiledStep:
    """Compile a training step and read its costs.

    Args:
        config: the experiment.
        mesh: the devices.
        name: what errors call the devices.
        num_slices: number of TPU slices, or of machines with GPUs.

    Raises:
        DoesNotFit: the compiler says so.
        UserError: a field is wrong, or the batch cannot be divided.
    """
    step, device = create_abstract_step(config, mesh), mesh.devices.flat[0]
    start = time.perf_counter()
    compiled = _compile(step, name)
    seconds = time.perf_counter() - start
    machine_size = mesh.size // num_slices if device.platform == "gpu" else None
    cost = step_cost(compiled, step.state, step.num_loops, machine_size)
    accelerator = accelerator_of(device)
    if accelerator:
        model = config.model
        accelerator = accelerator.multiplying(model.dtype, model.matmul_precision)
    return CompiledStep(cost, accelerator, seconds)


def _compile(step: AbstractStep, name: str) -> Any:
    try:
        return step.step.lower(*step.arguments).compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        found = _AMOUNT.findall(str(error))
        amounts = f"it needs {found[0]}iB of {found[1]}iB" if len(found) > 1 else ""
        raise DoesNotFit(name, amounts) from None
