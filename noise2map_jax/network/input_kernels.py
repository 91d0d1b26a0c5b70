"""Fitting the kernel of a first convolution to other bands (pure)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def inflate(kernel: jax.Array, num_bands: int) -> jax.Array:
    """Repeat the bands that there are.

    Args:
        kernel: [..., C, features].
        num_bands: N.

    Returns:
        [..., N, features]: band i is band i mod C, times C / N, so that inputs that repeat in the
        same way give the same output.
    """
    bands = jnp.arange(num_bands) % kernel.shape[-2]
    return jnp.take(kernel, bands, axis=-2) * (kernel.shape[-2] / num_bands)


def average(kernel: jax.Array, num_bands: int) -> jax.Array:
    """Give each band the mean of those that there are, scaled as in `inflate`."""
    mean = jnp.mean(kernel, axis=-2, keepdims=True) * (kernel.shape[-2] / num_bands)
    return jnp.repeat(mean, num_bands, axis=-2)


ADAPTATIONS: dict[str, Callable[[jax.Array, int], jax.Array]] = {
    "inflate": inflate,
    "average": average,
}


def fit_inputs(kernel: jax.Array, num_inputs: int, how: str, *, num_dates: int = 1) -> jax.Array:
    """Fit a kernel to inputs of other bands, each date by itself.

    Mixing the dates of a pair would make both alike, and nothing of what changed would be seen.

    Args:
        kernel: [kh, kw, dates * bands before, features].
        num_inputs: dates * bands after.
        how: a key of `ADAPTATIONS`.
        num_dates: images that are stacked along the inputs.

    Returns:
        [kh, kw, num_inputs, features].
    """
    height, width, _, features = kernel.shape
    by_date = kernel.reshape(height, width, num_dates, -1, features)
    fitted = ADAPTATIONS[how](by_date, num_inputs // num_dates)
    return fitted.reshape(height, width, num_inputs, features)
