import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from denoisers import TYPES, denoiser_that_says, exact_denoiser, gaussian_process

from noise2map_jax.errors import UserError
from noise2map_jax.method import sampling, schedules


# Two timesteps with signal 0.8, 0.6 and noise 0.6, 0.8. By hand, from x_1 = 0.7:
#   t = 1, eps = 0.5: x0 = (0.7 - 0.8 * 0.5) / 0.6 = 0.5,  x = 0.8 * 0.5 + 0.6 * 0.5 = 0.7
#   t = 0, eps = 0.1: x0 = (0.7 - 0.6 * 0.1) / 0.8 = 0.8,  x = 1 * 0.8 + 0 * 0.1 = 0.8
#   or, to the noise level of t = 0:                       x = 0.8 * 0.8 + 0.6 * 0.1 = 0.7
@pytest.mark.parametrize(("set_alpha_to_one", "expected"), [(True, 0.8), (False, 0.7)])
def test_two_steps_worked_by_hand(set_alpha_to_one, expected):
    process = gaussian_process([0.64, 0.36])
    found = sampling.ddim_sample(
        denoiser_that_says({1: 0.5, 0: 0.1}),
        process,
        jnp.full((2, 1, 1, 3), 0.7),
        num_steps=2,
        prediction_type="epsilon",
        set_alpha_to_one=set_alpha_to_one,
    )
    np.testing.assert_allclose(found, np.full((2, 1, 1, 3), expected), rtol=1e-6)


# By hand, from x_1 = 0.7 and eps = -1: x0 = (0.7 + 0.8) / 0.6 = 2.5, clipped to 1.
#   x = 0.8 * 1 - 0.6 = 0.2 or x = 0.8 * 2.5 - 0.6 = 1.4
@pytest.mark.parametrize(("clip_sample", "expected"), [(True, 0.2), (False, 1.4)])
def test_clipping_worked_by_hand(clip_sample, expected):
    process = gaussian_process([0.64, 0.36])
    x, eps = jnp.full((1, 1, 1, 1), 0.7), jnp.full((1, 1, 1, 1), -1.0)
    options = {"prediction_type": "epsilon", "clip_sample": clip_sample}
    found = sampling.ddim_step(process.signal, process.noise, x, eps, 1, 0, **options)
    np.testing.assert_allclose(found, np.full((1, 1, 1, 1), expected), rtol=1e-6)


def test_defaults_are_those_of_diffusers():
    # clip_sample and set_alpha_to_one are on, eta is 0, the spacing is leading.
    process = gaussian_process([0.64, 0.36])
    x, eps = jnp.full((1, 1, 1, 1), 0.7), jnp.full((1, 1, 1, 1), -1.0)
    step = functools.partial(sampling.ddim_step, process.signal, process.noise)
    found = step(x, eps, 1, 0, prediction_type="epsilon")
    np.testing.assert_allclose(found, np.full((1, 1, 1, 1), 0.2), rtol=1e-5)
    # To the end: x0 = (0.7 - 0.6 * 0.1) / 0.8.
    found = step(x, -0.1 * eps, 0, -1, prediction_type="epsilon")
    np.testing.assert_allclose(found, np.full((1, 1, 1, 1), 0.8), rtol=1e-5)
    # x_0 = 0.2 as above, and then 0.2 / 0.8.
    denoise = denoiser_that_says({1: -1.0, 0: 0.0})
    found = sampling.ddim_sample(denoise, process, x, num_steps=2, prediction_type="epsilon")
    np.testing.assert_allclose(found, np.full((1, 1, 1, 1), 0.25), rtol=1e-5)
    np.testing.assert_array_equal(sampling.ddim_timesteps(10, 3), [6, 3, 0])


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [("leading", [6, 3, 0]), ("trailing", [9, 6, 2]), ("linspace", [9, 4, 0])],
)
def test_timesteps_worked_by_hand(spacing, expected):
    # T = 10, n = 3: 10 // 3 = 3; 10, 6.7 and 3.3, rounded, less 1; 0, 4.5 and 9, rounded.
    np.testing.assert_array_equal(sampling.ddim_timesteps(10, 3, spacing), expected)


