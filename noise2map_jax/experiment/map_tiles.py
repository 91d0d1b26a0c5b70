"""The size of the tiles that maps of scenes are made of, and which sizes a network can take."""

from ml_collections import ConfigDict

from noise2map_jax.errors import UserError
from noise2map_jax.experiment.components import trained_sizes
from noise2map_jax.experiment.network_choice import create_model, sample_size


def map_tile_size(config: ConfigDict) -> int:
    """Return the side of a map's tiles in pixels, for the run of one task.

    It is `eval.map_tile_size`, or the side of what the network saw in training, to which its norms
    are used.
    """
    return config.eval.map_tile_size or trained_size(config)


def trained_size(config: ConfigDict) -> int:
    """Return the side of the network's input in training, in pixels, for the run of one task."""
    return trained_sizes(config)[config.task]


def resampled_size(config: ConfigDict, size: int, name: str = "tile_size") -> int:
    """Return the side that tiles are resampled to, as in training; 0: they are not.

    Raises:
        UserError: the proportion of training gives no whole number.
    """
    trained, seen = trained_size(config), sample_size(config)
    if seen * size % trained:
        raise UserError(
            f"{name} is {size}, but this network resamples tiles of {trained} pixels to"
            f" {seen}; choose a multiple of {trained}"
        )
    return seen * size // trained


def check_tile_size(config: ConfigDict, size: int, name: str = "tile_size") -> None:
    """Raise if the network cannot take tiles of `size` pixels; `name` is what the user calls it.

    Raises:
        UserError: it cannot; the message says which it can.
    """
    seen = resampled_size(config, size, name) or size
    stride = create_model(config).stride
    if size < 1 or seen % stride:
        near = max(round(size / stride), 1) * stride
        raise UserError(
            f"{name} is {size}; this network shrinks tiles by {stride}, so it takes"
            f" multiples of {stride}, such as {near}"
        )
