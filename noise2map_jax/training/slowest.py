"""The process that the others wait for, in a run of several."""

import dataclasses
import statistics
from collections.abc import Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils

MATTERS = 0.05  # of a step's time: less than that names nobody


@dataclasses.dataclass(frozen=True)
class Slowest:
    """The process that spends most time outside of the steps, which all compute together.

    Attributes:
        process: its number.
        seconds: seconds a step that it takes longer than the median of the others.
        share: what part of a step's time that is.
        waiting: seconds a step that it waits for data.
    """

    process: int
    seconds: float
    share: float
    waiting: float

    def describe(self) -> str:
        """Name the process, in one line for people."""
        return (
            f"process {self.process} is the slowest: it takes {self.seconds:.3g} s a step longer "
            f"than the others outside of the computation, {self.share:.0%} of a step; it waits for "
            f"data for {self.waiting:.3g} s a step"
        )


def exchange(outside: float, waiting: float) -> np.ndarray:
    """Tell all processes how this one spends its time; every process must call this.

    Args:
        outside: seconds a step outside of the computation.
        waiting: seconds a step of waiting for data, which are among these.

    Returns:
        [P, 2], both numbers of each process.
    """
    with jax.transfer_guard("allow"):
        own = np.array([outside, waiting], np.float32)
        return np.asarray(multihost_utils.process_allgather(own))


def slowest_process(
    outside: Sequence[float], waiting: Sequence[float], seconds: float
) -> Slowest | None:
    """Find the process that the others wait for.

    All processes take the same time for a step, because they exchange gradients in it. They differ
    in what they do before: reading data, and other work of the host.

    Args:
        outside: seconds a step that each process spends outside of the computation.
        waiting: seconds a step that each waits for data.
        seconds: seconds a step.

    Returns:
        The process; None if it takes no longer than the others by `MATTERS` of a step.
    """
    number = int(np.argmax(outside))
    others = [own for process, own in enumerate(outside) if process != number]
    longer = float(outside[number]) - statistics.median(map(float, others))
    if longer < MATTERS * seconds:
        return None
    return Slowest(number, longer, longer / seconds, float(waiting[number]))
