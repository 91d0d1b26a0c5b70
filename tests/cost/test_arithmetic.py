import jax
import jax.numpy as jnp
import pytest

from noise2map_jax.cost.arithmetic import count_flops, cpu_device
from noise2map_jax.errors import UserError


def test_arithmetic_is_counted_from_shapes_and_arrays_alike():
    product = 2 * 8 * 4 * 16  # a multiply-add is two
    assert count_flops(jnp.matmul, jnp.ones((8, 4)), jnp.ones((4, 16))) == product
    shapes = jax.ShapeDtypeStruct((8, 4), jnp.bfloat16), jax.ShapeDtypeStruct((4, 16), jnp.bfloat16)
    assert count_flops(jnp.matmul, *shapes) == pytest.approx(product, rel=0.5)  # and conversions


def test_a_process_without_the_cpu_says_how_to_have_it(monkeypatch):
    def absent(backend):
        raise RuntimeError(f"Unknown backend {backend}")

    monkeypatch.setattr(jax, "local_devices", absent)
    with pytest.raises(UserError, match=r"leaves out the CPU.*set JAX_PLATFORMS="):
        cpu_device()
