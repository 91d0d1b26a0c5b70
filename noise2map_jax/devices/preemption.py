"""Saving before the machine is taken away: a watch for SIGTERM and Ctrl-C."""

import os
import signal
import sys
import threading
import time

import jax
from jax.experimental import multihost_utils

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: the run is saved, and the same command continues it
# Seconds within which two signals count as one: `timeout` signals a process, then its group.
ONE_SIGNAL = 0.25


class Preempted(SystemExit):
    """Training was asked to stop and has saved its state."""

    def __init__(self) -> None:
        super().__init__(EXIT_CODE)


class PreemptionWatch:
    """Listens for SIGTERM and Ctrl-C while training steps run; a second one ends the program.

    With several processes only SIGTERM counts: JAX's coordination service listens for it and makes
    all processes stop at the same step, whichever of them got the signal.
    """

    def __init__(self) -> None:
        self._signalled = False

    def __enter__(self) -> "PreemptionWatch":
        if jax.process_count() == 1:
            self._previous = {
                number: signal.signal(number, lambda *unused: None)
                for number in (signal.SIGTERM, signal.SIGINT)
            }
            # A thread gets the signal at once; a handler would wait for compilation or a step.
            self._read, self._write = os.pipe()
            os.set_blocking(self._write, False)
            self._previous_fd = signal.set_wakeup_fd(self._write)
            self._listener = threading.Thread(target=self._listen, daemon=True)
            self._listener.start()
        return self

    def __exit__(self, *unused: object) -> None:
        if jax.process_count() == 1:
            signal.set_wakeup_fd(self._previous_fd)
            for number, handler in self._previous.items():
                signal.signal(number, handler)
            os.close(self._write)  # this ends the listener
            self._listener.join()
            os.close(self._read)

    def reached(self, step: int) -> bool:
        """Whether to save and stop before `step` is done."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return self._signalled

    def _listen(self) -> None:
        first = 0.0
        while numbers := os.read(self._read, 1):
            if numbers[0] not in self._previous:
                continue
            if not self._signalled:
                first, self._signalled = time.monotonic(), True
                text = "stopping after this step to save; a second signal stops at once, unsaved"
                print(f"\n{text}", file=sys.stderr, flush=True)
            elif time.monotonic() - first > ONE_SIGNAL:
                os._exit(128 + numbers[0])  # a shell's exit code for a process ended by a signal
