"""Collective operations of a step, read from the text of its compiled program."""

import dataclasses
import re
from collections.abc import Iterator

import numpy as np

from noise2map_jax.cost.program_text import Instruction, Program

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
BETWEEN_MACHINES = " between machines"  # with GPUs, behind the kind of an exchange
BETWEEN_SLICES = "between slices"  # over the network of the data centre, through the host
# Three forms of device groups: a list; [number of groups, size]; or axes of a mesh.
_LISTED = re.compile(r"replica_groups=\{\{([0-9,]+)\}")
_COUNTED = re.compile(
    r"replica_groups=\[[0-9]+,(?P<size>[0-9]+)\]<=\[(?P<shape>[0-9,]+)\]"
    r"(?:T\((?P<order>[0-9,]+)\))?"
)
_OF_A_MESH = re.compile(r"replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}")
_SIZE = re.compile(r"'(\w+)'=(\d+)")
_AXIS = re.compile(r"'(\w+)'(?::\((\d+)\)(\d+))?")  # a whole axis, or a part: parts before, size
_PAIRS = re.compile(r"source_target_pairs=\{\{([0-9,]+)\}")


@dataclasses.dataclass(frozen=True)
class Collective:
    """One exchange between devices in a step.

    Attributes:
        kind: one of `COLLECTIVES`, or `BETWEEN_SLICES`.
        size: bytes of the whole array that is exchanged, on one device.
        group: number of devices that take part.
        between_machines: whether they are devices of several machines with GPUs.
    """

    kind: str
    size: int
    group: int
    between_machines: bool = False

    @property
    def sent(self) -> float:
        """Bytes that a device sends if the exchange runs in a ring."""
        others = (self.group - 1) / self.group
        if self.kind == "all-reduce":
            return 2 * others * self.size
        whole = self.kind in ("collective-permute", BETWEEN_SLICES)
        return self.size if whole else others * self.size


def collectives(
    program: Program, num_loops: int = 1, machine_size: int | None = None
) -> Iterator[Collective]:
    """Find every exchange between devices.

    Args:
        program: a compiled program.
        num_loops: number of passes of the program's loops.
        machine_size: number of GPUs of a machine; None where the program has exchanges of their
            own between slices, as for TPUs.
    """
    looped, chains = program.looped(), set()
    for name, instructions in program.computations.items():
        times = num_loops if name in looped else 1
        for instruction in instructions.values():
            if instruction.chain in chains:  # counted at its first instruction
                continue
            chains |= {instruction.chain} - {""}
            if found := _collective(instruction, name, machine_size):
                yield from [found] * times


def _collective(
    instruction: Instruction, computation: str, machine_size: int | None
) -> Collective | None:
    sizes = [array.size for array in instruction.arrays]
    if instruction.kind == "send" and "is_host_transfer=true" in instruction.attributes:
        return Collective(BETWEEN_SLICES, sizes[0], 2)
    kind = instruction.kind.removesuffix("-start")
    if kind not in COLLECTIVES:
        return None
    devices, started = _first_group(instruction.attributes), kind != instruction.kind
    group = len(devices)
    if started and kind == "collective-permute":
        size = sizes[0]  # the arrays are operand, result and synchronisation words
    elif started and kind != "all-reduce":
        size = sum(sizes[len(sizes) // 2 :])  # the arrays are operands, then as many results
    else:
        size = sum(sizes)
    if kind == "reduce-scatter":
        size *= group  # the result is one part of the array that is reduced
    elif kind == "all-reduce" and computation.startswith("all-reduce-scatter"):
        kind = "reduce-scatter"  # the TPU form: an all-reduce, of which each device takes its part
    machines = {device // (machine_size or device + 1) for device in devices}
    return Collective(kind, size, group, len(machines) > 1) if group > 1 else None


def _first_group(attributes: str) -> list[int]:
    """Read the devices of the first group that takes part from an instruction's attributes.

    The other groups of a mesh are like the first. Devices are numbered in the mesh's order.
    """
    if found := _LISTED.search(attributes) or _PAIRS.search(attributes):
        return [int(number) for number in found[1].split(",")]
    if found := _COUNTED.search(attributes):
        shape = [int(size) for size in found["shape"].split(",")]
        order = [int(axis) for axis in (found["order"] or "").split(",") if axis]
        devices = np.arange(np.prod(shape)).reshape(shape).transpose(order or None)
        return devices.reshape(-1)[: int(found["size"])].tolist()
    if found := _OF_A_MESH.search(attributes):
        strides, sizes = {}, {name: int(size) for name, size in _SIZE.findall(found[1])}
        stride, group = 1, [0]
        for name, size in reversed(sizes.items()):
            strides[name], stride = stride, stride * size
        for name, before, part in _AXIS.findall(found[2]):
            size = int(part or sizes[name])
            step = strides[name] * (sizes[name] // (int(before or 1) * size))
            group = [device + i * step for device in group for i in range(size)]
        return group
    raise ValueError(f"unknown form of replica_groups: {attributes[:200]}")
