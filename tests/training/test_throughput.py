"""TFLOP/s of training, of a step whose arithmetic is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import thin_config

from noise2map_jax.cost.arithmetic import count_flops, lowered_flops
from noise2map_jax.devices.execution import Execution, create_execution
from noise2map_jax.devices.sharding import create_mesh
from noise2map_jax.experiment.experiment import create_experiment
from noise2map_jax.training import step_clock, throughput, train_log
from noise2map_jax.training.throughput import Throughput
from noise2map_jax.training.train_log import TrainLog


@pytest.fixture
def step():
    return jax.jit(lambda x, w: x @ w, donate_argnums=0)


def arguments():
    return jnp.ones((8, 8)), jnp.ones((8, 8))


def test_arithmetic_a_second_is_told_when_training_has_lasted(step, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(throughput, "time", type("clock", (), {"monotonic": lambda: now[0]}))
    monkeypatch.setattr(throughput, "matmul_peak", lambda dtype, repeats: 1e6)
    told = Throughput(step, jnp.float32, lambda: 3 * count_flops(step, *arguments()))
    now[0] += throughput.AFTER
    assert not told.is_due  # no step was seen
    now[0] -= 1
    x, w = arguments()
    told.see(x, w)
    step(x, w)  # takes x away
    told.see(*arguments())
    assert not told.is_due
    assert told.scalars(0.5) == {}
    now[0] += 1
    assert told.is_due
    told.prepare()
    assert not told.is_due
    flops = 3 * 2 * 8 * 8 * 8
    assert told.scalars(0.5) == {
        "tflop_per_second": flops / 0.5 / 1e12,
        "share_of_matmul_peak": flops / 0.5 / 1e6,
    }


def test_the_log_measures_once_when_no_step_runs_and_does_not_count_the_time(step, monkeypatch):
    now, calls, written = [0.0], [], {}
    clock = type("clock", (), {"monotonic": lambda: now[0]})
    for module in (throughput, train_log, step_clock):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(throughput, "AFTER", 1.5)

    class Loss:
        ready = False

        def block_until_ready(self):
            self.ready = True
            return self

        def __array__(self, dtype=None, copy=None):
            return np.float32(1)

    class Writer:
        def write_scalars(self, step, scalars):
            written.update(scalars)

    losses = [Loss(), Loss(), Loss(), Loss()]

    def peak(dtype, repeats):
        calls.append((dtype, [loss.ready for loss in losses]))
        now[0] += 100
        return 1e6

    monkeypatch.setattr(throughput, "matmul_peak", peak)
    told = Throughput(step, jnp.bfloat16, lambda: count_flops(step, *arguments()))
    log = TrainLog(Writer(), lambda step: 0.1, 8, 100, last_step=4, throughput=told)
    told.see(*arguments())
    for number, loss in enumerate(losses, 1):  # the second push starts the clock, the third is due
        log.push(number, {"loss": loss}, waited=0.25)
        now[0] += 1
    log.pull()
    assert calls == [(jnp.bfloat16, [False, False, True, False])]
    assert written["train/images_per_second"] == 8  # two steps in two seconds
    assert written["train/tflop_per_second"] == 2 * 8**3 / 1e12
    assert written["train/waiting_for_data"] == 0.25


@pytest.mark.parametrize(("kind", "devices"), [("dispatch", 8), ("devices", 2), ("vmap", 1)])
def test_it_is_the_arithmetic_of_one_device(kind, devices, thin_data, tmp_path, monkeypatch):
    """Eight share the batch of one network; of several networks, each device has whole batches."""
    config = thin_config.get_config()
    config.data.data_dir = str(thin_data)
    experiment = create_experiment(config)
    execution = create_execution("dispatch", 1)
    if kind != "dispatch":
        mesh = jax.make_mesh(
            (devices,), ("member",), (jax.sharding.AxisType.Auto,), devices=jax.devices()[:devices]
        )
        execution = Execution(mesh, 2)
    monkeypatch.setattr(throughput, "matmul_peak", lambda dtype, repeats: 1e6)
    told = throughput.create_throughput(None, experiment, execution)
    told.prepare()
    config.train.batch_size = {"dispatch": 1, "devices": 8, "vmap": 8}[kind]
    networks = 2 if kind == "vmap" else 1
    expected = networks * lowered_flops(config, create_mesh(1, jax.devices()[:1]))
    assert told.scalars(1.0)["tflop_per_second"] == pytest.approx(expected / 1e12)


def test_without_a_cpu_training_goes_on_and_says_why(monkeypatch, capsys):
    def absent(backend):
        raise RuntimeError(backend)

    monkeypatch.setattr(jax, "local_devices", absent)
    monkeypatch.setattr(throughput, "matmul_peak", lambda dtype, repeats: 1e6)
    told = Throughput(None, jnp.float32, lambda: count_flops(jnp.add, jnp.ones(2), jnp.ones(2)))
    told.prepare()
    assert told.scalars(1.0) == {}
    assert "TFLOP/s are not told: JAX_PLATFORMS=cpu leaves out the CPU" in capsys.readouterr().out


def test_memory_is_that_of_the_process_where_a_device_does_not_say(monkeypatch):
    own = throughput.memory_gib()["peak_memory_gib"]  # on a CPU, that of the process
    assert 0.05 < own < 64

    class Device:
        def memory_stats(self):
            return {"peak_bytes_in_use": 3 * 2**30}

    monkeypatch.setattr(jax, "local_devices", lambda: [Device()])
    assert throughput.memory_gib() == {"peak_memory_gib": 3.0}
