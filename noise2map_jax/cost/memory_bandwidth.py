"""The bytes a second that a device's memory gives and takes at best: measured with a sum."""

import time

import jax
import jax.numpy as jnp

SIZES = {"cpu": 2**28}  # bytes by platform: much more than caches hold
OTHER_SIZE = 2**31
CALLS = 10  # that are begun before the first is waited for: starting a call takes time, too


def memory_bandwidth(*, repeats: int = 3, size: int = 0) -> float:
    """Measure how fast one device adds a number to an array in place.

    Args:
        repeats: number of measurements, after one to warm up; the fastest counts.
        size: bytes of the array, a multiple of 4; 0 = large enough for the kind of device.

    Returns:
        Bytes/s; each byte of the array counts twice, for it is read and written.
    """
    size = size or SIZES.get(jax.default_backend(), OTHER_SIZE)
    array = jnp.zeros(size // 4, jnp.float32)
    add = jax.jit(lambda a: a + 1, donate_argnums=0)
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        for _ in range(CALLS):
            array = add(array)
        jax.block_until_ready(array)
        seconds.append(time.perf_counter() - start)
    return 2 * array.nbytes * CALLS / min(seconds[1:])
