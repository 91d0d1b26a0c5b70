"""Memory that convolutions of cuDNN need beside their arrays, where the compiler cannot know it.

On a GPU, XLA tries cuDNN's algorithms for every convolution and gives the chosen one the workspace
that it asks for. Compiled for a GPU that is not there, nothing is tried and no workspace counted.
"""

from noise2map_jax.cost.program_text import Program

CONVOLUTION = "__cudnn$conv"


def workspace_allowance(program: Program) -> int:
    """Estimate the workspace of cuDNN's convolutions, in bytes.

    The estimate is a copy of all arrays of the largest convolution: what an algorithm needs that
    takes them in another layout. Convolutions run one after another and share the workspace. XLA
    passes over algorithms whose workspace cannot be allocated, so that a smaller one makes a step
    slower before it fails.

    Args:
        program: a compiled program.

    Returns:
        The estimate; 0 for a program without such convolutions, or if the compiler has tried
        algorithms and counted their workspace.
    """
    largest = 0
    for computation in program.computations.values():
        for call in computation.values():
            if not call.target.startswith(CONVOLUTION):
                continue
            *results, workspace = call.arrays
            if workspace.size:
                return 0
            operands = [computation[name].size for name in call.operands]
            largest = max(largest, sum(operands) + sum(result.size for result in results))
    return largest
