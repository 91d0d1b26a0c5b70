"""Fitting the kernel of a first convolution to another number of bands."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def inflate(kernel: jax.Array, num_bands: int) -> jax.Array:
    """Repeat the bands of a kernel.

    Args:
        kernel: [..., C, features].
        num_bands: N.

    Returns:
        [..., N, features]: band i is band i mod C of `kernel`, times C / N, so an input whose bands
        repeat in the same way gives the same output.
    """
    bands = jnp.arange(num_bands) % kernel.shape[-2]
    return jnp.take(kernel, bands, axis=-2) * (kernel.shape[-2] / num_bands)


def average(kernel: jax.Array, num_bands: int) -> jax.Array:
    """Give each band the mean over the bands of a kernel, scaled as in `inflate`."""
    mean = jnp.mean(kernel, axis=-2, keepdims=True) * (kernel.shape[-2] / num_bands)
    return jnp.repeat(mean, num_bands, axis=-2)


ADAPTATIONS: dict[str, Callable[[jax.Array, int], jax.Array]] = {
    "inflate": inflate,
    "average": average,
}


def fit_inputs(kernel: jax.Array, num_inputs: int, how: str, *, num_dates: int = 1) -> jax.Array:
    """Fit a kernel to another number of bands, separately for each date.

    If the dates of a pair were mixed, both would get the same weights and no change could be seen.

    Args:
        kernel: [kh, kw, dates * bands before, features].
        num_inputs: dates * bands after.
        how: a key of `ADAPTATIONS`.
        num_dates: number of images stacked along the inputs.

    Returns:
        [kh, kw, num_inputs, features].
    """
    height, width, _, features = kernel.shape
    by_date = kernel.reshape(height, width, num_dates, -1, features)
    fitted = ADAPTATIONS[how](by_date, num_inputs // num_dates)
    return fitted.reshape(height, width, num_inputs, features)
