"""Sampling images from a denoiser with DDIM (Song et al. 2021), as a function of the denoiser.

Names and defaults are those of diffusers' DDIMScheduler.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from noise2map_jax.errors import UserError
from noise2map_jax.method.denoising import get_target, to_sample_and_noise
from noise2map_jax.method.noise import NoiseProcess

SPACINGS = ("leading", "trailing", "linspace")

Denoiser = Callable[[jax.Array, jax.Array], jax.Array]


def ddim_timesteps(
    num_train_timesteps: int, num_steps: int, spacing: str = "leading"
) -> np.ndarray:
    """Choose the timesteps to call the denoiser at (Lin et al. 2024, table 2).

        leading:   0, T // n, 2 (T // n), ...: leaves out the noisiest timesteps
        trailing:  T - 1, T - 1 - T / n, ...: begins with the noisiest, leaves out t = 0
        linspace:  n numbers from 0 to T - 1

    Args:
        num_train_timesteps: T.
        num_steps: n, from 1 to T.
        spacing: one of `SPACINGS`.

    Returns:
        [n] int32, descending.

    Raises:
        UserError: the spacing is unknown, or there are fewer timesteps than steps.
    """
    total = num_train_timesteps
    if spacing not in SPACINGS:
        raise UserError(f"unknown spacing {spacing!r}; expected one of {', '.join(SPACINGS)}")
    if not 1 <= num_steps <= total:
        raise UserError(f"num_steps is {num_steps}; expected 1 to T = {total}")
    timesteps: np.ndarray
    if spacing == "leading":
        timesteps = np.arange(num_steps)[::-1] * (total // num_steps)
    elif spacing == "trailing":
        # Rounding can give `arange` one number too many; in diffusers it becomes a timestep -1.
        timesteps = np.round(np.arange(total, 0, -total / num_steps))[:num_steps] - 1
    else:
        timesteps = np.round(np.linspace(0, total - 1, num_steps))[::-1]
    return timesteps.astype(np.int32)


def ddim_step(
    signal: jax.Array,
    noise: jax.Array,
    x_t: jax.Array,
    prediction: jax.Array,
    t: ArrayLike,
    t_prev: ArrayLike,
    *,
    prediction_type: str,
    clip_sample: bool = True,
    set_alpha_to_one: bool = True,
    eta: float = 0.0,
    key: jax.Array | None = None,
) -> jax.Array:
    """Step from the noise level of t to that of t_prev (Song et al. 2021, equations 12 and 16).

        sigma = eta * noise[t_prev] / noise[t] * sqrt(1 - (signal[t] / signal[t_prev])**2)
        x_prev = signal[t_prev] * x0 + sqrt(noise[t_prev]**2 - sigma**2) * eps + sigma * fresh noise

    with x0 and eps from `to_sample_and_noise`.

    Args:
        signal: [T], sqrt(alphas_cumprod).
        noise: [T], sqrt(1 - alphas_cumprod).
        x_t: [B, H, W, C].
        prediction: [B, H, W, C], the denoiser's prediction for x_t and t.
        t: [] int, the timestep of x_t.
        t_prev: [] int below t, the timestep of x_prev; a negative one is the end.
        prediction_type: the type of `prediction`, a key of `denoising.TARGETS`.
        clip_sample: clip x0 to [-1, 1]; eps stays as predicted.
        set_alpha_to_one: whether the end is x0 itself; if not, the noise level of t = 0.
        eta: 0 adds no noise (DDIM), 1 adds as much as DDPM.
        key: a PRNG key for the fresh noise; needed only if `eta` is not 0.

    Returns:
        x_prev, [B, H, W, C].

    Raises:
        UserError: the prediction type is unknown, eta is not in [0, 1] or lacks a key, or the
            prediction has another shape than x_t.
    """
    _check(prediction_type, eta, key)
    if prediction.shape != x_t.shape:
        raise UserError(
            f"the denoiser's prediction has shape {prediction.shape}; expected the shape of its "
            f"input, {x_t.shape}"
        )
    t, t_prev = jnp.asarray(t), jnp.asarray(t_prev)
    signal_t, noise_t = signal[t], noise[t]
    last = (1.0, 0.0) if set_alpha_to_one else (signal[0], noise[0])
    signal_prev = jnp.where(t_prev < 0, last[0], signal[t_prev])
    noise_prev = jnp.where(t_prev < 0, last[1], noise[t_prev])

    x0, eps = to_sample_and_noise(prediction_type, prediction, x_t, signal_t, noise_t)
    if clip_sample:
        x0 = jnp.clip(x0, -1, 1)
    if not eta:
        return signal_prev * x0 + noise_prev * eps
    # Where t has no noise, or t_prev no signal, neither has the other, and 0 / 0 is to be 0.
    sigma = eta * noise_prev / jnp.where(noise_t > 0, noise_t, 1.0)
    ratio = signal_t / jnp.where(signal_prev > 0, signal_prev, 1.0)
    sigma *= jnp.sqrt(jnp.maximum(1 - jnp.square(ratio), 0.0))
    direction = jnp.sqrt(jnp.maximum(jnp.square(noise_prev) - jnp.square(sigma), 0.0))
    assert key is not None
    fresh = jax.random.normal(key, x_t.shape, x_t.dtype)
    return signal_prev * x0 + direction * eps + sigma * fresh


_jitted_step = jax.jit(
    ddim_step, static_argnames=("prediction_type", "clip_sample", "set_alpha_to_one", "eta")
)


def ddim_sample(
    denoise: Denoiser,
    process: NoiseProcess,
    initial_noise: jax.Array,
    *,
    num_steps: int,
    prediction_type: str,
    spacing: str = "leading",
    clip_sample: bool = True,
    set_alpha_to_one: bool = True,
    eta: float = 0.0,
    key: jax.Array | None = None,
) -> jax.Array:
    """Turn noise into images.

    Each step ends at the timestep of the next call of the denoiser. diffusers does the same with
    the spacing `leading`, and with `trailing` if n divides T. Otherwise it steps to t - T // n, so
    the timestep that it gives to the denoiser differs from the noise level of the image.

    Args:
        denoise: (x_t [B, H, W, C], t [B] int32) -> prediction [B, H, W, C]; should be jitted.
        process: the noise process of the denoiser's training, with Gaussian noise of weight 1.
        initial_noise: [B, H, W, C], standard normal.
        num_steps: n, the number of calls of the denoiser.
        prediction_type: the type of the denoiser's prediction, a key of `denoising.TARGETS`.
        spacing: spacing of the timesteps, see `ddim_timesteps`.
        clip_sample: clip x0 to [-1, 1] in every step.
        set_alpha_to_one: whether the last step ends at x0 itself; if not, at the noise level of
            t = 0.
        eta: 0 makes images a function of `initial_noise`; 1 adds as much noise as DDPM.
        key: a PRNG key; needed only if `eta` is not 0.

    Returns:
        Images, [B, H, W, C], clipped to [-1, 1].

    Raises:
        UserError: as in `ddim_timesteps` and `ddim_step`.
    """
    _check(prediction_type, eta, key)  # before the first, slow call of the denoiser
    timesteps = ddim_timesteps(process.num_train_timesteps, num_steps, spacing)
    x = jnp.asarray(initial_noise)
    # A loop in Python, not in XLA, whose CPU convolutions are many times slower inside loops;
    # dispatching a step costs little compared to the network.
    for t, t_prev in zip(timesteps, [*timesteps[1:], np.int32(-1)], strict=True):
        prediction = denoise(x, jnp.full(x.shape[0], t, jnp.int32))
        x = _jitted_step(
            process.signal,
            process.noise,
            x,
            prediction,
            t,
            t_prev,
            prediction_type=prediction_type,
            clip_sample=clip_sample,
            set_alpha_to_one=set_alpha_to_one,
            eta=eta,
            key=None if key is None else jax.random.fold_in(key, t),
        )
    return jnp.clip(x, -1, 1)


def _check(prediction_type: str, eta: float, key: jax.Array | None) -> None:
    """Raise if an option is invalid."""
    get_target(prediction_type)
    if not 0 <= eta <= 1:
        raise UserError(f"eta is {eta}; expected 0 (adds no noise) to 1 (adds as much as DDPM)")
    if eta and key is None:
        raise UserError(f"eta is {eta}, so every step draws noise; expected a key")
