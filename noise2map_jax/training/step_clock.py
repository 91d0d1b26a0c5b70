"""The clock of training steps."""

import dataclasses
import time


@dataclasses.dataclass(frozen=True)
class StepTime:
    """How long steps took, in seconds a step.

    Attributes:
        whole: from one step to the next.
        waiting: of that, until the batch was there.
        computing: of that, in calls of the step and in waiting for its results.
    """

    whole: float
    waiting: float
    computing: float


class StepClock:
    """Times steps, of which the host dispatches the next before it pulls the results of the last.

    The clock is read whenever one more step has been dispatched than pulled. A device that computes
    while it is told to has done that step, too, so only from one such moment to another are steps
    and time the same. What is no training restarts the clock, and the two steps after it are not
    timed.
    """

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin anew with the next reading."""
        self._start: float | None = None
        self._read_at, self._num_steps = 0.0, 0
        self._waiting = self._computing = 0.0

    def add(self, *, waiting: float = 0.0, computing: float = 0.0) -> None:
        """Add to what the host has waited for data, and for the device."""
        self._waiting += waiting
        self._computing += computing

    def leave_out(self, seconds: float) -> None:
        """Leave out time that has just passed and was no training."""
        self._read_at += seconds
        if self._start is not None:
            self._start += seconds

    def read(self) -> None:
        """Count a step that ended just now."""
        self._read_at = time.monotonic()
        if self._start is None:
            self._start, self._waiting, self._computing = self._read_at, 0.0, 0.0
        else:
            self._num_steps += 1

    def take(self) -> StepTime | None:
        """Return the time of the steps up to the last reading, and go on from there.

        None if no step was timed.
        """
        if self._start is None or not self._num_steps:
            return None
        whole = max(self._read_at - self._start, 1e-9)
        found = StepTime(
            *(part / self._num_steps for part in (whole, self._waiting, self._computing))
        )
        self._start, self._num_steps = self._read_at, 0
        self._waiting = self._computing = 0.0
        return found
