"""How long a step takes by the compiler's own model of a TPU, and where in the network.

The bounds of `step_cost.py` take peak rates as reached: no step is quicker. The compiler for TPUs
chooses among ways to compute a thing by the cycles that it expects of each, and writes them into
the program. Their sum is an estimate, not a measurement; it has neither what devices exchange nor
waits for memory in it. It tells which of two programs is likely the quicker, and which parts take
the time.
"""

import re

from noise2map_jax.program_text import Computation, Instruction, Program

# Below the U-Net the block, else the module: `jit(step)/jvp(Noise2Map)/unet/up_blocks_5/...`.
_PART = re.compile(r"Noise2Map\)*/(?:unet/)?(\w+)")
OTHERS = "others"  # optimiser, loss, augmentation, copies


def estimated_cycles(program: Program, num_loops: int = 1) -> dict[str, float]:
    """Add up the compiler's cycles by part of the network, forward and backward together.

    Args:
        program: a compiled program.
        num_loops: how often it goes through its loops.

    Returns:
        By part, the most first; empty where the compiler says nothing, as those for CPUs and GPUs.
    """
    instructions = [i for c in program.computations.values() for i in c.values()]
    parts = {_part(i.source) for i in instructions if i.cycles}

    def of_part(part: str) -> float:
        def cost(_: Computation, instruction: Instruction) -> float:
            return instruction.cycles if _part(instruction.source) == part else 0

        return program.total(cost, num_loops)

    return dict(sorted(((part, of_part(part)) for part in parts), key=lambda item: -item[1]))


def _part(source: str) -> str:
    found = _PART.search(source)
    return found[1] if found else OTHERS
