import types

import jax
import numpy as np
import pytest
import thin_config

from noise2map_jax.cost.accelerators import ACCELERATORS, GIB
from noise2map_jax.cost.placement import placement_warnings
from noise2map_jax.steps.train_state import InitialParams, TrainState

V5E, H100 = ("tpu", "TPU v5 lite"), ("gpu", "NVIDIA H100 80GB HBM3")


def warnings(kind, batch_size=64, num_microbatches=1, num_devices=4, fsdp=1, held=GIB):
    config = thin_config.get_config()
    config.train.batch_size, config.train.num_microbatches = batch_size, num_microbatches
    device = types.SimpleNamespace(platform=kind[0], device_kind=kind[1])
    mesh = types.SimpleNamespace(
        devices=np.array([[device]] * num_devices),
        size=num_devices,
        shape={"data": num_devices // fsdp, "fsdp": fsdp},
    )
    quarter = jax.ShapeDtypeStruct((int(held) // 16,), np.float32)
    # With the initial parameters, which some runs keep, the quarters are whole.
    state = TrainState(
        step=jax.ShapeDtypeStruct((), np.int32),
        params=quarter,
        opt_state=quarter,
        ema_params={"a": quarter},
        initial=InitialParams({"a": quarter}, {"a": jax.ShapeDtypeStruct((), np.float32)}),
    )
    return placement_warnings(config, mesh, state)


def test_devices_that_are_used_well_are_not_talked_of():
    assert warnings(V5E) == warnings(H100) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 28}, ("7 image(s) a chip", "use a larger train.batch_size")),
        ({"num_microbatches": 4}, ("4 image(s) a chip", "or fewer train.num_microbatches")),
    ],
)
def test_few_images_a_chip_leave_registers_empty(options, words):
    (line,) = warnings(V5E, **options)
    for word in words:
        assert word in line
    assert warnings(H100, **options) == []  # GPUs have no such registers


@pytest.mark.parametrize("kind", [V5E, H100])
def test_what_every_device_holds_whole_is_told_where_it_is_much(kind):
    usable = ACCELERATORS[kind[1]].usable
    (line,) = warnings(kind, held=0.11 * usable)
    assert f"{0.11 * usable / GIB:.1f} of {usable / GIB:.1f} GiB: mesh.fsdp splits" in line
    for options in ({"held": 0.09 * usable}, {"fsdp": 2}, {"num_devices": 1, "batch_size": 8}):
        assert warnings(kind, **{"held": 0.11 * usable} | options) == []


def test_of_a_cpu_nothing_is_said():
    assert warnings(("cpu", "cpu"), batch_size=4, held=100 * GIB) == []
