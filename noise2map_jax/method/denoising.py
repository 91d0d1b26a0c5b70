"""Prediction types of a denoiser, and solving a prediction for the clean image and the noise.

Names are those of the diffusers library. Everywhere x_t = signal * x0 + noise * eps with
signal**2 + noise**2 = 1.
"""

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from noise2map_jax.errors import UserError

Target = Callable[[jax.Array, jax.Array, jax.Array, jax.Array], jax.Array]


def _epsilon(x0: jax.Array, eps: jax.Array, signal: jax.Array, noise: jax.Array) -> jax.Array:
    """Return the noise (Ho et al. 2020)."""
    return eps


def _sample(x0: jax.Array, eps: jax.Array, signal: jax.Array, noise: jax.Array) -> jax.Array:
    """Return the clean image."""
    return x0


def _v_prediction(x0: jax.Array, eps: jax.Array, signal: jax.Array, noise: jax.Array) -> jax.Array:
    """Return the velocity d x_t / d angle, signal = cos(angle) (Salimans, Ho 2022, appendix D)."""
    return signal * eps - noise * x0


# (x0, eps, signal, noise) -> target, all [B, H, W, C] except signal and noise, [B, 1, 1, 1].
TARGETS: dict[str, Target] = {
    "epsilon": _epsilon,
    "sample": _sample,
    "v_prediction": _v_prediction,
}


def get_target(prediction_type: str) -> Target:
    """Look up a target by its name, or raise a `UserError` that lists the names."""
    if prediction_type not in TARGETS:
        raise UserError(
            f"unknown prediction_type {prediction_type!r}; expected one of {', '.join(TARGETS)}"
        )
    return TARGETS[prediction_type]


def to_sample_and_noise(
    prediction_type: str,
    prediction: jax.Array,
    x_t: jax.Array,
    signal: jax.Array,
    noise: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Solve a prediction and x_t for the clean image and the noise.

        epsilon:       x0 = (x_t - noise * eps) / signal
        sample:        eps = (x_t - signal * x0) / noise
        v_prediction:  x0 = signal * x_t - noise * v,  eps = noise * x_t + signal * v

    Where a division would be by 0, x_t holds no information about the result, which is then its
    mean, 0. This happens to the clean image if `epsilon` is predicted and signal = 0 (the last
    step of a schedule with zero terminal signal; Lin et al. 2024 predict v for this reason), and
    to the noise if `sample` is predicted and noise = 0.

    Args:
        prediction_type: a key of `TARGETS`.
        prediction: [B, H, W, C], the network's prediction.
        x_t: [B, H, W, C], the network's input.
        signal: [B, 1, 1, 1] or [], signal[t].
        noise: [B, 1, 1, 1] or [], noise[t].

    Returns:
        x0 and eps, both [B, H, W, C].

    Raises:
        UserError: the name is unknown.
        AssertionError: prediction and x_t differ in shape, and would broadcast.
    """
    get_target(prediction_type)
    chex.assert_equal_shape([prediction, x_t])
    if prediction_type == "epsilon":
        return _divide(x_t - noise * prediction, signal), prediction
    if prediction_type == "sample":
        return prediction, _divide(x_t - signal * prediction, noise)
    return signal * x_t - noise * prediction, noise * x_t + signal * prediction


def _divide(numerator: jax.Array, denominator: jax.Array) -> jax.Array:
    """Divide, with x / 0 = 0 and no NaN in the gradient."""
    valid = denominator != 0
    return jnp.where(valid, numerator / jnp.where(valid, denominator, 1.0), 0.0)
