"""Bytes that a compiled program reads from and writes to the device's memory.

The compiler's own count, `cost_analysis()["bytes accessed"]`, takes every memory for the same: on
a TPU it adds what goes to the vector memory on the chip and what is read from there, which is an
order of magnitude faster, and counts a copy into it up to three times. A bound on the time by it
would be too high. Here an instruction reads its operands and writes its results, as there, but only
those count that are in the device's memory.
"""

from collections.abc import Iterator

from noise2map_jax.program_text import Instruction, Program

Computation = dict[str, Instruction]

_NO_BYTES = {
    *("parameter", "constant", "bitcast", "tuple", "get-tuple-element", "after-all", "domain"),
    *("partition-id", "replica-id", "opt-barrier"),
}


def memory_traffic(program: Program, num_loops: int = 1) -> int:
    """Count the bytes that go to and from the device's memory.

    Args:
        program: a compiled program.
        num_loops: how often it goes through its loops.
    """
    return _of_computation(program, program.computations[program.entry], num_loops)


def _of_computation(program: Program, computation: Computation, num_loops: int) -> int:
    return sum(_of_instruction(program, computation, i, num_loops) for i in computation.values())


def _of_instruction(
    program: Program, computation: Computation, instruction: Instruction, num_loops: int
) -> int:
    kind = instruction.kind
    if kind in _NO_BYTES or kind.endswith(("-done", "-update")):
        return 0
    called = [program.computations[name] for name in instruction.called]
    if kind in ("while", "call", "conditional"):
        costs = [_of_computation(program, c, num_loops) for c in called]
        if kind == "while":
            return num_loops * sum(costs)
        return max(costs) if kind == "conditional" else sum(costs)
    if kind == "slice-start":  # Its results are the operand, and the part that is copied.
        source, part, *_ = instruction.arrays
        return part.size * (source.in_memory + part.in_memory)
    if kind.endswith("-start"):  # Its results are the operands, and the results.
        return sum(array.size for array in instruction.arrays if array.in_memory)
    operands = [computation[name] for name in instruction.operands if name in computation]
    if kind == "fusion":
        (inner,) = called
        read = _read_by_fusion(program, inner)
        written = _written(inner, next(i for i in inner.values() if i.is_root))
    else:
        read = [_read(operand, instruction, i) for i, operand in enumerate(operands)]
        written = _written(computation, instruction)
    return sum(
        size
        for size, operand in zip(read, operands, strict=True)
        if all(array.in_memory for array in operand.arrays)
    ) + sum(
        size for size, array in zip(written, instruction.arrays, strict=True) if array.in_memory
    )


def _read_by_fusion(program: Program, computation: Computation) -> list[int]:
    """Count the bytes that are read of each of a fusion's operands."""
    sizes = {}
    users: dict[str, list[tuple[Instruction, int]]] = {}
    for instruction in computation.values():
        for i, name in enumerate(instruction.operands):
            users.setdefault(name, []).append((instruction, i))
    for name, parameter in computation.items():
        if parameter.kind == "parameter":
            number = int(parameter.attributes.split(",")[0])
            sizes[number] = sum(_read_inside(program, parameter, users.get(name, [])))
    return [sizes[number] for number in sorted(sizes)]


def _read_inside(
    program: Program, parameter: Instruction, users: list[tuple[Instruction, int]]
) -> Iterator[int]:
    """Yield what is read of a parameter: its parts, or once the whole of it; by inner fusions."""
    whole = False
    for user, i in users:
        if user.kind == "fusion":
            yield _read_by_fusion(program, program.computations[user.called[0]])[i]
        elif (size := _read(parameter, user, i)) < parameter.size:
            yield size
        else:
            whole = True
    if whole:
        yield parameter.size


def _read(operand: Instruction, user: Instruction, i: int) -> int:
    """Count the bytes that an instruction reads of its operand number i."""
    if i == 0 and user.kind in ("slice", "dynamic-slice", "gather"):
        return min(operand.size, user.size)
    if i == 0 and user.kind in ("dynamic-update-slice", "scatter"):
        return 0  # It is changed where it is.
    return operand.size


def _written(computation: Computation, instruction: Instruction) -> list[int]:
    """Count the bytes that are written of each result; of one that is changed in place a part."""
    if instruction.kind == "tuple":
        parts = [computation[name] for name in instruction.operands]
        return [size for part in parts for size in _written(computation, part)]
    if instruction.kind == "dynamic-update-slice":
        update = computation.get(instruction.operands[1])
        return [update.size if update else instruction.size]
    return [array.size for array in instruction.arrays]
