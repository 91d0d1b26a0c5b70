"""Time of a step and of each part of the network by the compiler's own model of a TPU.

The times in `step_cost.py` are lower bounds: they assume peak rates. The TPU compiler estimates
cycles for every instruction, to choose among implementations, and writes them into the program.
Their sum is an estimate, not a measurement; it leaves out exchanges between devices and waits for
memory. It shows which of two programs is likely faster, and which parts take the time.
"""

import re

from noise2map_jax.cost.program_text import Program

# The block in `jit(step)/jvp(Noise2Map)/unet/up_blocks_5/resnets_0/...`; `unet` for the parts of
# the U-Net outside its blocks, such as the sines of the timestep; else the module.
_PART = re.compile(r"Noise2Map\)*/(?:unet/)?(\w+)/")
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
            part = _part(instruction.source)
            parts[part] = parts.get(part, 0) + cycles
    return dict(sorted(parts.items(), key=lambda item: -item[1]))


def _part(source: str) -> str:
    found = _PART.search(source)
    return found[1] if found else OTHERS
