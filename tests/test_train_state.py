import jax.numpy as jnp
import numpy as np
import optax

from noise2map_jax.train_state import create_train_state, update_ema


def test_average_forgets_its_start_fast_and_then_keeps_to_its_decay():
    early = update_ema(jnp.array([0.0]), jnp.array([1.0]), jnp.int32(0), 0.99)
    np.testing.assert_allclose(early, [0.9], rtol=1e-6)  # decay 1 / 10
    late = update_ema(jnp.array([0.0]), jnp.array([1.0]), jnp.int32(100_000), 0.99)
    np.testing.assert_allclose(late, [0.01], rtol=1e-5)


def test_without_an_average_the_parameters_are_evaluated():
    params = {"a": jnp.ones(2)}
    state = create_train_state(params, optax.sgd(0.1), use_ema=False)
    assert state.ema_params is None
    assert state.eval_params is state.params


def test_the_average_is_a_copy():
    params = {"a": jnp.ones(2)}
    state = create_train_state(params, optax.sgd(0.1), use_ema=True)
    assert state.ema_params["a"].unsafe_buffer_pointer() != params["a"].unsafe_buffer_pointer()
