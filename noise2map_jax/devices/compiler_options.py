"""What the compiler for TPUs is told for programs of this network.

With fewer than eight images on a chip XLA moves parts of images into the batch for convolutions
("space to batch") and copies whole activations to do so and to undo it: of a network of two levels
13 times as many bytes and 6 times as many cycles an image, with 4 images, as without that
(benchmarks/NOTES.md). With eight the program is the same.
"""

import functools
import warnings
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import SingleDeviceSharding

# Each of them alone changes nothing.
_OF_TPUS = {
    "xla_tpu_run_space_to_batch": False,
    "xla_tpu_run_space_to_batch_on_new_platforms": False,
}


def compiler_options(devices: Iterable[Any]) -> dict[str, bool] | None:
    """Choose the options for programs over some devices, for `jax.jit(compiler_options=...)`.

    Args:
        devices: of one kind; they need not be at hand.

    Returns:
        The options; None for devices that are no TPUs, and, with a warning, where the compiler
        does not know them: then nothing but the time of small batches is lost.
    """
    every = list(devices)
    own = [device for device in every if device.process_index == jax.process_index()]
    device = (own or every)[0]
    return _known(device) if device.platform == "tpu" else None


@functools.cache
def _known(device: Any) -> dict[str, bool] | None:
    number = jax.ShapeDtypeStruct((), jnp.float32, sharding=SingleDeviceSharding(device))
    try:
        jax.jit(jnp.negative, compiler_options=_OF_TPUS).lower(number).compile()
    except jax.errors.JaxRuntimeError as error:
        if "No such compile option" not in str(error):
            raise
        warnings.warn(
            f"this libtpu is without {' or '.join(_OF_TPUS)} ({error}): fewer than 8 images a chip "
            "at a time will be slow",
            stacklevel=3,
        )
        return None
    return dict(_OF_TPUS)
