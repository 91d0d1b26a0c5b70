"""The losses of a run, pulled one step late, so that the device never waits for the host."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from noise2map_jax.training.writer import MetricWriter


class TrainLog:
    """Collects what each step measured, checks it, and writes means over `every` steps."""

    def __init__(
        self,
        writer: MetricWriter | None,
        learning_rate: Callable[[int], Any],
        batch_size: int,
        every: int,
        *,
        last_step: int,
        member: int | None = None,
    ):
        """Log one network: number `member` of those trained in one call, if there are several."""
        self._member = member
        self._writer, self._learning_rate = writer, learning_rate
        self._batch_size, self._every = batch_size, max(1, every)
        self._last_step = last_step
        self._pending: tuple[int, Any] | None = None
        self._window: list[dict[str, float]] = []
        self._num_skipped = 0
        self.last_loss = float("nan")
        self.num_pulled = 0
        self.restart_clock()

    def restart_clock(self) -> None:
        """Leave out of the speed what is not training."""
        self._start, self._timed_steps = time.monotonic(), 0

    def push(self, step: int, metrics: Any) -> None:
        """Note the metrics of a dispatched step, and look at those of the one before."""
        self.pull()
        self._pending = (step, metrics)

    def pull(self) -> None:
        """Look at the metrics of the last dispatched step; waits for it.

        Raises:
            FloatingPointError: they are not finite.
        """
        if self._pending is None:
            return
        (step, metrics), self._pending = self._pending, None
        values = {
            name: float(value if self._member is None else value[self._member])
            for name, value in jax.device_get(metrics).items()
        }
        self._num_skipped = int(values.pop("num_skipped", 0))
        # A skipped update left parameters, their averages and the optimiser as they were: it is
        # counted, and its numbers, which are not finite, are in no mean.
        if not values.pop("skipped", False):
            self._check_finite(step, values)
            self.last_loss = values["loss"]
            self._window.append(values)
        self._timed_steps += 1
        if self.num_pulled == 0:
            self.restart_clock()  # the first step was compiled first
        self.num_pulled += 1
        if self._writer and (step % self._every == 0 or step == self._last_step):
            means = {
                k: float(np.mean([w[k] for w in self._window])) for k in values if self._window
            }
            if self._num_skipped:
                means["skipped_updates"] = float(self._num_skipped)  # of the whole run
            seconds = time.monotonic() - self._start
            with jax.transfer_guard("allow"):
                # The optimiser counts only the updates that it did.
                rate = float(self._learning_rate(step - 1 - self._num_skipped))
            self._writer.write_scalars(
                step,
                {f"train/{k}": v for k, v in means.items()}
                | {
                    "train/learning_rate": rate,
                    "train/images_per_second": self._timed_steps
                    * self._batch_size
                    / max(seconds, 1e-9),
                },
            )
            self._window = []
            self.restart_clock()

    def _check_finite(self, step: int, values: dict[str, float]) -> None:
        if all(np.isfinite(v) for v in values.values()):
            return
        shown = ", ".join(f"{k} {v}" for k, v in values.items())
        before = f", after {self._num_skipped - 1} skipped updates" if self._num_skipped else ""
        raise FloatingPointError(
            f"step {step}: {shown}{before}; lower the learning rate or set train.max_gradient_norm"
        )
