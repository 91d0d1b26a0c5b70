"""Time of a step and of each part of the network by the compiler's own model of a TPU.

The times in `step_cost.py` are lower bounds: they assume peak rates. The TPU compiler estimates
cycles for every instruction, to choose among implementations, and writes them into the program.
Their sum is an estimate, not a measurement; it leaves out exchanges between devices and waits for
memory. It shows which of two programs is likely faster, and which parts take the time.
"""

from noise2map_jax.cost.network_parts import module_of
from noise2map_jax.cost.program_text import Program

UNKNOWN = 2**60  # the compiler writes this many cycles or more where it has no estimate
OTHERS = "others"  # optimiser, loss, augmentation, noise, and copies of unknown source


def estimated_cycles(program: Program, num_loops: int = 1) -> dict[str, float]:
    """Add up the compiler's cycles by part of the network, forward and backward together.

    Args:
        program: a compiled program.
        num_loops: number of passes of the program's loops.

    Returns:
        Cycles by part, largest first; empty if the compiler estimates none (as for CPUs and GPUs)
        or has no estimate for some instruction.
    """
    parts: dict[str, float] = {}
    for instruction, cycles in program.executed(lambda _, i: i.cycles, num_loops):
        if instruction.cycles >= UNKNOWN:
            return {}
        if cycles:
            part = module_of(instruction.source) or OTHERS
            parts[part] = parts.get(part, 0) + cycles
    return dict(sorted(parts.items(), key=lambda item: -item[1]))
