"""How long a step takes by the compiler's own model of a TPU, and where in the network.

The bounds of `step_cost.py` take peak rates as reached: no step is quicker. The compiler for TPUs
chooses among ways to compute a thing by the cycles that it expects of each, and writes them into
the program. Their sum is an estimate, not a measurement; it has neither what devices exchange nor
waits for memory in it. It tells which of two programs is likely the quicker, and which parts take
the time.
"""

import re

from noise2map_jax.cost.program_text import Program

# Of `jit(step)/jvp(Noise2Map)/unet/up_blocks_5/resnets_0/...` the block; what belongs to none of
# the U-Net's, as its sines of the timestep, is `unet`; outside of it the module.
_PART = re.compile(r"Noise2Map\)*/(?:unet/)?(\w+)/")
UNKNOWN = 2**60  # cycles from which on the compiler means that it cannot tell
OTHERS = "others"  # optimiser, loss, augmentation, noise, and copies whose source is not told


def estimated_cycles(program: Program, num_loops: int = 1) -> dict[str, float]:
    """Add up the compiler's cycles by part of the network, forward and backward together.

    Args:
        program: a compiled program.
        num_loops: how often it goes through its loops.

    Returns:
        By part, the most first; empty where the compiler says nothing, as those for CPUs and GPUs,
        or cannot tell of some instruction.
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
