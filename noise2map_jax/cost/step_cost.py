"""Costs of a compiled step on one device: memory, arithmetic, memory traffic, bytes sent."""

import dataclasses
import math
from typing import Any

import jax
import numpy as np

from noise2map_jax.cost.accelerators import Accelerator
from noise2map_jax.cost.collectives import (
    BETWEEN_MACHINES,
    BETWEEN_SLICES,
    COLLECTIVES,
    Collective,
    collectives,
)
from noise2map_jax.cost.estimated_time import estimated_cycles
from noise2map_jax.cost.program_text import parse
from noise2map_jax.cost.traffic import memory_traffic
from noise2map_jax.cost.workspace import workspace_allowance


@dataclasses.dataclass(frozen=True)
class StepCost:
    """The costs of one step on one device, as the compiler counts them.

    Attributes:
        parameters: bytes of the parameters.
        optimizer: bytes of the optimiser's state.
        averages: bytes of averaged parameters.
        initial: bytes of initial parameters that are kept to be mixed in.
        batch: bytes of the batch and of all other arguments.
        temporary: bytes of activations, gradients and other temporary arrays.
        code: bytes of the program.
        workspace: bytes that cuDNN may need besides, an estimate: see `workspace.py`.
        flops: arithmetic, one multiply-add = 2. With a loop over micro-batches, the small part
            after the loop (the optimiser) is counted once for each pass. Not a number where the
            compiler counts none, as for GPUs that are not there; then see `arithmetic.py`.
        traffic: bytes read from and written to the device's memory, see `traffic.py`.
        counted_traffic: bytes by the compiler's own count, which includes memories on the chip;
            None if there is a loop, which the compiler counts once.
        collectives: the exchanges between devices.
        cycles: the compiler's estimate by part of the network; empty if there is none.
    """

    parameters: int
    optimizer: int
    averages: int
    initial: int
    batch: int
    temporary: int
    code: int
    workspace: int
    flops: float
    traffic: float
    counted_traffic: float | None
    collectives: tuple[Collective, ...]
    cycles: dict[str, float]

    @property
    def memory(self) -> int:
        """Bytes of the device's memory that the step needs."""
        parts = self.parameters, self.optimizer, self.averages, self.initial, self.batch
        return sum(parts) + self.temporary + self.code + self.workspace

    def seconds(self, accelerator: Accelerator) -> dict[str, float]:
        """Lower bounds of a step's time, from arithmetic, memory traffic and collectives.

        Exchanges between slices or machines are left out: the speed of their network depends on
        the site.
        """
        return {
            "arithmetic": self.flops / accelerator.flops,
            "memory traffic": self.traffic / accelerator.bandwidth,
            "collectives": self.sent_within_slice / accelerator.interconnect,
        }

    def estimated_seconds(self, accelerator: Accelerator) -> float | None:
        """Time of a step by the compiler's model, without exchanges; None if it has no estimate."""
        if accelerator.clock is None or not self.cycles:
            return None
        return sum(self.cycles.values()) / accelerator.clock

    @property
    def sent_within_slice(self) -> float:
        """Bytes that a device sends to other devices of its slice or machine."""
        inside = (c for c in self.collectives if c.kind != BETWEEN_SLICES)
        return sum(c.sent for c in inside if not c.between_machines)

    def sent(self) -> dict[str, float]:
        """Bytes that a device sends, by the kind of exchange and where it goes."""
        sizes: dict[str, float] = {}
        for kind in (*COLLECTIVES, BETWEEN_SLICES):
            for each in self.collectives:
                if each.kind == kind:
                    name = kind + BETWEEN_MACHINES if each.between_machines else kind
                    sizes[name] = sizes.get(name, 0) + each.sent
        return sizes


def step_cost(
    compiled: jax.stages.Compiled,
    state: Any,
    num_loops: int = 1,
    machine_size: int | None = None,
) -> StepCost:
    """Read the costs of a compiled training step.

    Args:
        compiled: the step.
        state: the step's first argument: a training state, or its shapes with shardings.
        num_loops: number of passes of the loop over micro-batches, which the compiler counts once;
            1 if micro-batches are unrolled.
        machine_size: number of GPUs of a machine; None for TPUs.
    """
    analysis, memory = compiled.cost_analysis() or {}, compiled.memory_analysis()
    assert memory is not None  # every supported backend has it
    names = "params", "opt_state", "ema_params", "initial"
    held = {name: _held(getattr(state, name)) for name in names}
    program = parse(compiled.as_text() or "")
    return StepCost(
        parameters=held["params"],
        optimizer=held["opt_state"],
        averages=held["ema_params"],
        initial=held["initial"],
        batch=max(0, memory.argument_size_in_bytes - sum(held.values())),
        temporary=memory.temp_size_in_bytes
        + max(0, memory.output_size_in_bytes - memory.alias_size_in_bytes),
        code=memory.generated_code_size_in_bytes,
        workspace=workspace_allowance(program),
        flops=num_loops * float(analysis.get("flops", math.nan)),
        traffic=memory_traffic(program, num_loops),
        counted_traffic=analysis.get("bytes accessed") if num_loops == 1 else None,
        collectives=tuple(collectives(program, num_loops, machine_size)),
        cycles=estimated_cycles(program, num_loops),
    )


def _held(tree: Any) -> int:
    """Bytes of a tree of arrays on one device."""
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * np.dtype(leaf.dtype).itemsize
        for leaf in jax.tree.leaves(tree)
    )
