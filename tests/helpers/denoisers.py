"""Denoisers whose sampled images are known, and the noise process for them."""

import jax
import jax.numpy as jnp

from noise2map_jax.method import noise, schedules
from noise2map_jax.method.denoising import TARGETS

TYPES = tuple(TARGETS)


def gaussian_process(alphas_cumprod=None):
    table = schedules.linear(1000) if alphas_cumprod is None else jnp.asarray(alphas_cumprod)
    return noise.create_noise_process(table, gaussian=1.0)


def denoiser_that_says(values):
    """Return a denoiser whose output is given for each timestep."""
    return lambda x_t, t: jnp.full_like(x_t, values[int(t[0])])


def exact_denoiser(process, mean, std, prediction_type):
    """Return the optimal denoiser for images whose pixels are drawn from N(mean, std**2)."""

    def denoise(x_t, t):
        signal = process.signal[t][:, None, None, None]
        noise = process.noise[t][:, None, None, None]
        surprise = (x_t - signal * mean) / (jnp.square(signal * std) + jnp.square(noise))
        return TARGETS[prediction_type](
            mean + signal * std**2 * surprise, noise * surprise, signal, noise
        )

    return jax.jit(denoise)