# By hand, from x_1 = 0.7, eps = 0.5 (x0 = 0.5): sigma = 0.6 / 0.8 * sqrt(1 - (0.6 / 0.8)**2)
#   = 0.4960784; x = 0.8 * 0.5 + sqrt(0.36 - 0.2460938) * 0.5 + sigma * fresh noise
def test_fresh_noise_worked_by_hand():
    process = gaussian_process([0.64, 0.36])
    x, eps = jnp.full((2, 3, 4, 1), 0.7), jnp.full((2, 3, 4, 1), 0.5)
    key = jax.random.key(3)
    found = sampling.ddim_step(
        process.signal, process.noise, x, eps, 1, 0, prediction_type="epsilon", eta=1.0, key=key
    )
    fresh = jax.random.normal(key, x.shape)
    np.testing.assert_allclose(found, 0.4 + 0.3375 * 0.5 + 0.4960784 * fresh, atol=1e-6)


@pytest.mark.parametrize("prediction_type", TYPES)
def test_images_have_the_mean_and_deviation_of_what_the_denoiser_knows(prediction_type):
    process = gaussian_process()
    mean, std = 0.2, 0.15
    z = jax.random.normal(jax.random.key(0), (4, 32, 32, 3))
    images = sampling.ddim_sample(
        exact_denoiser(process, mean, std, prediction_type),
        process,
        z,
        num_steps=500,
        prediction_type=prediction_type,
        spacing="trailing",
        clip_sample=False,
    )
    np.testing.assert_allclose(jnp.mean(images), mean + std * jnp.mean(z), atol=0.003)
    # Steps of finite length narrow it: by 1.3 % with 500 of them.
    np.testing.assert_allclose(jnp.std(images), std, rtol=0.02)
    # The way from noise to image keeps the order of the pixels: image = mean + std * noise.
    np.testing.assert_allclose(images, mean + std * z, atol=0.015)


def test_fresh_noise_leads_to_the_same_distribution_and_not_to_the_same_images():
    process = gaussian_process()
    mean, std = 0.2, 0.15
    z = jax.random.normal(jax.random.key(0), (4, 32, 32, 3))

    def draw(key):
        return sampling.ddim_sample(
            exact_denoiser(process, mean, std, "epsilon"),
            process,
            z,
            num_steps=1000,
            prediction_type="epsilon",
            spacing="trailing",
            clip_sample=False,
            eta=1.0,
            key=jax.random.key(key),
        )

    images, others = draw(1), draw(2)
    np.testing.assert_allclose(jnp.mean(images), mean, atol=0.005)
    np.testing.assert_allclose(jnp.std(images), std, rtol=0.05)
    assert abs(np.corrcoef(np.ravel(images), np.ravel(others))[0, 1]) < 0.05
    np.testing.assert_array_equal(images, draw(1))


def test_images_are_clipped_on_both_sides():
    process = gaussian_process([0.64, 0.36])
    x, eps = jnp.full((1, 1, 1, 1), -0.7), jnp.ones((1, 1, 1, 1))
    found = sampling.ddim_step(
        process.signal, process.noise, x, eps, 1, 0, prediction_type="epsilon"
    )
    np.testing.assert_allclose(found, np.full((1, 1, 1, 1), -0.2), rtol=1e-6)


@pytest.mark.parametrize(
    ("alphas_cumprod", "expected"),
    [([1.0, 1.0], 0.7), ([0.0, 0.0], None)],  # no noise at either timestep, or no signal
)
def test_fresh_noise_where_there_is_no_noise_or_no_signal(alphas_cumprod, expected):
    process = gaussian_process(alphas_cumprod)
    x = jnp.full((1, 1, 1, 1), 0.7)
    found = sampling.ddim_step(
        process.signal,
        process.noise,
        x,
        x,
        1,
        0,
        prediction_type="sample",
        eta=1.0,
        key=jax.random.key(0),
    )
    assert bool(jnp.isfinite(found).all())
    if expected is not None:
        np.testing.assert_allclose(found, np.full((1, 1, 1, 1), expected), rtol=1e-6)


def test_fresh_noise_that_rounding_makes_larger_than_all_noise():
    """Where sigma is noise[t_prev] but for rounding, nothing is left for eps: 0, not NaN."""
    process = gaussian_process([0.99999984, 0.48238908])
    x, key = jnp.full((1, 1, 1, 1), 0.7), jax.random.key(0)
    step = functools.partial(sampling.ddim_step, process.signal, process.noise, x, x, 1, 0)
    found = step(prediction_type="sample", eta=1.0, key=key)
    fresh = process.noise[0] * jax.random.normal(key, x.shape)
    np.testing.assert_allclose(found, 0.7 * process.signal[0] + fresh, atol=1e-6)


