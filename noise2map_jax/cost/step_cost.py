"""What a compiled step costs a device: memory, arithmetic, traffic, and what it sends to others."""

import dataclasses
import math
from typing import Any

import jax
import numpy as np

from noise2map_jax.cost.accelerators import Accelerator
from noise2map_jax.cost.collectives import BETWEEN_SLICES, COLLECTIVES, Collective, collectives
from noise2map_jax.cost.estimated_time import estimated_cycles
from noise2map_jax.cost.program_text import parse
from noise2map_jax.cost.traffic import memory_traffic


@dataclasses.dataclass(frozen=True)
class StepCost:
    """The costs of one step on one device, as the compiler counts them.

    Attributes:
        parameters: bytes of the parameters.
        optimizer: bytes of the optimiser's state.
        averages: bytes of averaged parameters.
        batch: bytes of the batch and of everything else that is given.
        temporary: bytes of activations, gradients and whatever else is alive in the step.
        code: bytes of the program.
        flops: arithmetic, one multiply-add = 2; where there is a loop over micro-batches, what
            comes after it, the optimiser's little, counts as often.
        traffic: bytes read from and written to the device's memory, see `traffic.py`.
        counted_traffic: bytes as the compiler counts them, those to and from memories on the chip
            among them; None where there is a loop, which it counts once.
        collectives: what is exchanged.
        cycles: by part of the network, as the compiler estimates them; empty where it does not.
    """

    parameters: int
    optimizer: int
    averages: int
    batch: int
    temporary: int
    code: int
    flops: float
    traffic: float
    counted_traffic: float | None
    collectives: tuple[Collective, ...]
    cycles: dict[str, float]

    @property
    def memory(self) -> int:
        """Bytes of the device's memory that are taken."""
        parts = self.parameters, self.optimizer, self.averages, self.batch
        return sum(parts) + self.temporary + self.code

    def seconds(self, accelerator: Accelerator) -> dict[str, float]:
        """Least time of a step, by each of three things that it needs.

        What goes between slices is left out: how fast their network is depends on the place.
        """
        return {
            "arithmetic": self.flops / accelerator.flops,
            "memory traffic": self.traffic / accelerator.bandwidth,
            "collectives": self.sent_within_slice / accelerator.interconnect,
        }

    def estimated_seconds(self, accelerator: Accelerator) -> float | None:
        """Time of a step without exchanges by the compiler's model; None where there is none."""
        if accelerator.clock is None or not self.cycles:
            return None
        return sum(self.cycles.values()) / accelerator.clock

    @property
    def sent_within_slice(self) -> float:
        """Bytes that a device sends to others of its slice."""
        return sum(c.sent for c in self.collectives if c.kind != BETWEEN_SLICES)

    def sent(self) -> dict[str, float]:
        """Bytes that a device sends, by the kind of exchange."""
        return {
            kind: sum(c.sent for c in self.collectives if c.kind == kind)
            for kind in (*COLLECTIVES, BETWEEN_SLICES)
            if any(c.kind == kind for c in self.collectives)
        }


def step_cost(compiled: jax.stages.Compiled, state: Any, num_loops: int = 1) -> StepCost:
    """Read the costs off a compiled training step.

    Args:
        compiled: the step.
        state: its first argument: a training state, or its shapes with shardings.
        num_loops: how often it goes through its loop over micro-batches, which the compiler
            counts once; 1 where they are written out.
    """
    analysis, memory = compiled.cost_analysis(), compiled.memory_analysis()
    assert analysis is not None  # every backend that trains here has both
    assert memory is not None
    held = {name: _held(getattr(state, name)) for name in ("params", "opt_state", "ema_params")}
    program = parse(compiled.as_text() or "")
    return StepCost(
        parameters=held["params"],
        optimizer=held["opt_state"],
        averages=held["ema_params"],
        batch=max(0, memory.argument_size_in_bytes - sum(held.values())),
        temporary=memory.temp_size_in_bytes
        + max(0, memory.output_size_in_bytes - memory.alias_size_in_bytes),
        code=memory.generated_code_size_in_bytes,
        flops=num_loops * float(analysis.get("flops", math.nan)),
        traffic=memory_traffic(program, num_loops),
        counted_traffic=analysis.get("bytes accessed") if num_loops == 1 else None,
        collectives=tuple(collectives(program, num_loops)),
        cycles=estimated_cycles(program, num_loops),
    )


def _held(tree: Any) -> int:
    """Bytes of a tree of arrays on one device."""
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * np.dtype(leaf.dtype).itemsize
        for leaf in jax.tree.leaves(tree)
    )
