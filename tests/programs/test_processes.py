"""A run of two processes of which one is killed, or told to stop."""

import os
import pathlib
import resource
import signal
import socket
import subprocess
import sys
import time

import programs
import pytest
from programs import metrics

from noise2map_jax.devices.preemption import EXIT_CODE


@pytest.fixture
def together(thin_data, cache, tmp_path):
    """Start two processes of one run: `together(num_steps, *options of the second)`."""

    started = []

    def start(num_steps, *of_the_second):
        arguments = (
            "--config=tests/helpers/thin_config.py",
            f"--config.data.data_dir={thin_data}",
            f"--workdir={tmp_path / 'run'}",
            f"--config.train.num_steps={num_steps}",
            "--config.train.eval_every_steps=4",
        )
        env = programs.environment(cache, 2)
        started.extend(programs.start_together(arguments, env, 2, of_the_last=of_the_second))
        return started[-2:]

    yield start
    for process in started:
        process.kill()  # where a test failed half-way
        process.communicate()


def wait_for_step(workdir, step):
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        path = workdir / "metrics.jsonl"
        if path.exists() and f'"step": {step},' in path.read_text():
            return
        time.sleep(0.05)
    raise AssertionError(f"no step {step}")


def latest_step(workdir):
    steps = (workdir / "checkpoints" / "latest").glob("[0-9]*")
    return max(int(path.name) for path in steps if path.name.isdigit())


def wait_for_folder(path):
    deadline = time.monotonic() + 60
    while not path.is_dir():
        assert time.monotonic() < deadline, path
        time.sleep(0.05)


def finish(processes):
    outputs = programs.read_together(processes)
    return [process.returncode for process in processes], outputs


def test_when_one_is_killed_the_other_ends_and_both_go_on_later(together, tmp_path):
    processes = together(5000)
    wait_for_step(tmp_path / "run", 5)
    wait_for_folder(tmp_path / "run" / "checkpoints" / "latest" / "4")
    processes[1].send_signal(signal.SIGKILL)
    start = time.monotonic()
    output = processes[0].communicate(timeout=120)[0]
    assert time.monotonic() - start < 60
    assert processes[0].returncode not in (0, EXIT_CODE)
    assert "another task died" in output

    first = latest_step(tmp_path / "run")
    assert first % 4 == 0
    assert first >= 4
    codes, outputs = finish(together(first + 3))
    assert codes == [0, 0]
    assert f"resuming at {first:,}" in outputs[0]
    assert list(metrics(tmp_path / "run")) == list(range(1, first + 4))


@pytest.mark.long
def test_when_the_first_is_killed_the_other_ends_too(together, tmp_path):
    first, other = together(5000)
    wait_for_step(tmp_path / "run", 5)
    first.send_signal(signal.SIGKILL)
    output = other.communicate(timeout=60)[0]
    assert other.returncode not in (0, EXIT_CODE)
    assert "coordination service" in output


@pytest.mark.long
def test_when_the_disk_is_full_for_one_it_says_so_and_the_other_ends(together, tmp_path):
    processes = together(5000)
    wait_for_step(tmp_path / "run", 5)
    wait_for_folder(tmp_path / "run" / "checkpoints" / "latest" / "4")
    # As on a full disk: no file of this process can grow past 20 kB.
    resource.prlimit(processes[1].pid, resource.RLIMIT_FSIZE, (20_000, 20_000))
    start = time.monotonic()
    codes, outputs = finish(processes)
    assert time.monotonic() - start < 90
    assert codes[1] == 2, outputs[1][-2000:]
    line = outputs[1].strip().splitlines()[-1]
    assert line.startswith("error: a checkpoint cannot be written in ")
    folder = pathlib.Path(line.split("'")[1])
    kept = int(line.split("the one of step ")[1].split()[0])
    assert kept % 4 == 0
    assert codes[0] not in (0, EXIT_CODE)
    assert "another task died" in outputs[0]
    assert (folder / str(kept)).is_dir()


def test_one_that_cannot_even_say_why_still_ends_alone():
    """Its output goes to the disk that is full; ended by Python, it would wait for the others."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = (
        "import jax\n"
        "from noise2map_jax import main\n"
        f"jax.distributed.initialize('127.0.0.1:{port}', 1, 0)\n"
        "print('a line that is still held back')\n"
        "main._fail('no room', alone=True)\n"
    )
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            cwd=programs.ROOT,
            env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
        )
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1] == "error: no room"


def test_when_one_is_told_to_stop_both_save_and_stop(together, tmp_path):
    processes = together(5000)
    wait_for_step(tmp_path / "run", 5)
    processes[1].send_signal(signal.SIGTERM)
    codes, outputs = finish(processes)
    assert codes == [EXIT_CODE, EXIT_CODE], outputs[0][-2000:]
    step = int(outputs[0].split("resumes at step ")[1].split()[0])
    assert (tmp_path / "run" / "checkpoints" / "latest" / str(step)).is_dir()
    assert list(metrics(tmp_path / "run")) == list(range(1, step + 1))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--config.seed=1",), "process 1 in seed (1, not 0); start all of them with the same"),
        (("--workdir=elsewhere",), "process 1 in --workdir ('elsewhere', not '"),
        (("--mode=eval",), "process 1: "),
        (("--config.data.data_dir=nowhere",), "process 1: no dataset 'thin_ss' in 'nowhere'"),
    ],
)
def test_processes_that_differ_end_before_they_begin(together, tmp_path, options, words):
    codes, outputs = finish(together(10, *options))
    assert codes == [2, 2], outputs
    for output in outputs:
        lines = [line for line in output.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1
        assert words in lines[0]
    assert not (tmp_path / "run" / "config.json").exists()
