import functools

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

from noise2map_jax import sharding
from noise2map_jax.accelerators import GIB, Accelerator
from noise2map_jax.compilation import describe
from noise2map_jax.step_cost import Collective, StepCost, _collectives, step_cost
from noise2map_jax.train_state import TrainState

CPU = jax.devices()[0]
LINES = {
    # TPU and GPU write such lines; a started exchange has a tuple as its result.
    "%a = f32[1024]{0} all-reduce(%x), replica_groups={{0,1,2,3}}, to_apply=%add": (
        *("all-reduce", 4096, 4, 6144),
    ),
    "%a = (bf16[8]{0}, f32[2,2]{1,0}) all-reduce(%x, %y), replica_groups=[1,8]<=[8]": (
        *("all-reduce", 32, 8, 56),
    ),
    "%g = (f32[16]{0}, f32[64]{0}) all-gather-start(%x), replica_groups=[2,4]<=[8]": (
        *("all-gather", 256, 4, 192),
    ),
    "%r = f32[16]{0} reduce-scatter(%x), replica_groups={{0,1,2,3}}, dimensions={0}": (
        *("reduce-scatter", 256, 4, 192),
    ),
    "%g = ((f32[8], f32[4]), (f32[32], f32[16])) all-gather-start(%x), replica_groups=[1,4]<=[4]": (
        *("all-gather", 192, 4, 144),
    ),
    "%r = ((f32[16]), f32[4]) reduce-scatter-start(%x), replica_groups={{0,1,2,3}}": (
        *("reduce-scatter", 64, 4, 48),
    ),
    "%s = (f32[16]{0:T(128)}, u32[], token[]) send(%x, %t), channel_id=1, is_host_transfer=true": (
        *("between slices", 64, 2, 64),
    ),
    "%p = (u32[4], u32[4], u32[]) collective-permute-start(%x), source_target_pairs={{0,1}}": (
        *("collective-permute", 16, 2, 16),
    ),
    "%a = f32[4]{0} all-reduce(%x), replica_groups=mesh['a'=4,'b'=2] {'a'}, to_apply=%add": (
        *("all-reduce", 16, 4, 24),
    ),
    "%a = f32[4]{0} all-reduce(%x), replica_groups=mesh['a'=8,'b'=2] {'a':(1)2,'b'}": (
        *("all-reduce", 16, 4, 24),
    ),
    "%t = pred[8]{0} all-to-all(%x), replica_groups={{0,1}}": ("all-to-all", 8, 2, 4),
}


@pytest.mark.parametrize("line", LINES)
def test_exchanges_are_read_from_a_compiled_program(line):
    (found,) = _collectives(f"HloModule m\n  ROOT {line}\n")
    assert (found.kind, found.size, found.group, found.sent) == LINES[line]


@pytest.mark.parametrize(
    "line",
    [
        "%d = f32[64]{0} all-gather-done(%g)",
        "%a = f32[8]{0} all-reduce(%x), replica_groups={{0},{1}}",  # each with itself
        "%f = f32[8]{0} fusion(%all-reduce.1), kind=kLoop",
    ],
)
def test_what_is_no_exchange_is_not_counted(line):
    assert list(_collectives(line)) == []


SCATTER = """HloModule m

%all-reduce-scatter.1 (p: f32[64]) -> f32[16] {
  %a = f32[64]{0} all-reduce(%p), replica_groups={{0,1,2,3}}, to_apply=%add
  ROOT %s = f32[16]{0} dynamic-slice(%a, %i), dynamic_slice_sizes={16}
}
"""


def test_the_way_tpus_write_a_reduce_scatter_is_known():
    (found,) = _collectives(SCATTER)
    assert (found.kind, found.sent) == ("reduce-scatter", 3 / 4 * 256)


LOOP = """HloModule m

%fused (p: f32[4]) -> f32[4] {
  ROOT %r = f32[4]{0} all-reduce(%p), replica_groups={{0,1}}, to_apply=%add
}

%body.1 (t: (s32[], f32[4])) -> (s32[], f32[4]) {
  %g = f32[8]{0} all-gather(%x), replica_groups={{0,1}}, dimensions={0}
  %f = f32[4]{0} fusion(%g), kind=kLoop, calls=%fused
}

ENTRY %main (x: f32[4]) -> f32[4] {
  %w = (s32[], /*index=1*/f32[4]{0:T(128)}) while(%t), condition=%c, body=%body.1
  ROOT %p = f32[4]{0} all-reduce(%w), replica_groups={{0,1}}, to_apply=%add
}
"""


def test_what_a_loop_exchanges_counts_as_often_as_it_is_gone_through():
    found = list(_collectives(LOOP, num_loops=3))
    assert [c.kind for c in found].count("all-gather") == 3
    assert [c.kind for c in found].count("all-reduce") == 3 + 1


def test_an_exchange_of_another_form_is_not_passed_over():
    with pytest.raises(ValueError, match="unknown form of replica_groups"):
        list(_collectives("%a = f32[8]{0} all-reduce(%x), replica_groups=<new>"))


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


def test_a_loop_over_parts_of_a_batch_costs_what_the_batch_costs():
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


COST = StepCost(
    parameters=int(GIB),
    optimizer=int(2 * GIB),
    averages=0,
    batch=0,
    temporary=int(GIB),
    code=0,
    flops=2e12,
    traffic=10e9,
    collectives=(Collective("all-reduce", 10**9, 2),),
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


def test_what_does_not_fit_is_said_to():
    limits = Accelerator(3 * GIB, 100e12, 1000e9, 100e9)
    text = describe(COST, limits, num_images=64, num_devices=8)
    assert "4.000 GiB of 3.0: it does NOT fit" in text


def test_of_an_unknown_device_only_amounts_are_told():
    text = describe(COST, None, num_images=64, num_devices=8)
    assert "10.000 GB" in text
    assert "bound by" not in text
    assert "fits" not in text
