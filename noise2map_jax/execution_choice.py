"""Which way of executing several networks is the fastest here: measured, not believed."""

import time
from collections.abc import Callable, Sequence

import jax

from noise2map_jax.trainer import Run, Trainer

NUM_CALLS = 3


def candidates() -> tuple[str, ...]:
    """Ways to execute several networks that the devices at hand allow."""
    if jax.process_count() > 1:
        return ("dispatch",)
    return ("dispatch", "vmap") if jax.device_count() == 1 else ("dispatch", "devices", "vmap")


def measure(
    kinds: Sequence[str], runs: Sequence[Run], create_trainer: Callable[[str, int], Trainer]
) -> dict[str, float]:
    """Time the training step in several ways, on real batches.

    Two networks a device tell whether stacking pays; wider stacks only take longer to compile.

    Args:
        kinds: of `execution.KINDS`.
        runs: the networks, two or more.
        create_trainer: makes a trainer of a kind for a number of networks.

    Returns:
        Seconds a step of one network, by kind.
    """
    seconds = {}
    for kind in kinds:
        number = 1 if kind == "dispatch" else min(len(runs), 2 * jax.device_count())
        if kind == "devices":
            number = min(number, jax.device_count())
        seconds[kind] = _seconds_a_step(create_trainer(kind, number), runs[:number])
    return seconds


def _seconds_a_step(trainer: Trainer, runs: Sequence[Run]) -> float:
    keys, processes = trainer.root_keys(runs), trainer.processes(runs)
    state, batches = trainer.init(keys), trainer.batches(runs, 0)
    batch = trainer.execution.put_batches(next(batches))
    state, metrics = trainer.step(state, batch, processes, keys)  # compiles
    jax.block_until_ready(metrics)
    seconds = []
    for _ in range(NUM_CALLS):
        start = time.perf_counter()
        state, metrics = trainer.step(state, batch, processes, keys)
        jax.block_until_ready((state, metrics))
        seconds.append(time.perf_counter() - start)
    return min(seconds) / len(runs)  # the least: whatever else runs on the machine only adds


def fastest(seconds: dict[str, float]) -> str:
    """Return the kind that takes the least time."""
    return min(seconds, key=lambda kind: seconds[kind])
