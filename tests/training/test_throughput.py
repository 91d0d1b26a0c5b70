"""TFLOP/s of training, of a step whose arithmetic is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from noise2map_jax.training import throughput, train_log
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
    told = Throughput(step, jnp.float32, num_loops=3)
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
    for module in (throughput, train_log):
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
    told = Throughput(step, jnp.bfloat16, num_loops=1)
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


def test_with_several_devices_it_is_that_of_one(monkeypatch):
    monkeypatch.setattr(throughput, "AFTER", 0.0)
    monkeypatch.setattr(throughput, "matmul_peak", lambda dtype, repeats: 1e6)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    spec = jax.sharding.PartitionSpec
    step = jax.jit(
        jax.shard_map(
            lambda x, w: x @ w, mesh=mesh, in_specs=(spec("data"), spec()), out_specs=spec("data")
        )
    )
    told = Throughput(step, jnp.float32, num_loops=1)
    x, w = jax.device_put(np.ones((32, 8), np.float32), rows), np.ones((8, 16), np.float32)
    told.see(x, jax.device_put(w, jax.sharding.NamedSharding(mesh, spec())))
    told.prepare()
    assert told.scalars(1.0)["tflop_per_second"] == pytest.approx(2 * 4 * 8 * 16 / 1e12, rel=0.01)


def test_memory_is_left_out_where_a_device_does_not_say(monkeypatch):
    assert throughput.memory_gib() == {}  # a CPU

    class Device:
        def memory_stats(self):
            return {"peak_bytes_in_use": 3 * 2**30}

    monkeypatch.setattr(jax, "local_devices", lambda: [Device()])
    assert throughput.memory_gib() == {"peak_memory_gib": 3.0}
