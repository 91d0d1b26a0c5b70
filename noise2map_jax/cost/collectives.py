"""Collective operations of a step, read from the text of its compiled program."""

import dataclasses
import math
import re
from collections.abc import Iterator

from noise2map_jax.cost.program_text import Instruction, Program

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
BETWEEN_SLICES = "between slices"  # over the network of the data centre, through the host
# Three forms of device groups: a list; [number of groups, size]; or axes of a mesh.
_LISTED = re.compile(r"replica_groups=\{\{([0-9,]+)\}")
_COUNTED = re.compile(r"replica_groups=\[[0-9]+,([0-9]+)\]")
_OF_A_MESH = re.compile(r"replica_groups=mesh\[([^\]]*)\][^{]*\{([^}]*)\}")
_SIZE = re.compile(r"'(\w+)'=(\d+)")
_AXIS = re.compile(r"'(\w+)'(?::\(\d+\)(\d+))?")  # a whole axis, or a part with its size


@dataclasses.dataclass(frozen=True)
class Collective:
    """One exchange between devices in a step.

    Attributes:
        kind: one of `COLLECTIVES`, or `BETWEEN_SLICES`.
        size: bytes of the whole array that is exchanged, on one device.
        group: number of devices that take part.
    """

    kind: str
    size: int
    group: int

    @property
    def sent(self) -> float:
        """Bytes that a device sends if the exchange runs in a ring."""
        others = (self.group - 1) / self.group
        if self.kind == "all-reduce":
            return 2 * others * self.size
        whole = self.kind in ("collective-permute", BETWEEN_SLICES)
        return self.size if whole else others * self.size


def collectives(program: Program, num_loops: int = 1) -> Iterator[Collective]:
    """Find every exchange between devices.

    Args:
        program: a compiled program.
        num_loops: number of passes of the program's loops.
    """
    looped, chains = program.looped(), set()
    for name, instructions in program.computations.items():
        times = num_loops if name in looped else 1
        for instruction in instructions.values():
            if instruction.chain in chains:  # counted at its first instruction
                continue
            chains |= {instruction.chain} - {""}
            if found := _collective(instruction, name):
                yield from [found] * times


def _collective(instruction: Instruction, computation: str) -> Collective | None:
    sizes = [array.size for array in instruction.arrays]
    if instruction.kind == "send" and "is_host_transfer=true" in instruction.attributes:
        return Collective(BETWEEN_SLICES, sizes[0], 2)
    kind = instruction.kind.removesuffix("-start")
    if kind not in COLLECTIVES:
        return None
    group, started = _group_size(instruction.attributes), kind != instruction.kind
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
    return Collective(kind, size, group) if group > 1 else None


def _group_size(attributes: str) -> int:
    """Read the number of devices that take part from an instruction's attributes."""
    if found := _LISTED.search(attributes):
        return len(found[1].split(","))
    if found := _COUNTED.search(attributes):
        return int(found[1])
    if found := _OF_A_MESH.search(attributes):
        sizes = {name: int(size) for name, size in _SIZE.findall(found[1])}
        return math.prod(int(part or sizes[name]) for name, part in _AXIS.findall(found[2]))
    if "source_target_pairs=" in attributes:
        return 2
    raise ValueError(f"unknown form of replica_groups: {attributes[:200]}")
