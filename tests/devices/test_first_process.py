"""With one process; several are tested in tests/programs/test_buckets.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from noise2map_jax.devices import first_process, sharding
from noise2map_jax.devices.checkpoint import abstract_like
from noise2map_jax.devices.first_process import gathered, spread, told
from noise2map_jax.errors import UserError


def test_values_and_mistakes_are_told():
    assert told(lambda: [1, None, 0.1, "a"]) == [1, None, 0.1, "a"]

    def mistake():
        raise UserError("there is none")

    with pytest.raises(UserError, match="there is none"):
        told(mistake)


@pytest.mark.parametrize("chunk", [7, 64, 2**26])
def test_arrays_are_gathered_and_spread_bit_for_bit(chunk, monkeypatch):
    monkeypatch.setattr(first_process, "_CHUNK", chunk)
    mesh = sharding.create_mesh(4)
    tree = {
        "large": jnp.linspace(-1, 1, 2**15).reshape(2**13, 4),
        "signed": jnp.float32([-0.0, jnp.nan, 1e-45]),
        "half": jnp.ones((3, 5), jnp.bfloat16) / 3,
        "step": jnp.int32(7),
        "none": jnp.zeros((0, 3)),
    }
    placed = sharding.parameter_sharding(jax.eval_shape(lambda: tree), mesh)
    there = jax.tree.map(jax.device_put, tree, placed)
    with jax.transfer_guard("disallow"):
        here = gathered(there)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(here))
    again = spread(here, abstract_like(tree, placed))
    for name, leaf in tree.items():
        assert again[name].sharding == placed[name]
        assert np.asarray(again[name]).tobytes() == np.asarray(leaf).tobytes()


def test_what_was_gathered_does_not_change_with_the_state():
    state = jax.device_put(jnp.zeros(4))
    here = gathered([state])
    jax.jit(lambda x: x + 1, donate_argnums=0)(state).block_until_ready()
    np.testing.assert_array_equal(here[0], np.zeros(4))
