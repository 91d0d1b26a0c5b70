import chex
import jax.numpy as jnp
import numpy as np
import optax

from noise2map_jax.train_state import create_train_state, start_from, update_ema


def test_average_forgets_its_start_fast_and_then_keeps_to_its_decay():
    early = update_ema(jnp.array([0.0]), jnp.array([1.0]), jnp.int32(0), 0.99)
    np.testing.assert_allclose(early, [0.9], rtol=1e-6)  # decay 1 / 10
    middle = update_ema(jnp.array([0.0]), jnp.array([1.0]), jnp.int32(8), 0.99)
    np.testing.assert_allclose(middle, [0.5], rtol=1e-6)  # 9 / 18
    late = update_ema(jnp.array([0.0]), jnp.array([1.0]), jnp.int32(100_000), 0.99)
    np.testing.assert_allclose(late, [0.01], rtol=1e-5)


def test_averages_move_by_what_the_decay_leaves_of_the_difference():
    averages, params = {"a": jnp.array([2.0, -4.0])}, {"a": jnp.array([6.0, 0.0])}
    moved = update_ema(averages, params, jnp.int32(1000), 0.75)
    np.testing.assert_allclose(moved["a"], [3.0, -3.0], rtol=1e-6)


def test_without_an_average_the_parameters_are_evaluated():
    params = {"a": jnp.ones(2)}
    state = create_train_state(params, optax.sgd(0.1), use_ema=False)
    assert state.ema_params is None
    assert start_from(state, params).ema_params is None
    assert state.eval_params is state.params


def test_the_average_is_a_copy():
    params = {"a": jnp.ones(2)}
    state = create_train_state(params, optax.sgd(0.1), use_ema=True)
    assert state.ema_params["a"].unsafe_buffer_pointer() != params["a"].unsafe_buffer_pointer()
    np.testing.assert_array_equal(state.ema_params["a"], params["a"])
    assert state.eval_params is state.ema_params


def test_a_state_begins_at_step_0_with_the_optimisers_own():
    params = {"a": jnp.ones(2)}
    state = create_train_state(params, optax.adam(0.1), use_ema=True)
    assert state.step.dtype == jnp.int32
    assert state.step == 0
    assert state.params is params
    chex.assert_trees_all_equal(state.opt_state, optax.adam(0.1).init(params))


def test_other_parameters_take_the_place_of_the_first_and_of_their_average():
    first, other = {"a": jnp.ones(2)}, {"a": jnp.array([3.0, 4.0])}
    state = create_train_state(first, optax.adam(0.1), use_ema=True)
    begun = start_from(state, other)
    assert begun.params is other
    np.testing.assert_array_equal(begun.ema_params["a"], other["a"])
    assert begun.ema_params["a"].unsafe_buffer_pointer() != other["a"].unsafe_buffer_pointer()
    assert begun.step is state.step
    assert begun.opt_state is state.opt_state
