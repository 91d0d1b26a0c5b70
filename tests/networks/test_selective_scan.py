import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sequential_scan import sequential

from noise2map_jax.networks.selective_scan import (
    by_halves,
    by_steps,
    linear_recurrence,
    selective_scan,
)


def arguments(length, channels=3, states=4, seed=0):
    rng = np.random.default_rng(seed)
    sequences = (2, length)
    return (
        rng.normal(size=(*sequences, channels)),
        rng.uniform(0.001, 1, (*sequences, channels)),
        -np.exp(rng.normal(size=(channels, states))),
        rng.normal(size=(*sequences, states)),
        rng.normal(size=(*sequences, states)),
        rng.normal(size=channels),
    )


@hypothesis.given(st.sampled_from([1, 2, 3, 7, 8, 33]), st.integers(0, 99))
@hypothesis.settings(max_examples=12, deadline=None)
def test_the_scan_is_its_definition(length, seed):
    given = arguments(length, seed=seed)
    actual = jax.jit(selective_scan)(*given)
    assert actual.dtype == jnp.float32
    np.testing.assert_allclose(actual, sequential(*given), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [1, 2, 7, 64])
def test_both_ways_to_compute_the_recurrence_agree(length, reverse):
    rng = np.random.default_rng(length)
    factors, inputs = (rng.uniform(0.2, 1, (2, length, 3)).astype(np.float32) for _ in "fi")
    expected = by_steps(factors, inputs, reverse=reverse)
    actual = by_halves(factors, inputs, reverse=reverse)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_gradients_are_those_of_the_steps():
    rng = np.random.default_rng(1)
    factors, inputs, weights = (rng.uniform(0.2, 1, (2, 9, 3)).astype(np.float32) for _ in "fiw")

    def one_by_one(factors, inputs):
        def step(state, now):
            state = now[0] * state + now[1]
            return state, state

        rows = factors.swapaxes(0, 1), inputs.swapaxes(0, 1)
        return jax.lax.scan(step, jnp.zeros(inputs[:, 0].shape), rows)[1].swapaxes(0, 1)

    def loss(recurrence):
        return lambda *both: jnp.sum(jnp.sin(recurrence(*both)) * weights)

    expected = jax.grad(loss(one_by_one), (0, 1))(factors, inputs)
    actual = jax.grad(loss(linear_recurrence), (0, 1))(factors, inputs)
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_long_sequence_of_slow_decay_stays_exact():
    length = 4096
    given = list(arguments(length, channels=1, states=1))
    given[1] = np.full((2, length, 1), 1e-3)
    given[2] = np.array([[-1.0]])
    np.testing.assert_allclose(selective_scan(*given), sequential(*given), rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", [jnp.bfloat16, jnp.float32])
def test_the_scan_computes_in_float32(kind):
    given = [jnp.asarray(array, kind) for array in arguments(8)]
    wide = [np.asarray(array, np.float64) for array in given]
    np.testing.assert_allclose(selective_scan(*given), sequential(*wide), rtol=1e-4, atol=1e-5)
