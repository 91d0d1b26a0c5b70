"""Interrupted at any moment, a run ends as if it had not been."""

import random
import resource
import signal
import time

import jax
import numpy as np
import orbax.checkpoint as ocp
import programs
import pytest
from programs import metrics

from noise2map_jax.devices.checkpoint import Checkpoints
from noise2map_jax.devices.preemption import EXIT_CODE

OPTIONS = (
    "--config.train.eval_every_steps=20",
    "--config.train.checkpoint_every_steps=4",
    "--config.train.ema_decay=0.9",
    "--config.augment.crop_size=24",
    "--config.model.sample_size=0",
    "--config.augment.brightness=0.1",
)


def start(thin_data, cache, workdir, num_steps=160):
    arguments = (
        "--config=tests/helpers/thin_config.py",
        f"--config.train.num_steps={num_steps}",
        f"--workdir={workdir}",
        f"--config.data.data_dir={thin_data}",
        *OPTIONS,
    )
    return programs.start(arguments, programs.environment(cache))


def latest_step(workdir):
    steps = (workdir / "checkpoints" / "latest").glob("[0-9]*")
    return max((int(p.name) for p in steps if p.name.isdigit()), default=0)


def wait_for_steps(process, workdir, last):
    """Wait until the run has written a step past `last`."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        path = workdir / "metrics.jsonl"
        if path.exists() and max(metrics_so_far(path), default=0) > last:
            return
        time.sleep(0.02)
    raise AssertionError(f"no step past {last}: {process.communicate()[0][-3000:]}")


def metrics_so_far(path):
    return [int(line.split(",")[0][9:]) for line in path.read_text().splitlines() if "," in line]


def state_of(workdir):
    step = latest_step(workdir)
    folder = workdir / "checkpoints" / "latest" / str(step) / "default"
    return step, ocp.StandardCheckpointer().restore(folder.resolve())


@pytest.mark.parametrize(
    ("num_kills", "num_steps"), [(2, 60), pytest.param(5, 160, marks=pytest.mark.long)]
)
def test_kills_at_random_moments_change_nothing(num_kills, num_steps, thin_data, cache, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start(thin_data, cache, whole, num_steps)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output[-3000:]

    rng = random.Random(0)
    for _ in range(num_kills):
        process = start(thin_data, cache, killed, num_steps)
        # From the very start of a run to the middle of a step, an evaluation or a save.
        wait_for_steps(process, killed, latest_step(killed) + rng.randint(0, 15))
        time.sleep(rng.random() * 0.2)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
    assert 0 < latest_step(killed) < num_steps
    process = start(thin_data, cache, killed, num_steps)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output[-3000:]
    assert "resuming at" in output

    (step, expected), (step_of_killed, found) = state_of(whole), state_of(killed)
    assert step == step_of_killed == num_steps
    leaves, tree = jax.tree.flatten(expected)
    leaves_found, tree_found = jax.tree.flatten(found)
    assert tree == tree_found
    assert len(leaves) > 100
    for a, b in zip(leaves, leaves_found, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    assert best_of(killed) == best_of(whole)
    assert metrics(killed) == metrics(whole)
    assert metrics(killed, "val/f1/foreground") == metrics(whole, "val/f1/foreground")


def best_of(workdir):
    checkpoints = Checkpoints(workdir / "checkpoints")
    best = checkpoints.best_step(), checkpoints.best_score()
    checkpoints.close()
    return best


def test_a_full_disk_keeps_the_checkpoint_before_and_says_so(thin_data, cache, tmp_path):
    run = tmp_path / "run"
    process = start(thin_data, cache, run)
    wait_for_steps(process, run, 9)
    # As on a full disk: no file can grow past 20 kB.
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (20_000, 20_000))
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 2, output[-3000:]
    line = output.strip().splitlines()[-1]
    kept = latest_step(run)
    assert kept >= 4
    assert line.startswith("error: a checkpoint cannot be written in ")
    assert f": File too large; the one of step {kept} is kept" in line
    last = max(metrics_so_far(run / "metrics.jsonl"))
    process = start(thin_data, cache, run)
    wait_for_steps(process, run, last)
    process.send_signal(signal.SIGTERM)
    assert f"resuming at {kept}" in process.communicate(timeout=120)[0]


def test_sigterm_saves_and_says_so_and_the_run_goes_on(thin_data, cache, tmp_path):
    run = tmp_path / "run"
    process = start(thin_data, cache, run, 40)
    wait_for_steps(process, run, 1)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == EXIT_CODE, output[-3000:]
    saved = latest_step(run)
    assert 2 <= saved < 40
    assert f"resumes at step {saved}" in output
    assert "Traceback" not in output
    assert "a second signal stops at once" in output
    process = start(thin_data, cache, run, 40)
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0
    assert f"resuming at {saved}" in output
    assert list(metrics(run)) == list(range(1, 41))
