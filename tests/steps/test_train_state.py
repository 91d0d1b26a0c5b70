import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import strategies

from noise2map_jax.errors import UserError
from noise2map_jax.network.statistics import STATISTICS
from noise2map_jax.steps.train_state import (
    InitialParams,
    create_train_state,
    initial_share,
    start_from,
    update_ema,
)


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
    started = start_from(state, params, initial_share(params, 0))
    assert started.step == 0
    assert started.params is params
    assert started.opt_state is state.opt_state
    if use_ema:
        np.testing.assert_array_equal(started.ema_params["a"], [3, 3])
        assert started.eval_params is started.ema_params
        assert started.ema_params["a"] is not params["a"]
    else:
        assert started.ema_params is None


def tree_of(start, stop):
    """Two tensors; the numbers from `start` to `stop` fill the larger one."""
    return {"a": {"kernel": jnp.linspace(start, stop, 6).reshape(2, 3)}, "b": jnp.array([stop])}


def test_a_share_of_the_initial_parameters_is_mixed_into_the_average():
    state = create_train_state(tree_of(9, 9), optax.sgd(0.1), use_ema=True, keep_initial=True)
    share = {"a": {"kernel": jnp.float32(0.25)}, "b": jnp.float32(0)}
    state = start_from(state, tree_of(0, 1), share)
    state = state.replace(params=tree_of(7, 8), ema_params=tree_of(4, 5))
    expected = 0.75 * np.linspace(4, 5, 6) + 0.25 * np.linspace(0, 1, 6)
    kernel = state.eval_params["a"]["kernel"]
    np.testing.assert_allclose(kernel, expected.reshape(2, 3), rtol=1e-6)
    np.testing.assert_array_equal(state.eval_params["b"], [5])  # its share is 0
    without_average = state.replace(ema_params=None).eval_params["a"]["kernel"]
    np.testing.assert_allclose(without_average, expected.reshape(2, 3) + 0.75 * 3, rtol=1e-6)


def test_what_begins_at_random_is_not_mixed_in():
    state = create_train_state(tree_of(1, 2), optax.sgd(0.1), use_ema=False, keep_initial=True)
    trained = state.replace(params=tree_of(7, 8))
    assert jax.tree.all(jax.tree.map(np.array_equal, trained.eval_params, trained.params))
    share = initial_share(tree_of(0, 1), 0.3, drawn=["a/kernel"])
    assert jax.tree.map(float, share) == {"a": {"kernel": 0}, "b": pytest.approx(0.3)}


def test_running_statistics_are_not_mixed():
    params = {"conv": jnp.ones(2), STATISTICS: {"norm": {"var": jnp.ones(2)}}}
    with pytest.raises(UserError, match=r"^train\.initial_share=0\.3, but .* batch norm"):
        initial_share(params, 0.3)
    assert jax.tree.leaves(initial_share(params, 0)) == [0, 0]


def test_kept_initial_parameters_are_copies():
    """The step donates its state, and a buffer can be donated only once."""
    params = {"a": jnp.ones(2)}
    state = create_train_state(params, optax.sgd(0.1), use_ema=True, keep_initial=True)
    started = start_from(state, params, initial_share(params, 0.3))
    for each in (state, started):
        trees = each.params, each.ema_params, each.initial.params
        assert len({tree["a"].unsafe_buffer_pointer() for tree in trees}) == 3


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7])
def test_what_training_did_not_move_stays_by_the_bit(share):
    params = {"a": jax.random.normal(jax.random.key(0), (50,))}
    mixed = InitialParams(params, initial_share(params, share)).mixed_into(params)
    assert mixed["a"].tobytes() == params["a"].tobytes()


@hypothesis.given(
    share=strategies.integers(0, 99).map(lambda percent: percent / 100),
    initial=strategies.integers(-(10**6), 10**6).map(lambda number: number / 1000),
    trained=strategies.integers(-(10**6), 10**6).map(lambda number: number / 1000),
)
def test_a_mixture_lies_between_its_two_parts(share, initial, trained):
    mixed = InitialParams({"a": np.float32(initial)}, {"a": np.float32(share)}).mixed_into(
        {"a": np.float32(trained)}
    )["a"]
    exact = (1 - share) * trained + share * initial
    np.testing.assert_allclose(mixed, exact, rtol=1e-6, atol=1e-6 * max(abs(initial), abs(trained)))


def test_each_of_several_networks_has_its_own_share():
    params = {"a": jnp.arange(6.0).reshape(2, 3), "b": jnp.array([1.0, 2.0])}
    share = {"a": jnp.array([0.0, 0.5]), "b": jnp.array([0.25, 0.0])}
    mixed = InitialParams(jax.tree.map(jnp.zeros_like, params), share).mixed_into(params)
    np.testing.assert_allclose(mixed["a"], [[0, 1, 2], [1.5, 2, 2.5]])
    np.testing.assert_allclose(mixed["b"], [0.75, 2])
