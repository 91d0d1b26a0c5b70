"""What a compiled step costs a device: memory, arithmetic, traffic, and what it sends to others."""

import dataclasses
import math
import re
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from noise2map_jax.accelerators import Accelerator

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
BETWEEN_SLICES = "between slices"  # over the network of the data centre, through the host
# `%name = f32[8,4]{1,0} all-gather(...), replica_groups=...`; a started one has a tuple as result.
_INSTRUCTION = re.compile(
    r"^ *(?:ROOT )?%[^ ]+ = (?P<result>\(.*?\)|[^ ]+) "
    rf"(?P<kind>{'|'.join(COLLECTIVES)})(?P<start>-start)?\((?P<rest>.*)"
)
_COMPUTATION = re.compile(r"^(?:ENTRY )?%([^ ]+) \(.*\{$")
_SENT = re.compile(
    r"^ *(?:ROOT )?%[^ ]+ = (\([a-z0-9]+\[[0-9,]*\]).*? send\(.*is_host_transfer=true"
)
_BODY = re.compile(r" while\(.*body=%([^ ,]+)")
_CALLED = re.compile(
    r"(?:calls|to_apply|body|condition|true_computation|false_computation)=%([^ ,)]+)"
)
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_ARRAY = re.compile(r"\b([a-z]+[0-9]*[a-z0-9]*)\[([0-9,]*)\]")
# Devices that talk to each other: listed; [number of groups, size]; or axes of a mesh.
_LISTED = re.compile(r"replica_groups=\{\{([0-9,]+)\}")
_COUNTED = re.compile(r"replica_groups=\[[0-9]+,([0-9]+)\]")
_OF_A_MESH = re.compile(r"replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}")
_SIZE = re.compile(r"'(\w+)'=(\d+)")
_AXIS = re.compile(r"'(\w+)'(?::\(\d+\)(\d+))?")  # whole, or a part of so many
_BITS = re.compile(r"[a-z]+([0-9]+)")


@dataclasses.dataclass(frozen=True)
class Collective:
    """Something that devices exchange in a step.

    Attributes:
        kind: one of `COLLECTIVES`, or `BETWEEN_SLICES`.
        size: bytes of the whole array that is exchanged, on a device.
        group: number of devices that take part.
    """

    kind: str
    size: int
    group: int

    @property
    def sent(self) -> float:
        """Bytes that a device sends, in a ring."""
        others = (self.group - 1) / self.group
        if self.kind == "all-reduce":
            return 2 * others * self.size
        whole = self.kind in ("collective-permute", BETWEEN_SLICES)
        return self.size if whole else others * self.size


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
        flops: arithmetic, one multiply-add = 2.
        traffic: bytes read from and written to the device's memory.
        collectives: what is exchanged.
    """

    parameters: int
    optimizer: int
    averages: int
    batch: int
    temporary: int
    code: int
    flops: float
    traffic: float
    collectives: tuple[Collective, ...]

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
    # After the loop: read the gradient and the state, write the state, each once.
    update = held["params"] + 2 * sum(held.values())
    return StepCost(
        parameters=held["params"],
        optimizer=held["opt_state"],
        averages=held["ema_params"],
        batch=max(0, memory.argument_size_in_bytes - sum(held.values())),
        temporary=memory.temp_size_in_bytes
        + max(0, memory.output_size_in_bytes - memory.alias_size_in_bytes),
        code=memory.generated_code_size_in_bytes,
        flops=num_loops * float(analysis.get("flops", math.nan)),
        traffic=num_loops * (float(analysis.get("bytes accessed", math.nan)) - update) + update,
        collectives=tuple(_collectives(compiled.as_text() or "", num_loops)),
    )


def _held(tree: Any) -> int:
    """Bytes of a tree of arrays on one device."""
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * np.dtype(leaf.dtype).itemsize
        for leaf in jax.tree.leaves(tree)
    )


def _collectives(text: str, num_loops: int = 1) -> Iterator[Collective]:
    """Find what devices exchange in the text of a compiled program, in loops so many times."""
    looped, computation = _in_loops(text), ""
    for line in text.splitlines():
        if header := _COMPUTATION.match(line):
            computation = header[1]
        times = num_loops if computation in looped else 1
        if sent := _SENT.match(line):
            size = sum(_bytes(*array) for array in _ARRAY.findall(sent[1]))
            yield from [Collective(BETWEEN_SLICES, size, 2)] * times
        found = _INSTRUCTION.match(line)
        if not found:
            continue
        kind, group = found["kind"], _group_size(found["rest"])
        sizes = [_bytes(*array) for array in _ARRAY.findall(found["result"])]
        if found["start"] and kind == "collective-permute":
            size = sizes[0]  # operand, result, and words that are waited on
        elif found["start"] and kind != "all-reduce":
            size = sum(sizes[len(sizes) // 2 :])  # operands, then as many results
        else:
            size = sum(sizes)
        if kind == "reduce-scatter":
            size *= group  # of the whole that is reduced, the result is one part
        elif kind == "all-reduce" and computation.startswith("all-reduce-scatter"):
            kind = "reduce-scatter"  # as TPUs write it: each then takes its part
        if group > 1:
            yield from [Collective(kind, size, group)] * times


def _in_loops(text: str) -> set[str]:
    """Name the computations that are bodies of loops, or called by them."""
    calls: dict[str, set[str]] = {}
    pending, computation = set(), ""
    for line in text.splitlines():
        if header := _COMPUTATION.match(line):
            computation = header[1]
        called = calls.setdefault(computation, set())
        called.update(_CALLED.findall(line))
        for names in _BRANCHES.findall(line):
            called.update(name.strip().lstrip("%") for name in names.split(","))
        pending.update(_BODY.findall(line))
    found: set[str] = set()
    while pending:
        name = pending.pop()
        found.add(name)
        pending |= calls.get(name, set()) - found
    return found


def _bytes(dtype: str, shape: str) -> int:
    bits = _BITS.match(dtype)
    width = int(bits[1]) if bits else 8  # pred
    return math.prod(int(n) for n in shape.split(",") if n) * width // 8


def _group_size(rest: str) -> int:
    """Read how many devices take part, off the attributes of an instruction."""
    if found := _LISTED.search(rest):
        return len(found[1].split(","))
    if found := _COUNTED.search(rest):
        return int(found[1])
    if found := _OF_A_MESH.search(rest):
        sizes = {name: int(size) for name, size in _SIZE.findall(found[1])}
        return math.prod(int(part or sizes[name]) for name, part in _AXIS.findall(found[2]))
    if "source_target_pairs=" in rest:
        return 2
    raise ValueError(f"unknown form of replica_groups: {rest[:200]}")
