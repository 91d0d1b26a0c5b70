"""The arithmetic that a device does at best: measured with a product of matrices."""

import time
from typing import Any

import jax
import jax.numpy as jnp

SIZES = {"cpu": 2048}  # by platform
OTHER_SIZE = 8192


def matmul_peak(dtype: Any, *, repeats: int = 10, side: int = 0) -> float:
    """Measure the best rate of a product of square matrices on one device.

    Args:
        dtype: type of the matrices.
        repeats: number of products that are timed, after one to warm up; the fastest counts.
        side: rows and columns of the matrices; 0 = large enough for the kind of device.

    Returns:
        FLOP/s; a multiply-add is two.
    """
    size = side or SIZES.get(jax.default_backend(), OTHER_SIZE)
    a = jnp.ones((size, size), dtype)
    product = jax.jit(lambda a: a @ a)
    jax.block_until_ready(product(a))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(product(a))
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)
