"""The position of a tile: its scene, and its row and column in the scene."""

import re
import zlib
from typing import Any

import numpy as np

from noise2map_jax.errors import UserError

ID = re.compile(r"(.+)/r(\d+)_c(\d+)")  # id of a record, as data_prep writes it


def tile_position(identifier: str) -> dict[str, Any]:
    """Read the position of a tile from its record's id, in the types that a step takes.

    Args:
        identifier: SPLIT/SCENE/rROW_cCOLUMN, row and column in pixels of the scene.

    Returns:
        `scene` uint32, a checksum of the scene's name; `row` and `column` int32, of the tile's
        first pixel.

    Raises:
        UserError: the id has another form.
    """
    match = ID.fullmatch(identifier)
    if match is None:
        raise UserError(
            f"the id of record {identifier!r} gives no position; expected "
            "SPLIT/SCENE/rROW_cCOLUMN, as data_prep writes it: build the dataset again"
        )
    scene, row, column = match.groups()
    return position(zlib.crc32(scene.encode()), int(row), int(column))


def position(scene: int, row: int, column: int) -> dict[str, Any]:
    """Return a position in the types that a step takes."""
    return {"scene": np.uint32(scene), "row": np.int32(row), "column": np.int32(column)}
