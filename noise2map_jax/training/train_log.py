"""The log of a run's losses, read one step late so that the device never waits for the host."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from noise2map_jax.training.slowest import exchange, slowest_process
from noise2map_jax.training.step_clock import StepClock, StepTime
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
        self.speed: dict[str, float] = {}  # of the last steps that were timed
        self.num_pulled = 0
        self._slowest: int | None = None  # the process that was named last
        self._clock = StepClock()

    def restart_clock(self) -> None:
        """Restart the clock that measures speed, after work that is not training."""
        self._clock.restart()

    def push(self, step: int, metrics: Any, waited: float = 0.0, dispatching: float = 0.0) -> None:
        """Store the metrics of a dispatched step, and check those of the step before.

        Args:
            step: number of the step.
            metrics: what the step returned.
            waited: seconds that the step's batch was waited for.
            dispatching: seconds that the call of the step took.
        """
        self._clock.add(waiting=waited, computing=dispatching)
        self._pull(timed=True)
        self._pending = (step, metrics)
        if self._throughput and self._throughput.is_due:
            # A step that is still running would take part of what is measured.
            jax.block_until_ready(metrics)
            before = time.monotonic()
            self._throughput.prepare()
            self._clock.leave_out(time.monotonic() - before)

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
        asked = time.monotonic()
        fetched = jax.device_get(metrics)
        self._clock.add(computing=time.monotonic() - asked)
        values = {
            name: float(value if self._member is None else value[self._member])
            for name, value in fetched.items()
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
            self._clock.read()
        if step % self._every == 0 or step == self._last_step:
            measured = self._measure(step)
            if self._writer:
                self._write(step, measured, self._writer)
            self._window = []

    def _write(self, step: int, measured: dict[str, float], writer: MetricWriter) -> None:
        """Write the means since the last time, and what was measured."""
        names = self._window[-1] if self._window else ()
        means = {name: float(np.mean([w[name] for w in self._window])) for name in names}
        if self._num_skipped:
            means["skipped_updates"] = float(self._num_skipped)  # in the whole run
        with jax.transfer_guard("allow"):
            # The optimiser counts only the updates that it applied.
            rate = float(self._learning_rate(step - 1 - self._num_skipped))
        scalars = means | {"learning_rate": rate} | measured
        writer.write_scalars(step, {f"train/{name}": value for name, value in scalars.items()})

    def _measure(self, step: int) -> dict[str, float]:
        """Return memory, and how fast the steps since the last time were if any was timed."""
        taken, memory = self._clock.take(), memory_gib()
        if taken is None:
            return memory
        self.speed = memory | {
            "images_per_second": self._batch_size / taken.whole,
            "waiting_for_data": taken.waiting / taken.whole,
        }
        if self._throughput:
            self.speed |= self._throughput.scalars(taken.whole)
        if jax.process_count() > 1:
            self._name_slowest(step, taken)
        return self.speed

    def _name_slowest(self, step: int, taken: StepTime) -> None:
        """Find the process that the others wait for; say so when it is another than before."""
        asked = time.monotonic()
        outsides, waits = exchange(max(0.0, taken.whole - taken.computing), taken.waiting).T
        self._clock.add(computing=time.monotonic() - asked)  # it waits for steps that run
        found = slowest_process(outsides, waits, taken.whole)
        if found:
            self.speed |= {
                "slowest_process": float(found.process),
                "slowest_process_seconds": found.seconds,
                "slowest_process_waiting": found.waiting,
            }
        if found and found.process != self._slowest and jax.process_index() == 0:
            tqdm.write(f"step {step:,}: {found.describe()}")
        self._slowest = found.process if found else None

    def describe_speed(self) -> str:
        """Describe for people how fast the steps that were logged last were; empty at first."""
        if "images_per_second" not in self.speed:
            return ""
        told = [f"waits for data {self.speed['waiting_for_data']:.0%}"]
        if rate := self.speed.get("tflop_per_second"):
            share = self.speed["share_of_matmul_peak"]
            told.insert(0, f"{rate:.3g} TFLOP/s a device, {share:.0%} of its peak")
        told.append(f"memory {self.speed['peak_memory_gib']:.3g} GiB")
        return ", ".join(told)

    def _check_finite(self, step: int, values: dict[str, float]) -> None:
        if all(np.isfinite(v) for v in values.values()):
            return
        shown = ", ".join(f"{k} {v}" for k, v in values.items())
        before = f", after {self._num_skipped - 1} skipped updates" if self._num_skipped else ""
        raise FloatingPointError(
            f"step {step}: {shown}{before}; lower the learning rate or set train.max_gradient_norm"
        )
