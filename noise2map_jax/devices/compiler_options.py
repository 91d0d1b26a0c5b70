"""Options of the TPU compiler that switch off "space to batch" for convolutions.

With fewer than eight images on a chip, XLA moves parts of images into the batch for convolutions
and copies whole activations to do so and to undo it. With 4 images and a network of two levels
that costs 13 times the bytes and 6 times the cycles an image (benchmarks/NOTES.md). With eight
images the options do not change the program.
"""

import functools
import warnings
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import SingleDeviceSharding

# Only both together have an effect.
_OF_TPUS = {
    "xla_tpu_run_space_to_batch": False,
    "xla_tpu_run_space_to_batch_on_new_platforms": False,
}


def compiler_options(devices: Iterable[Any]) -> dict[str, bool] | None:
    """Choose the options for programs over some devices, for `jax.jit(compiler_options=...)`.

    Args:
        devices: devices of one kind; they need not be attached to this machine.

    Returns:
        The options. None for devices other than TPUs, and, with a warning, for a compiler that
        does not know the options: then only small batches are slower.
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
            f"this libtpu does not know {' or '.join(_OF_TPUS)} ({error}): fewer than 8 images a "
            "chip at a time will be slow",
            stacklevel=3,
        )
        return None
    return dict(_OF_TPUS)
