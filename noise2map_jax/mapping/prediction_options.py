"""How a scene is predicted: tiles, timesteps, symmetries, threshold."""

import dataclasses
import math
import operator
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from noise2map_jax.errors import UserError
from noise2map_jax.experiment.map_tiles import (
    check_tile_size,
    map_tile_size,
    resampled_size,
    trained_size,
)
from noise2map_jax.mapping.tiling import Tiling

BEST = "best"  # the threshold that is best on the validation split


@dataclasses.dataclass(frozen=True)
class PredictionOptions:
    """How a scene is predicted.

    Attributes:
        timesteps: t to predict at and to average over; empty: those of the run.
        tile_size: side of a tile in pixels; 0: the run's `eval.map_tile_size`, or where that is 0,
            too, of what the network saw in training (the crops where it was trained on crops).
        margin: pixels at the edge of a tile that are not used at all.
        overlap: pixels over which neighbouring tiles are blended; -1: half of what is used.
        batch_size: tiles predicted at once; 0: as many pixels as eight crops of training.
        symmetries: whether predictions are averaged over the eight symmetries of the square.
        threshold: probability of not being class 0 from which a pixel is foreground; `BEST`: the
            one that `--mode=eval` found on validation; None: the most probable class.
        temperature: of probabilities, see `at_temperature`; None: the one that `--mode=eval` found
            on validation, or 1 if it was not run.
    """

    timesteps: tuple[int, ...] = ()
    tile_size: int = 0
    margin: int = 0
    overlap: int = -1
    batch_size: int = 0
    symmetries: bool = False
    threshold: float | str | None = None
    temperature: float | None = None

    def __post_init__(self) -> None:
        for name in ("tile_size", "margin", "overlap", "batch_size"):
            object.__setattr__(self, name, _whole(name, getattr(self, name)))
        object.__setattr__(self, "timesteps", _timesteps(self.timesteps))
        if self.batch_size < 0:
            raise UserError(f"batch_size is {self.batch_size}; expected 1 or more, or 0 to choose")
        if self.overlap < -1:
            raise UserError(f"overlap is {self.overlap}; expected 0 or more, or -1 to choose")
        if self.threshold not in (None, BEST):
            object.__setattr__(self, "threshold", _probability(self.threshold))
        if self.temperature is not None:
            object.__setattr__(self, "temperature", _temperature(self.temperature))

    def side(self, config: ConfigDict) -> int:
        """Return the side of a tile in pixels."""
        return self.tile_size or map_tile_size(config)

    def tiling(self, config: ConfigDict) -> Tiling:
        """Return the tiles for the run of one task.

        Raises:
            UserError: the network cannot take tiles of this size; the message says which it can.
        """
        size = self.side(config)
        check_tile_size(config, size)
        margin = self.margin
        overlap = max(size - 2 * margin, 0) // 2 if self.overlap < 0 else self.overlap
        return Tiling(size, margin, overlap)

    def sample_size(self, config: ConfigDict) -> int:
        """Return the side that tiles are resampled to, as in training; 0: they are not.

        Raises:
            UserError: the proportion gives no whole number.
        """
        return resampled_size(config, self.side(config))

    def num_tiles(self, config: ConfigDict, num_devices: int) -> int:
        """Return how many tiles are predicted at once: a multiple of the devices."""
        size = self.side(config)
        number = self.batch_size or max(8 * trained_size(config) ** 2 // size**2, 1)
        return -(-number // num_devices) * num_devices


def _whole(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise UserError(f"{name} is {value!r}; expected a whole number") from None


def _timesteps(value: Any) -> tuple[int, ...]:
    return tuple(_whole("timesteps", t) for t in np.atleast_1d(np.asarray(value, object)))


def _probability(value: Any) -> float:
    try:
        number = math.nan if isinstance(value, str | bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < 1:
        raise UserError(f"threshold is {value!r}; expected more than 0 and less than 1, or best")
    return number


def _temperature(value: Any) -> float:
    try:
        number = math.nan if isinstance(value, str | bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        raise UserError(f"temperature is {value!r}; expected a number more than 0")
    return number