@pytest.mark.parametrize("spacing", sampling.SPACINGS)
def test_timesteps_fall_within_the_table(spacing):
    for total, num in itertools.product((1, 2, 10, 100), (1, 2, 3, 7, 10, 58, 100)):
        if num <= total:
            timesteps = sampling.ddim_timesteps(total, num, spacing)
            assert len(timesteps) == num
            assert np.all(np.diff(timesteps) < 0)
            assert timesteps.max() < total
            assert timesteps.min() >= 0


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("prediction_type", TYPES)
def test_a_schedule_that_starts_without_signal_gives_images(prediction_type, eta):
    process = gaussian_process(schedules.zero_terminal_snr(1000))
    mean, std = 0.2, 0.15
    images = sampling.ddim_sample(
        exact_denoiser(process, mean, std, prediction_type),
        process,
        jax.random.normal(jax.random.key(0), (4, 32, 32, 3)),
        num_steps=250,
        prediction_type=prediction_type,
        spacing="trailing",
        eta=eta,
        key=jax.random.key(1),
    )
    assert bool(jnp.all(jnp.isfinite(images)))
    if prediction_type != "epsilon":  # which cannot know the mean where there is no signal
        np.testing.assert_allclose(jnp.mean(images), mean, atol=0.02)
        np.testing.assert_allclose(jnp.std(images), std, rtol=0.1)


def test_the_denoiser_gets_one_timestep_an_image_and_images_are_clipped():
    seen = []

    def denoise(x_t, t):
        seen.append((x_t.shape, t.shape, t.dtype.name, t.tolist()))
        return jnp.full_like(x_t, 3.0).at[1].set(-3.0)

    images = sampling.ddim_sample(
        denoise,
        gaussian_process(),
        jnp.zeros((2, 4, 6, 3)),
        num_steps=2,
        prediction_type="sample",
        clip_sample=False,
    )
    assert seen == [((2, 4, 6, 3), (2,), "int32", [t, t]) for t in (500, 0)]
    np.testing.assert_array_equal(images[0], np.ones((4, 6, 3)))
    np.testing.assert_array_equal(images[1], -np.ones((4, 6, 3)))


def test_all_of_it_is_a_pure_function_that_can_be_compiled():
    process = gaussian_process()
    denoise = exact_denoiser(process, 0.1, 0.2, "v_prediction")

    def draw(process, z):
        return sampling.ddim_sample(
            denoise, process, z, num_steps=4, prediction_type="v_prediction"
        )

    z = jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    np.testing.assert_allclose(jax.jit(draw)(process, z), draw(process, z), atol=1e-5)


def sample(denoise=None, **options):
    options = {"num_steps": 2, "prediction_type": "epsilon"} | options
    denoise = denoise or denoiser_that_says({500: 0.0, 0: 0.0})
    return sampling.ddim_sample(denoise, gaussian_process(), jnp.zeros((1, 2, 2, 3)), **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prediction_type": "noise"}, r"'noise'.*epsilon, sample, v_prediction"),
        ({"spacing": "even"}, r"spacing 'even'.*leading, trailing, linspace"),
        ({"num_steps": 0}, r"num_steps is 0.*1 to T = 1000"),
        ({"num_steps": 1001}, r"num_steps is 1001.*1 to T = 1000"),
        ({"eta": -0.5}, r"eta is -0\.5.*0 .*to 1"),
        ({"eta": 1.5, "key": jax.random.key(0)}, r"eta is 1\.5.*0 .*to 1"),
        ({"eta": 0.5}, r"eta is 0\.5.*expected a key"),
        ({"denoise": lambda x_t, t: x_t[..., :2]}, r"\(1, 2, 2, 2\).*\(1, 2, 2, 3\)"),
    ],
)
def test_mistakes_are_named(options, words):
    with pytest.raises(UserError, match=words):
        sample(**options)


def test_mistakes_are_named_before_the_denoiser_is_called():
    def denoise(x_t, t):
        raise AssertionError

    for options in ({"prediction_type": "noise"}, {"eta": 0.5}, {"spacing": "even"}):
        with pytest.raises(UserError):
            sample(denoise, **options)
