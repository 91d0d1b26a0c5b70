"""Noticing that the machine is about to be taken away, in time to save."""

import signal
from types import FrameType

import jax
from jax.experimental import multihost_utils

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: saved; the same command goes on from there


class Preempted(SystemExit):
    """Training was asked to stop, and has saved."""

    def __init__(self) -> None:
        super().__init__(EXIT_CODE)


class PreemptionWatch:
    """Listens for SIGTERM and Ctrl-C while training steps run.

    With several processes Ctrl-C is not listened to; the coordination service of JAX, which listens
    for SIGTERM by itself, makes all of them stop at the same step, whichever was told to.
    """

    def __init__(self) -> None:
        self._signalled = False

    def __enter__(self) -> "PreemptionWatch":
        if jax.process_count() == 1:
            self._previous = {
                number: signal.signal(number, self._note)
                for number in (signal.SIGTERM, signal.SIGINT)
            }
        return self

    def __exit__(self, *unused: object) -> None:
        if jax.process_count() == 1:
            for number, handler in self._previous.items():
                signal.signal(number, handler)

    def reached(self, step: int) -> bool:
        """Whether to save and stop before doing `step`."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._signalled

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signalled = True
