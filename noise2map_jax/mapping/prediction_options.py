"""How a scene is predicted: tiles, timesteps, symmetries, threshold."""

import dataclasses

from ml_collections import ConfigDict

from noise2map_jax.errors import UserError
from noise2map_jax.mapping.tiling import Tiling

BEST = "best"  # the threshold that is best on the validation split


@dataclasses.dataclass(frozen=True)
class PredictionOptions:
    """How a scene is predicted.

    Attributes:
        timesteps: t to predict at and to average over; empty: those of the run.
        tile_size: side of a tile in pixels; 0: that of training.
        margin: pixels at the edge of a tile that are not used; -1: a sixteenth of the tile.
        overlap: pixels over which neighbouring tiles are blended; -1: a quarter of what is used.
        batch_size: tiles predicted at once; 0: about as many pixels as eight tiles of training.
        symmetries: whether predictions are averaged over the eight symmetries of the square.
        threshold: probability of not being class 0 from which a pixel is foreground; `BEST`: the
            one that `--mode=eval` found on validation; None: the most probable class.
    """

    timesteps: tuple[int, ...] = ()
    tile_size: int = 0
    margin: int = -1
    overlap: int = -1
    batch_size: int = 0
    symmetries: bool = False
    threshold: float | str | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 0:
            raise UserError(f"batch_size is {self.batch_size}; expected at least 1")
        threshold = self.threshold
        if isinstance(threshold, str) and threshold != BEST:
            raise UserError(f"threshold is {threshold!r}; expected a number from 0 to 1, or best")
        if isinstance(threshold, float | int) and not 0 < threshold < 1:
            raise UserError(f"threshold is {threshold}; expected more than 0 and less than 1")

    def tiling(self, config: ConfigDict) -> Tiling:
        """Return the tiles for the run of one task.

        Raises:
            UserError: the network cannot take tiles of this size; the message says which it can.
        """
        trained = config.data.tile_size
        size = self.tile_size or trained
        factor = 2 ** (len(config.model.unet.block_out_channels) - 1)
        if config.model.sample_size and size != trained:
            raise UserError(
                f"tile_size is {size}, but this network resamples all tiles to"
                f" {config.model.sample_size} pixels: only that of training, {trained}, is right"
            )
        if size < 1 or (size % factor and size != trained):
            near = max(round(size / factor), 1) * factor
            raise UserError(
                f"tile_size is {size}; this network halves a tile {factor.bit_length() - 1} times,"
                f" so it takes multiples of {factor}, such as {near}"
            )
        margin = size // 16 if self.margin < 0 else self.margin
        overlap = max(size - 2 * margin, 0) // 4 if self.overlap < 0 else self.overlap
        return Tiling(size, margin, overlap)

    def num_tiles(self, config: ConfigDict, num_devices: int) -> int:
        """Return how many tiles are predicted at once: a multiple of the devices."""
        size = self.tile_size or config.data.tile_size
        number = self.batch_size or max(8 * config.data.tile_size**2 // size**2, 1)
        return -(-number // num_devices) * num_devices
