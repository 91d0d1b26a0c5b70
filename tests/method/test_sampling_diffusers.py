"""DDIM beside diffusers: its values, and itself where it is installed."""

import jax
import jax.numpy as jnp
import numpy as np
import programs
import pytest
from denoisers import TYPES, exact_denoiser, gaussian_process

from noise2map_jax.method import sampling
from noise2map_jax.method.denoising import TARGETS

GOLDEN = np.load(programs.ROOT / "tests" / "golden" / "ddim.npz")


def nhwc(x):
    return jnp.asarray(np.moveaxis(x, -3, -1))


@pytest.mark.parametrize("spacing", sampling.SPACINGS)
@pytest.mark.parametrize("num_steps", [5, 7, 48, 1000])
def test_timesteps_equal_golden_values(spacing, num_steps):
    found = sampling.ddim_timesteps(1000, num_steps, spacing)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, GOLDEN[f"timesteps_{spacing}_{num_steps}"])


def test_rounding_adds_no_timestep_below_zero():
    golden = GOLDEN["timesteps_trailing_61"]
    assert golden[61] == -1  # diffusers
    np.testing.assert_array_equal(sampling.ddim_timesteps(1000, 61, "trailing"), golden[:61])


@pytest.mark.parametrize("clipping", ["clipped", "free"])
@pytest.mark.parametrize("prediction_type", TYPES)
@pytest.mark.parametrize("spacing", sampling.SPACINGS)
def test_steps_equal_golden_values(spacing, prediction_type, clipping):
    process = gaussian_process()
    expected = nhwc(GOLDEN[f"samples_{spacing}_{prediction_type}_{clipping}"])
    before = [nhwc(GOLDEN["initial_noise"]), *expected]
    predictions = nhwc(GOLDEN["predictions"])
    timesteps = sampling.ddim_timesteps(1000, 5, spacing)
    for i, t in enumerate(timesteps):
        found = sampling.ddim_step(
            process.signal,
            process.noise,
            before[i],
            predictions[i],
            t,
            t - 1000 // 5,  # diffusers: even where the next timestep is another
            prediction_type=prediction_type,
            clip_sample=clipping == "clipped",
        )
        scale = max(1.0, float(jnp.max(jnp.abs(before[i]))))
        np.testing.assert_allclose(found, expected[i], rtol=0, atol=1e-4 * scale)


@pytest.mark.parametrize("prediction_type", TYPES)
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_images_equal_golden_values(spacing, prediction_type):
    timesteps = GOLDEN[f"timesteps_{spacing}_5"].tolist()
    predictions = nhwc(GOLDEN["predictions"])
    images = sampling.ddim_sample(
        lambda x_t, t: predictions[timesteps.index(int(t[0]))],
        gaussian_process(),
        nhwc(GOLDEN["initial_noise"]),
        num_steps=5,
        prediction_type=prediction_type,
        spacing=spacing,
    )
    expected = nhwc(GOLDEN[f"samples_{spacing}_{prediction_type}_clipped"])[-1]
    np.testing.assert_allclose(images, np.clip(expected, -1, 1), rtol=0, atol=1e-4)


def test_last_step_to_the_noise_level_of_the_first_timestep_equals_golden_values():
    process = gaussian_process()
    found = sampling.ddim_step(
        process.signal,
        process.noise,
        nhwc(GOLDEN["initial_noise"]),
        nhwc(GOLDEN["predictions"])[0],
        0,
        -200,
        prediction_type="epsilon",
        set_alpha_to_one=False,
    )
    np.testing.assert_allclose(found, nhwc(GOLDEN["last_sample_of_final_alpha"]), atol=1e-5)


@pytest.fixture
def scheduler():
    """Make diffusers' own scheduler."""
    diffusers = pytest.importorskip("diffusers", reason="needs diffusers (the extra 'parity')")
    pytest.importorskip("torch", reason="needs torch (the extra 'parity')")
    return diffusers.DDIMScheduler


ignore_their_warnings = pytest.mark.filterwarnings("ignore")  # those of torch and diffusers


@ignore_their_warnings
@pytest.mark.parametrize("spacing", sampling.SPACINGS)
def test_timesteps_are_those_of_diffusers(scheduler, spacing):
    for total in (10, 100, 1000):
        theirs = scheduler(num_train_timesteps=total, timestep_spacing=spacing)
        for num_steps in range(1, total + 1, 1 + total // 100):
            theirs.set_timesteps(num_steps)
            expected = theirs.timesteps.numpy()[:num_steps]  # without the timestep -1 of rounding
            found = sampling.ddim_timesteps(total, num_steps, spacing)
            np.testing.assert_array_equal(found, expected, err_msg=f"{num_steps} of {total}")


@ignore_their_warnings
@pytest.mark.parametrize("eta", [0.0, 0.7])
@pytest.mark.parametrize("clip_sample", [True, False])
@pytest.mark.parametrize("prediction_type", TYPES)
@pytest.mark.parametrize("spacing", sampling.SPACINGS)
def test_steps_are_those_of_diffusers(scheduler, spacing, prediction_type, clip_sample, eta):
    import torch

    num_steps = 8
    theirs = scheduler(
        timestep_spacing=spacing, prediction_type=prediction_type, clip_sample=clip_sample
    )
    theirs.set_timesteps(num_steps)
    process = gaussian_process()
    x0, eps = jax.random.normal(jax.random.key(0), (2, 2, 4, 4, 3))
    for i, t in enumerate(sampling.ddim_timesteps(1000, num_steps, spacing)):
        # What a network that is not quite right says of an image at this level of noise.
        signal, noise = process.signal[t], process.noise[t]
        x = signal * 0.5 * x0 + noise * eps
        prediction = TARGETS[prediction_type](jnp.tanh(x0), eps + 0.1 * x0, signal, noise)
        key = jax.random.key(i)
        found = sampling.ddim_step(
            process.signal,
            process.noise,
            x,
            prediction,
            t,
            t - 1000 // num_steps,
            prediction_type=prediction_type,
            clip_sample=clip_sample,
            eta=eta,
            key=key,
        )
        fresh = np.asarray(jax.random.normal(key, x.shape))
        expected = theirs.step(
            torch.tensor(np.asarray(prediction)),
            int(t),
            torch.tensor(np.asarray(x)),
            eta=eta,
            variance_noise=torch.tensor(fresh),
        ).prev_sample.numpy()
        scale = max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * scale)


@ignore_their_warnings
@pytest.mark.parametrize("clip_sample", [True, False])
@pytest.mark.parametrize("prediction_type", TYPES)
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_images_are_those_of_diffusers(scheduler, spacing, prediction_type, clip_sample):
    import torch

    options = {"prediction_type": prediction_type, "clip_sample": clip_sample}
    theirs = scheduler(timestep_spacing=spacing, **options)
    theirs.set_timesteps(10)
    process = gaussian_process()
    denoise = exact_denoiser(process, 0.1, 0.3, prediction_type)
    z = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    x = torch.tensor(z)
    for t in theirs.timesteps:
        prediction = denoise(jnp.asarray(x.numpy()), jnp.full(2, int(t), jnp.int32))
        x = theirs.step(torch.tensor(np.asarray(prediction)), int(t), x).prev_sample
    images = sampling.ddim_sample(denoise, process, z, num_steps=10, spacing=spacing, **options)
    np.testing.assert_allclose(images, np.clip(x.numpy(), -1, 1), rtol=0, atol=1e-4)
