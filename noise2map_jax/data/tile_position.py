"""Where a tile lies: in which scene, and where in it."""

import re
import zlib
from typing import Any

import numpy as np

from noise2map_jax.errors import UserError

ID = re.compile(r"(.+)/r(\d+)_c(\d+)")  # of a record, as data_prep writes it


def tile_position(identifier: str) -> dict[str, Any]:
    """Read from a record's id where it lies, as a step takes it.

    Args:
        identifier: SPLIT/SCENE/rROW_cCOLUMN, in pixels of the scene.

    Returns:
        `scene` uint32, a number made of the scene's name; `row` and `column` int32, of the tile's
        first pixel.

    Raises:
        UserError: another kind of id.
    """
    match = ID.fullmatch(identifier)
    if match is None:
        raise UserError(
            f"record {identifier!r} does not say where it lies; expected SPLIT/SCENE/rROW_cCOLUMN, "
            "as data_prep writes it: build the dataset again"
        )
    scene, row, column = match.groups()
    return position(zlib.crc32(scene.encode()), int(row), int(column))


def position(scene: int, row: int, column: int) -> dict[str, Any]:
    """Give the numbers their types."""
    return {"scene": np.uint32(scene), "row": np.int32(row), "column": np.int32(column)}
