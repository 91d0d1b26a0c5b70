"""Choice of the fastest execution of several networks on this machine, by measurement."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence

import jax

from noise2map_jax import strict_json
from noise2map_jax.devices.execution import possible_kinds
from noise2map_jax.study.study import Study
from noise2map_jax.training.trainer import Run, Trainer

NUM_CALLS = 3
CreateTrainer = Callable[[str, int], Trainer]  # (kind of execution, number of networks) -> trainer


def choose_execution(study: Study, runs: Sequence[Run], create_trainer: CreateTrainer) -> str:
    """Return the kind of execution: the configured one, or for `auto` the fastest.

    Args:
        study: the study, whose config may name the kind and whose folder keeps the measurement.
        runs: networks that share an executable.
        create_trainer: makes a trainer.
    """
    kind = study.config.study.execution
    if kind != "auto":
        return kind
    config = runs[0].experiment.config
    size, parts = config.train.batch_size, config.train.num_microbatches
    kinds = possible_kinds(size, parts, len(runs), config.mesh.fsdp)
    if len(kinds) == 1:
        return kinds[0]
    path = study.workdir / "executions" / f"{_circumstances(runs[0])}.json"
    seconds = json.loads(path.read_text()) if path.is_file() else {}
    if set(seconds) != set(kinds):
        seconds = measure(kinds, runs, create_trainer)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".tmp").write_text(strict_json.dumps(seconds, indent=2) + "\n")
        os.replace(path.with_suffix(".tmp"), path)
    told = ", ".join(f"{name} {1000 * value:.0f}" for name, value in seconds.items())
    kind = min(seconds, key=lambda name: seconds[name])
    print(f"execution   {kind} (ms a step of a member: {told})", flush=True)
    return kind


def measure(
    kinds: Sequence[str], runs: Sequence[Run], create_trainer: CreateTrainer
) -> dict[str, float]:
    """Time the training step with several kinds of execution, on real batches.

    Two networks a device show whether stacking pays; wider stacks would take longer to compile.

    Args:
        kinds: kinds of execution, from `execution.KINDS`.
        runs: the networks.
        create_trainer: makes a trainer.

    Returns:
        Seconds a step of one network, by kind.
    """
    num_devices = jax.device_count()
    most = {"dispatch": 1, "devices": num_devices, "vmap": 2 * num_devices}
    seconds = {}
    for kind in kinds:
        number = min(len(runs), most[kind])
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
    return min(seconds) / len(runs)  # the minimum: other load on the machine only adds time


def _circumstances(run: Run) -> str:
    """Return a digest of everything that a measurement depends on."""
    config, device = run.experiment.config, jax.devices()[0]
    parts = [config[name].to_dict() for name in ("model", "train", "mesh", "augment", "data")]
    parts += [config.task, device.device_kind, jax.device_count()]
    return hashlib.sha256(strict_json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
