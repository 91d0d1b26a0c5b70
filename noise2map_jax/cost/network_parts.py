"""The part of a training step that an instruction belongs to, by the names that JAX gives it.

JAX names each instruction by the path of functions and modules that it was traced in:
`jit(step)/jvp(Noise2Map)/unet/up_blocks_5/resnets_0/...`, under `transpose(jvp(Noise2Map))` in the
backward pass.
"""

import collections
import dataclasses
import re

from noise2map_jax.cost.program_text import Computation, Instruction, Program

# The block of the U-Net; `unet` for what is outside its blocks, such as the sines of the timestep;
# else the module. Names of networks begin with a capital letter.
_MODULE = re.compile(r"[/(][A-Z]\w*\)*/(?:unet/)?(\w+)/")
_SCOPE = re.compile(r"[/(](inputs|loss|optimizer|averages)[)/]")  # of `train_step`
_PATH = re.compile(r"^jit\(\w+\)/")
FORWARD, BACKWARD = "forward", "backward"
REST = "rest of the step"
NOT_ATTRIBUTED = "not attributed"


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a training step.

    Attributes:
        name: module of the network, or what else the step does.
        direction: `forward` or `backward`; empty where there is no such difference.
    """

    name: str
    direction: str = ""


def module_of(source: str) -> str:
    """Return the module of the network in an instruction's source; empty if it is of none."""
    found = _MODULE.search(source)
    return found[1] if found else ""


def part_of(source: str) -> Part | None:
    """Return the part that an instruction's source names; None if the source names no step."""
    direction = BACKWARD if "transpose(jvp(" in source else FORWARD
    if module := module_of(source):
        return Part(module, direction)
    if found := _SCOPE.search(source):
        return Part(found[1], direction if found[1] == "loss" else "")
    return Part(REST) if _PATH.match(source) else None


def parts_of(program: Program) -> dict[str, Part]:
    """Return the part of each instruction of a program, by the instruction's name.

    A fusion without a source of its own belongs to the part of most of its instructions. Any other
    instruction without one, such as a copy, belongs to the part that takes its result. What then
    remains is `NOT_ATTRIBUTED`.
    """
    found: dict[str, Part] = {}
    for computation in program.computations.values():
        own = {i.name: _own_part(program, i) for i in computation.values()}
        users = _users(computation)
        for name, part in own.items():
            taking = (own[user] for user in users.get(name, ()))
            found[name] = part or next(filter(None, taking), None) or Part(NOT_ATTRIBUTED)
    return found


def _own_part(program: Program, instruction: Instruction) -> Part | None:
    if (part := part_of(instruction.source)) or instruction.kind != "fusion":
        return part
    inner = [i for c in instruction.called for i in program.computations.get(c, {}).values()]
    counted = collections.Counter(part for i in inner if (part := part_of(i.source)))
    return counted.most_common(1)[0][0] if counted else None


def _users(computation: Computation) -> dict[str, list[str]]:
    users: dict[str, list[str]] = {}
    for instruction in computation.values():
        for operand in instruction.operands:
            users.setdefault(operand, []).append(instruction.name)
    return users
