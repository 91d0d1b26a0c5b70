import jax.numpy as jnp
import numpy as np
import optax
import pytest

from noise2map_jax.steps.train_state import create_train_state, start_from, update_ema


def test_average_forgets_its_start_fast_and_then_keeps_to_its_decay():
    early = update_ema(jnp.array([0.0]), jnp.array([1.0]), jnp.int32(0), 0.99)
    np.testing.assert_allclose(early, [0.9], rtol=1e-6)  # decay 1 / 10
    late = update_ema(jnp.array([0.0]), jnp.array([1.0]), jnp.int32(100_000), 0.99)
    np.testing.assert_allclose(late, [0.01], rtol=1e-5)
    half = update_ema(jnp.array([2.0]), jnp.array([5.0]), jnp.int32(8), 0.99)  # decay 9 / 18
    np.testing.assert_allclose(half, [3.5], rtol=1e-6)


def test_without_an_average_the_parameters_are_evaluated():
    params = {"a": jnp.ones(2)}
    state = create_train_state(params, optax.sgd(0.1), use_ema=False)
    assert state.step == 0
    assert state.ema_params is None
    assert state.eval_params is state.params


def test_the_average_is_a_copy():
    params = {"a": jnp.ones(2)}
    state = create_train_state(params, optax.sgd(0.1), use_ema=True)
    assert state.ema_params["a"].unsafe_buffer_pointer() != params["a"].unsafe_buffer_pointer()


@pytest.mark.parametrize("use_ema", [True, False])
def test_a_start_from_other_values_is_at_step_0_with_an_average_of_its_own(use_ema):
    state = create_train_state({"a": jnp.ones(2)}, optax.adam(0.1), use_ema=use_ema)
    params = {"a": jnp.full(2, 3.0)}
    started = start_from(state, params)
    assert started.step == 0
    assert started.params is params
    assert started.opt_state is state.opt_state
    if use_ema:
        np.testing.assert_array_equal(started.ema_params["a"], [3, 3])
        assert started.eval_params is started.ema_params
        assert started.ema_params["a"] is not params["a"]
    else:
        assert started.ema_params is None
