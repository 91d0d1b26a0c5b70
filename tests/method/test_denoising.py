import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noise2map_jax.errors import UserError
from noise2map_jax.method import denoising, schedules

PREDICTION_TYPES = ("epsilon", "sample", "v_prediction")
angles = st.floats(0.01, np.pi / 2 - 0.01)


def draw(seed, angle, num=2):
    rng = np.random.default_rng(seed)
    x0, eps = (jnp.asarray(rng.normal(size=(num, 3, 4, 2)), jnp.float32) for _ in range(2))
    angle = jnp.broadcast_to(jnp.float32(angle), (num, 1, 1, 1))
    return x0, eps, jnp.cos(angle), jnp.sin(angle)


def test_the_names_are_those_of_diffusers():
    assert tuple(denoising.TARGETS) == PREDICTION_TYPES


def test_targets_of_numbers_worked_by_hand():
    x0, eps, signal, noise = (jnp.full((1, 1, 1, 1), v) for v in (0.5, -2.0, 0.8, 0.6))
    targets = denoising.TARGETS.items()
    found = {name: float(f(x0, eps, signal, noise)[0, 0, 0, 0]) for name, f in targets}
    expected = {"epsilon": -2.0, "sample": 0.5, "v_prediction": 0.8 * -2.0 - 0.6 * 0.5}
    assert found == pytest.approx(expected)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1000), angle=angles, name=st.sampled_from(PREDICTION_TYPES))
def test_a_perfect_prediction_gives_back_image_and_noise(seed, angle, name):
    x0, eps, signal, noise = draw(seed, angle)
    x_t = signal * x0 + noise * eps
    target = denoising.get_target(name)(x0, eps, signal, noise)
    found_x0, found_eps = denoising.to_sample_and_noise(name, target, x_t, signal, noise)
    # What is divided by a small factor has lost as many digits before.
    np.testing.assert_allclose(found_x0, x0, atol=2e-6 / np.cos(angle))
    np.testing.assert_allclose(found_eps, eps, atol=2e-6 / np.sin(angle))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 1000), angle=angles, name=st.sampled_from(PREDICTION_TYPES))
def test_any_prediction_agrees_with_what_was_given(seed, angle, name):
    prediction, x_t, signal, noise = draw(seed, angle)
    x0, eps = denoising.to_sample_and_noise(name, prediction, x_t, signal, noise)
    size = float(jnp.max(jnp.abs(x0)) + jnp.max(jnp.abs(eps)))
    np.testing.assert_allclose(signal * x0 + noise * eps, x_t, atol=2e-6 * size)
    again = denoising.get_target(name)(x0, eps, signal, noise)
    np.testing.assert_allclose(again, prediction, atol=2e-6 * size)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), angle=angles)
def test_velocity_is_the_derivative_of_the_path_from_image_to_noise(seed, angle):
    x0, eps, signal, noise = draw(seed, angle)
    path = lambda a: jnp.cos(a) * x0 + jnp.sin(a) * eps  # noqa: E731
    _, slope = jax.jvp(path, (jnp.float32(angle),), (jnp.float32(1),))
    velocity = denoising.TARGETS["v_prediction"](x0, eps, signal, noise)
    np.testing.assert_allclose(velocity, slope, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "signal", "noise", "x0", "eps"),
    [
        ("epsilon", 0.0, 1.0, 0.0, 0.7),  # x_t holds no image: its mean
        ("epsilon", 1.0, 0.0, 0.3, 0.7),
        ("sample", 0.0, 1.0, 0.7, 0.3),
        ("sample", 1.0, 0.0, 0.7, 0.0),  # x_t holds no noise: its mean
        ("v_prediction", 0.0, 1.0, -0.7, 0.3),
        ("v_prediction", 1.0, 0.0, 0.3, 0.7),
    ],
)
def test_without_signal_or_noise_nothing_is_divided_by_zero(name, signal, noise, x0, eps):
    prediction, x_t = jnp.full((1, 2, 2, 1), 0.7), jnp.full((1, 2, 2, 1), 0.3)

    def solve(prediction, x_t, signal, noise):
        return denoising.to_sample_and_noise(name, prediction, x_t, signal, noise)

    factors = jnp.full((1, 1, 1, 1), signal), jnp.full((1, 1, 1, 1), noise)
    found = solve(prediction, x_t, *factors)
    np.testing.assert_allclose(found[0], np.full(x_t.shape, x0), atol=1e-7)
    np.testing.assert_allclose(found[1], np.full(x_t.shape, eps), atol=1e-7)
    total = lambda *args: sum(jnp.sum(part) for part in solve(*args))  # noqa: E731
    gradient = jax.grad(total, argnums=(0, 1, 2, 3))(prediction, x_t, *factors)
    assert all(bool(jnp.all(jnp.isfinite(g))) for g in gradient)


@pytest.mark.parametrize("name", PREDICTION_TYPES)
def test_a_schedule_that_ends_without_signal_is_solved_at_every_timestep(name):
    alphas_cumprod = schedules.zero_terminal_snr(1000)
    signal, noise = (jnp.sqrt(a)[:, None, None, None] for a in (alphas_cumprod, 1 - alphas_cumprod))
    x0, eps, *_ = draw(0, 0.5, num=1000)
    target = denoising.get_target(name)(x0, eps, signal, noise)
    found = denoising.to_sample_and_noise(name, target, signal * x0 + noise * eps, signal, noise)
    assert all(bool(jnp.all(jnp.isfinite(part))) for part in found)
    np.testing.assert_allclose(found[0][:900], x0[:900], atol=1e-4)
    np.testing.assert_allclose(found[1][1:], eps[1:], atol=1e-4)


def test_unknown_names_are_refused():
    one = jnp.ones((1, 1, 1, 1))
    for call in (
        lambda: denoising.get_target("noise"),
        lambda: denoising.to_sample_and_noise("noise", one, one, one, one),
    ):
        with pytest.raises(UserError, match=r"'noise'.*epsilon, sample, v_prediction"):
            call()


def test_one_prediction_for_several_images_is_refused():
    with pytest.raises(AssertionError, match="shape"):
        denoising.to_sample_and_noise(
            "epsilon", jnp.zeros((1, 2, 2, 3)), jnp.zeros((4, 2, 2, 3)), 0.6, 0.8
        )
