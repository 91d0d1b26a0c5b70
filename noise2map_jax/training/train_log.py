"""The log of a run's losses, read one step late so that the device never waits for the host."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from noise2map_jax.training.throughput import Throughput, memory_gib
from noise2map_jax.training.writer import MetricWriter


class TrainLog:
    """Collects the metrics of each step, checks them, and writes means over `every` steps."""

    def __init__(
        self,
        writer: MetricWriter | None,
        learning_rate: Callable[[int], Any],
        batch_size: int,
        every: int,
        *,
        last_step: int,
        member: int | None = None,
        throughput: Throughput | None = None,
    ):
        """Log one network; `member` is its number if one call trains several."""
        self._throughput = throughput
        self._member = member
        self._writer, self._learning_rate = writer, learning_rate
        self._batch_size, self._every = batch_size, max(1, every)
        self._last_step = last_step
        self._pending: tuple[int, Any] | None = None
        self._window: list[dict[str, float]] = []
        self._num_skipped = 0
        self.last_loss = float("nan")
        self.speed: dict[str, float] = {}  # of the last steps that were logged
        self.num_pulled = 0
        self.restart_clock()

    def restart_clock(self) -> None:
        """Restart the clock that measures speed, after work that is not training.

        It starts when the next step is pulled by a push: then, as whenever the clock is read, one
        more step has been dispatched than pulled. A device that computes while it is told to has
        done that step, too, so only from one such moment to another are steps and time the same.
        """
        self._start: float | None = None
        self._read_at, self._timed_steps, self._waited = 0.0, 0, 0.0

    def push(self, step: int, metrics: Any, waited: float = 0.0) -> None:
        """Store the metrics of a dispatched step, and check those of the step before.

        Args:
            step: number of the step.
            metrics: what the step returned.
            waited: seconds that the step's batch was waited for.
        """
        self._waited += waited
        self._pull(timed=True)
        self._pending = (step, metrics)
        if self._throughput and self._throughput.is_due:
            # A step that is still running would take part of what is measured.
            jax.block_until_ready(metrics)
            before = time.monotonic()
            self._throughput.prepare()
            spent = time.monotonic() - before  # that was no training
            self._read_at += spent
            if self._start is not None:
                self._start += spent

    def pull(self) -> None:
        """Check the metrics of the last dispatched step, waiting until it is done.

        Raises:
            FloatingPointError: the metrics are not finite.
        """
        self._pull(timed=False)
        self.restart_clock()

    def _pull(self, *, timed: bool) -> None:
        if self._pending is None:
            return
        (step, metrics), self._pending = self._pending, None
        values = {
            name: float(value if self._member is None else value[self._member])
            for name, value in jax.device_get(metrics).items()
        }
        self._num_skipped = int(values.pop("num_skipped", 0))
        # A skipped update does not change parameters, averages or the optimiser's moments. It is
        # counted, but its metrics, which are not finite, enter no mean.
        if not values.pop("skipped", False):
            self._check_finite(step, values)
            self.last_loss = values["loss"]
            self._window.append(values)
        self.num_pulled += 1
        if timed:
            self._read_clock()
        if self._writer and (step % self._every == 0 or step == self._last_step):
            means = {
                k: float(np.mean([w[k] for w in self._window])) for k in values if self._window
            }
            if self._num_skipped:
                means["skipped_updates"] = float(self._num_skipped)  # in the whole run
            with jax.transfer_guard("allow"):
                # The optimiser counts only the updates that it applied.
                rate = float(self._learning_rate(step - 1 - self._num_skipped))
            self._writer.write_scalars(
                step,
                {
                    f"train/{name}": value
                    for name, value in (
                        means | {"learning_rate": rate} | self._speed() | memory_gib()
                    ).items()
                },
            )
            self._window = []
            self._start, self._timed_steps, self._waited = self._read_at, 0, 0.0

    def _read_clock(self) -> None:
        self._read_at = time.monotonic()
        if self._start is None:
            self._start, self._waited = self._read_at, 0.0
        else:
            self._timed_steps += 1

    def _speed(self) -> dict[str, float]:
        """Return how fast the steps since the clock started were; empty if none was timed."""
        if self._start is None or not self._timed_steps:
            return {}
        seconds = max(self._read_at - self._start, 1e-9)
        self.speed = {
            "images_per_second": self._timed_steps * self._batch_size / seconds,
            "waiting_for_data": self._waited / seconds,
        }
        if self._throughput:
            self.speed |= self._throughput.scalars(seconds / self._timed_steps)
        return self.speed

    def _check_finite(self, step: int, values: dict[str, float]) -> None:
        if all(np.isfinite(v) for v in values.values()):
            return
        shown = ", ".join(f"{k} {v}" for k, v in values.items())
        before = f", after {self._num_skipped - 1} skipped updates" if self._num_skipped else ""
        raise FloatingPointError(
            f"step {step}: {shown}{before}; lower the learning rate or set train.max_gradient_norm"
        )
