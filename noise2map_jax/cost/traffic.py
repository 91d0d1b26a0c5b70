"""Bytes that a compiled program reads from and writes to the device's memory.

The compiler's own count, `cost_analysis()["bytes accessed"]`, does not tell memories apart: on a
TPU it includes reads and writes of the vector memory on the chip, which is an order of magnitude
faster, and counts a copy into that memory up to three times. A bound on the time from that count
would be too high. Here, too, an instruction reads its operands and writes its results, but only
arrays in the device's main memory count, by the bytes of their elements. Padding to the tiles of a
layout, which adds 3 % to the full backbone's step on a TPU, is left out. The result is a lower
bound.
"""

import functools
from collections.abc import Iterator

from noise2map_jax.cost.program_text import Computation, Instruction, Program

_PARTS = ("slice", "dynamic-slice", "gather")  # read of operand 0 what they return
_IN_PLACE = ("dynamic-update-slice", "scatter")  # change a part of their first operand
_NO_BYTES = {
    *("parameter", "constant", "bitcast", "tuple", "get-tuple-element", "after-all", "domain"),
    *("partition-id", "replica-id", "opt-barrier"),
}


def memory_traffic(program: Program, num_loops: int = 1) -> int:
    """Count the bytes that a program reads from and writes to the device's memory.

    Args:
        program: a compiled program.
        num_loops: number of passes of the program's loops; a loop inside a loop counts as one pass
            each time.

    Raises:
        ValueError: the program's text has no entry.
    """
    cost = functools.partial(_of_instruction, program)
    return int(sum(size for _, size in program.executed(cost, num_loops)))


def _of_instruction(program: Program, computation: Computation, instruction: Instruction) -> int:
    kind, arrays = instruction.kind, instruction.arrays
    if kind in _NO_BYTES or kind.endswith(("-done", "-update")):
        return 0
    if kind in ("slice-start", "dynamic-slice-start"):
        # The results are the operands, followed by the copied part of the first operand.
        source, part = arrays[0], arrays[len(instruction.operands)]
        return part.size * (source.in_memory + part.in_memory)
    if kind.endswith("-start") and kind != "all-reduce-start":
        return sum(array.size for array in arrays if array.in_memory)  # operands and results
    operands = [computation[name] for name in instruction.operands]
    if kind == "fusion":
        inner = program.computations[instruction.called[0]]
        root = next(i for i in inner.values() if i.is_root)
        if root.kind == "custom-call" and _exchanges(inner):
            # The fusion begins or ends an exchange; a beginning has one input and one output array.
            begins = len(root.operands) == 1
            return sum(array.size for array in arrays[:2] if begins and array.in_memory)
        read = _read_by_fusion(program, inner)
        written = _written(inner, root)
    else:
        read = [_read(operand, instruction, i) for i, operand in enumerate(operands)]
        written = [] if kind == "send" else _written(computation, instruction)
    return sum(
        size
        for size, operand in zip(read, operands, strict=True)
        if all(array.in_memory for array in operand.arrays)
    ) + sum(size for size, array in zip(written, arrays, strict=False) if array.in_memory)


def _exchanges(computation: Computation) -> bool:
    """Whether a fusion continues an exchange beside its own computation.

    The exchanged arrays are then among its operands and results, in place; they were counted where
    the exchange began.
    """
    return any(instruction.chain for instruction in computation.values())


def _read_by_fusion(program: Program, computation: Computation) -> list[int]:
    """Count the bytes that a fusion reads of each of its operands."""
    users: dict[str, list[tuple[Instruction, int]]] = {}
    for instruction in computation.values():
        for i, name in enumerate(instruction.operands):
            users.setdefault(name, []).append((instruction, i))
    if _exchanges(computation):
        for name, uses in users.items():
            users[name] = [
                (user, i)
                for user, i in uses
                if not (user.chain or (user.is_root and user.kind == "tuple"))
            ]
    sizes = {
        int(parameter.attributes.split(",")[0]): sum(_parts(program, parameter, users))
        for parameter in computation.values()
        if parameter.kind == "parameter"
    }
    return [sizes[number] for number in sorted(sizes)]


def _parts(
    program: Program, value: Instruction, users: dict[str, list[tuple[Instruction, int]]]
) -> Iterator[int]:
    """Yield the bytes that users read of a value: of each part, and once of the whole."""
    whole = False
    for user, i in users.get(value.name, []):
        if user.kind == "fusion":
            yield _read_by_fusion(program, program.computations[user.called[0]])[i]
        elif user.kind == "bitcast" and not user.is_root:
            yield from _parts(program, user, users)
        elif (size := _read(value, user, i)) < value.size:
            yield size
        else:
            whole = True
    if whole:
        yield value.size


def _read(operand: Instruction, user: Instruction, i: int) -> int:
    """Count the bytes that an instruction reads of operand number i."""
    if i == 0 and user.kind in _PARTS:
        return min(operand.size, user.size)
    return 0 if i == 0 and user.kind in _IN_PLACE else operand.size


def _written(computation: Computation, instruction: Instruction) -> list[int]:
    """Count the bytes written for each result; for one changed in place, only the changed part."""
    if instruction.kind == "tuple":
        parts = [computation[name] for name in instruction.operands]
        return [size for part in parts for size in _written(computation, part)]
    if instruction.chain or (instruction.kind == "parameter" and _exchanges(computation)):
        return [0] * len(instruction.arrays)
    if instruction.kind == "bitcast" and instruction.operands[0] in computation:
        return _written(computation, computation[instruction.operands[0]])
    if instruction.kind in _IN_PLACE and len(instruction.arrays) == 1:
        return [computation[instruction.operands[-1 if instruction.kind == "scatter" else 1]].size]
    return [array.size for array in instruction.arrays]
