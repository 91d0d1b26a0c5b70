import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

from noise2map_jax.cost.accelerators import GIB, Accelerator
from noise2map_jax.cost.collectives import Collective
from noise2map_jax.cost.description import describe
from noise2map_jax.cost.step_cost import StepCost, step_cost
from noise2map_jax.devices import sharding
from noise2map_jax.steps.train_state import TrainState

CPU = jax.devices()[0]


def cost_of(split):
    """A step that sums the gradient of a product over eight devices."""
    mesh = sharding.create_mesh(8)
    placed = NamedSharding(mesh, PartitionSpec("fsdp") if split else PartitionSpec())
    weight = jax.ShapeDtypeStruct((512, 64), jnp.float32, sharding=placed)
    state = TrainState(step=None, params=weight, opt_state=(weight, weight), ema_params=None)
    x = jax.ShapeDtypeStruct((64, 512), jnp.float32, sharding=sharding.batch_sharding(mesh))

    @functools.partial(jax.jit, out_shardings=jax.tree.map(lambda a: a.sharding, state))
    def step(state, x):
        gradient = jax.grad(lambda w: jnp.sum(jnp.square(x @ w)))(state.params)
        return state.replace(params=gradient)

    return step_cost(step.lower(state, x).compile(), state)


def test_a_step_is_counted_on_one_device():
    cost = cost_of(split=False)
    assert (cost.parameters, cost.optimizer, cost.averages) == (2**17, 2**18, 0)
    assert cost.batch == 64 * 512 * 4 // 8
    product = 2 * 8 * 512 * 64  # multiply-adds of the rows of a device; forward and backward
    assert 2 * product <= cost.flops < 2.2 * product
    assert cost.sent() == {"all-reduce": 2 * 7 / 8 * 2**17}


def test_what_is_split_over_devices_takes_its_share():
    cost = cost_of(split=True)
    assert (cost.parameters, cost.optimizer) == (2**17 // 8, 2**18 // 8)
    assert cost.sent()["all-gather"] == 7 / 8 * 2**17


def test_a_loop_over_parts_of_a_batch_costs_what_the_batch_costs(monkeypatch):
    # Compilers for CPUs estimate nothing.
    monkeypatch.setattr(
        "noise2map_jax.cost.step_cost.estimated_cycles", lambda _, num: {"unet": num}
    )
    weight = jax.ShapeDtypeStruct((512, 64), jnp.float32, sharding=SingleDeviceSharding(CPU))
    state = TrainState(step=None, params=weight, opt_state=(), ema_params=None)

    def loss(params, x):
        return jnp.sum(jnp.square(x @ params))

    def whole(state, x):
        return state.replace(params=jax.grad(loss)(state.params, x))

    def looped(state, x):
        parts = x.reshape(4, -1, 512)
        zeros = jnp.zeros_like(state.params)

        def add(total, part):
            return total + jax.grad(loss)(state.params, part), None

        return state.replace(params=jax.lax.scan(add, zeros, parts)[0])

    x = jax.ShapeDtypeStruct((64, 512), jnp.float32)
    one, four = (
        step_cost(jax.jit(step).lower(state, x).compile(), state, num)
        for step, num in ((whole, 1), (looped, 4))
    )
    assert four.flops == pytest.approx(one.flops, rel=0.1)
    assert four.flops > 2 * 2 * 64 * 512 * 64
    assert (one.cycles, four.cycles) == ({"unet": 1}, {"unet": 4})


COST = StepCost(
    parameters=int(GIB),
    optimizer=int(2 * GIB),
    averages=0,
    initial=0,
    batch=0,
    temporary=int(GIB),
    code=0,
    workspace=0,
    flops=2e12,
    traffic=10e9,
    counted_traffic=20e9,
    collectives=(Collective("all-reduce", 10**9, 2),),
    cycles={"up_blocks_0": 6e6, "others": 3e6, "mid_block": 1e6, "conv_in": 1e5},
)


@pytest.mark.parametrize(
    ("limits", "bound", "rate"),
    [
        (Accelerator(8 * GIB, 100e12, 1000e9, 100e9), "arithmetic", "3,200"),
        (Accelerator(8 * GIB, 1000e12, 100e9, 100e9), "memory traffic", "640"),
        (Accelerator(8 * GIB, 1000e12, 1000e9, 1e9), "collectives", "64"),
    ],
)
def test_the_slowest_of_three_bounds_rules(limits, bound, rate):
    text = describe(COST, limits, num_images=64, num_devices=8)
    assert (
        f"bound by {bound}: at most {rate} images/s, {int(rate.replace(',', '')) / 8:,.1f}" in text
    )
    assert "4.000 GiB of 8.0: it fits" in text


def test_what_leaves_a_machine_has_no_time():
    outside = Collective("all-reduce", 10**9, 16, between_machines=True)
    cost = dataclasses.replace(COST, collectives=(*COST.collectives, outside))
    assert cost.sent_within_slice == COST.sent_within_slice == 1e9
    assert cost.sent() == {"all-reduce": 1e9, "all-reduce between machines": 2 * 15 / 16 * 1e9}


def test_room_for_a_library_counts_and_jax_takes_a_part_of_the_memory():
    cost = dataclasses.replace(COST, workspace=int(GIB))
    limits = Accelerator(8 * GIB, 100e12, 1000e9, 100e9, share=0.75)
    text = describe(cost, limits, num_images=64, num_devices=8)
    assert "5.000 GiB of 6.0 (XLA_CLIENT_MEM_FRACTION=0.75 of 8.0): it fits" in text
    assert "lower bound" in text
    assert "lower bound" not in describe(COST, limits, num_images=64, num_devices=8)
    more = dataclasses.replace(cost, temporary=int(2.1 * GIB))
    assert "it does NOT fit" in describe(more, limits, num_images=64, num_devices=8)


def test_what_does_not_fit_is_said_to():
    limits = Accelerator(3 * GIB, 100e12, 1000e9, 100e9)
    text = describe(COST, limits, num_images=64, num_devices=8)
    assert "4.000 GiB of 3.0: it does NOT fit" in text


def test_of_an_unknown_device_only_amounts_are_told():
    text = describe(COST, None, num_images=64, num_devices=8)
    assert "10.000 GB" in text
    assert "bound by" not in text
    assert "fits" not in text


def test_what_the_compiler_expects_is_told_by_part_where_it_is_known():
    limits = Accelerator(8 * GIB, 100e12, 1000e9, 100e9, clock=1e9)
    text = describe(COST, limits, num_images=64, num_devices=8)
    assert COST.estimated_seconds(limits) == pytest.approx(10.1e-3)
    assert re.search(r"a step +10\.10 ms, 10\.1 million cycles: 6,337 images/s", text)
    assert re.search(r"up_blocks_0 +6\.00 ms, 59%", text)
    assert "not measured" in text
    assert "conv_in" not in text  # of 1 % one need not read
    for cost, accelerator in (
        (COST, dataclasses.replace(limits, clock=None)),
        (dataclasses.replace(COST, cycles={}), limits),
    ):
        assert cost.estimated_seconds(accelerator) is None
        assert "estimated" not in describe(cost, accelerator, num_images=64, num_devices=8)
