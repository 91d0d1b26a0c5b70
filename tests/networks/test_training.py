"""Random numbers of rows do not depend on which rows are together."""

import jax
import jax.numpy as jnp
import numpy as np

from noise2map_jax.networks.training import Training

KEYS = jax.random.split(jax.random.key(3), 6)
LAYER = ("decoder", "dropout")


def test_a_row_is_drawn_from_its_own_key():
    whole = Training(KEYS).keep(LAYER, 0.5, (4, 4))
    parts = [Training(keys).keep(LAYER, 0.5, (4, 4)) for keys in (KEYS[:1], KEYS[1:4], KEYS[4:])]
    np.testing.assert_array_equal(whole, np.concatenate(parts))
    assert len({row.tobytes() for row in np.asarray(whole)}) == len(KEYS)


def test_layers_draw_other_numbers():
    ours = Training(KEYS).keep(LAYER, 0.5, (64,))
    others = Training(KEYS).keep(("decoder", "dropout1"), 0.5, (64,))
    assert 0.3 < np.mean(ours == others) < 0.7


def test_the_rate_is_that_of_dropping():
    kept = Training(KEYS).keep(LAYER, 0.2, (10_000,))
    np.testing.assert_allclose(np.mean(kept), 0.8, atol=0.01)


def test_repeated_rows_are_whole_passes_with_numbers_of_their_own():
    training = Training(KEYS, axes=("data",), frozen_statistics=True).repeated(2)
    assert (training.axes, training.frozen_statistics, training.num_batches) == (("data",), True, 2)
    first, second = jnp.split(training.keep(LAYER, 0.5, (64,)), 2)
    assert 0.3 < np.mean(first == second) < 0.7
    # A pass of some of the rows draws what it draws among all.
    part = Training(KEYS[4:]).repeated(2).keep(LAYER, 0.5, (64,))
    np.testing.assert_array_equal(part, np.concatenate([first[4:], second[4:]]))


def test_it_passes_through_compiled_functions():
    training = Training(KEYS, axes=("data",))
    assert jax.jit(lambda t: t)(training).axes == ("data",)
