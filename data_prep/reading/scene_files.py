"""Reads the files of one scene onto the grid of its first image."""

from dataclasses import dataclass

import numpy as np

from data_prep.basics.dataset import IGNORE, Scene
from data_prep.basics.rejection import Unusable
from data_prep.imagery.band_choice import AS_FLAGGED, BandChoice
from data_prep.imagery.bands import ReadError
from data_prep.imagery.files import read_grid
from data_prep.imagery.grid import Grid, difference, turn_onto
from data_prep.imagery.image_file import read_image
from data_prep.imagery.mask_file import read_mask
from data_prep.imagery.turn import Turn
from data_prep.reading import masks


@dataclass(frozen=True)
class SceneReader:
    """How the files of a dataset's scenes are read.

    Attributes:
      encoding: Encoding of the masks.
      num_classes: Number of classes.
      missing: Class of mask pixels without data: 255 = ignore, or a class.
      choice: Which bands of the images are read.
    """

    encoding: str
    num_classes: int
    missing: int = IGNORE
    choice: BandChoice = AS_FLAGGED

    def __call__(self, scene: Scene) -> dict[str, np.ndarray]:
        """Read the files of a scene.

        Returns:
          {feature: [H, W, C]}; the mask is 255 wherever an image has no valid pixel, elsewhere the
          class, or 0 if the scene has no mask file. A file whose georeference says that it is
          turned or mirrored against the first image is turned back.

        Raises:
          Unusable: A file can no longer be read.
        """
        height, width = scene.height, scene.width
        window = None if scene.window is None else (*scene.window, height, width)
        invalid = np.zeros((height, width, 1), bool)
        arrays: dict[str, np.ndarray] = {"mask": invalid.astype(np.uint8)}
        first = next(path for role, path in scene.files.items() if role != "mask")
        for role, path in scene.files.items():
            try:
                grid, target = read_grid(path), read_grid(first)
                turn = turn_between(grid, target, first.name)
                part = window
                if turn and window is not None:
                    part = turn.stored_window(window, target.height, target.width)
                if role == "mask":
                    mask = read_mask(path, part).turned(turn)
                    arrays[role] = masks.to_index(
                        mask, self.encoding, self.num_classes, self.missing
                    )
                else:
                    image = read_image(path, part, self.choice).turned(turn)
                    arrays[role] = image.pixels
                    if image.valid is not None:
                        invalid |= ~image.valid[..., None]
            except ReadError as error:
                raise Unusable({path: f"{error}, although it was readable before"}) from error
        arrays["mask"] = np.where(invalid, np.uint8(IGNORE), arrays["mask"])
        return arrays


def turn_between(grid: Grid, target: Grid, first: str) -> Turn:
    """Return the turn that brings a file onto the grid of the first image of its scene.

    Args:
      grid: Grid of the file.
      target: Grid of the first image.
      first: Name of the first image, for the message.

    Raises:
      ReadError: The two lie on different grids, or differ in size; the message says by how much.
    """
    turn = turn_onto(grid, target)
    if turn is not None:
        return turn
    if grid.is_placed and target.is_placed:
        raise ReadError(f"is not on the grid of {first}: {difference(target, grid)}")
    raise ReadError(
        f"has {grid.width} x {grid.height} pixels, but {first} has {target.width} x {target.height}"
    )
