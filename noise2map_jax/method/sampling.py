"""Drawing images from a denoiser with DDIM (Song et al. 2021): a pure function of the denoiser.

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
    """Choose the timesteps at which the denoiser is called (Lin et al. 2024, table 2).

        leading:   0, T // n, 2 (T // n), ...: misses the noisiest timesteps
        trailing:  T - 1, T - 1 - T / n, ...: begins with the noisiest, misses t = 0
        linspace:  n numbers from 0 to T - 1

    Args:
        num_train_timesteps: T.
        num_steps: n, from 1 to T.
        spacing: one of `SPACINGS`.

    Returns:
        [n] int32, falling.

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
        # Rounding can leave `arange` one number too many, which diffusers takes for a timestep -1.
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
    """Go from the noise level of t to that of t_prev (Song et al. 2021, equations 12 and 16).

        sigma = eta * noise[t_prev] / noise[t] * sqrt(1 - (signal[t] / signal[t_prev])**2)
        x_prev = signal[t_prev] * x0 + sqrt(noise[t_prev]**2 - sigma**2) * eps + sigma * fresh noise

    with x0 and eps as `to_sample_and_noise` solves them.

    Args:
        signal: [T], sqrt(alphas_cumprod).
        noise: [T], sqrt(1 - alphas_cumprod).
        x_t: [B, H, W, C].
        prediction: [B, H, W, C], of the denoiser for x_t and t.
        t: [] int, where x_t is.
        t_prev: [] int below t, where to go; negative: to the end.
        prediction_type: what `prediction` is, a key of `denoising.TARGETS`.
        clip_sample: clip x0 to [-1, 1]; eps stays as predicted.
        set_alpha_to_one: the end is x0 itself; else the noise level of t = 0.
        eta: 0 adds no noise on the way (DDIM), 1 as much as DDPM does.
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
            f"the denoiser's prediction has shape {prediction.shape}; expected that of its input, "
            f"{x_t.shape}"
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
    # Without noise at t there is none to renew; and t_prev < t has signal wherever t has.
    sigma = jnp.where(noise_t > 0, eta * noise_prev / jnp.where(noise_t > 0, noise_t, 1.0), 0.0)
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

    Each step goes to the timestep at which the denoiser is called next. So does diffusers with
    the spacing `leading`, and with `trailing` where n divides T; otherwise it goes to t - T // n
    and then tells the denoiser another timestep than the image has the noise of.

    Args:
        denoise: (x_t [B, H, W, C], t [B] int32) -> prediction [B, H, W, C]; best a jitted function.
        process: its tables; the denoiser was trained with Gaussian noise of weight 1 in its mix.
        initial_noise: [B, H, W, C], standard normal.
        num_steps: n, how often the denoiser is called.
        prediction_type: what the denoiser predicts, a key of `denoising.TARGETS`.
        spacing: which timesteps, see `ddim_timesteps`.
        clip_sample: clip x0 to [-1, 1] in every step.
        set_alpha_to_one: the last step ends at x0 itself; else at the noise level of t = 0.
        eta: 0 makes images a function of `initial_noise`; 1 adds as much noise as DDPM does.
        key: a PRNG key; needed only if `eta` is not 0.

    Returns:
        Images, [B, H, W, C], clipped to [-1, 1].

    Raises:
        UserError: as of `ddim_timesteps` and `ddim_step`.
    """
    _check(prediction_type, eta, key)  # before the denoiser is called, which takes its time
    timesteps = ddim_timesteps(process.num_train_timesteps, num_steps, spacing)
    x = jnp.asarray(initial_noise)
    # A loop in Python and not in the program: XLA's CPU convolutions are many times slower inside
    # loops, and to dispatch a step costs nothing beside the network.
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
    """Refuse options that no step could be made with."""
    get_target(prediction_type)
    if not 0 <= eta <= 1:
        raise UserError(f"eta is {eta}; expected 0 (no noise on the way) to 1 (as much as DDPM)")
    if eta and key is None:
        raise UserError(f"eta is {eta}, which draws noise at every step; expected a key")
