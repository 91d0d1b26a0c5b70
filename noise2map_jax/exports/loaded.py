"""Loads what `--format=stablehlo` wrote; needs JAX and NumPy, nothing else.

A new batch size is compiled at its first call, so keep to one and fill up the last batch.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.export
import numpy as np
from numpy.typing import ArrayLike

from noise2map_jax.errors import UserError

PROGRAM, METADATA = "model.stablehlo", "model.json"
FORMAT = 1  # of METADATA


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A network with its scaling and noise, for tiles of one size.

    Attributes:
        metadata: the content of `model.json`.
    """

    metadata: dict[str, Any]
    _call: Callable[..., jax.Array]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes."""
        return tuple(self.metadata["classes"])

    @property
    def image_keys(self) -> tuple[str, ...]:
        """Names of the images that a map is made of: `image`, or `pre` and `post`."""
        return tuple(self.metadata["image_keys"])

    @property
    def tile_size(self) -> int:
        """S, side of a tile in pixels."""
        return self.metadata["tile_size"]

    @property
    def needs_position(self) -> bool:
        """Whether noise is drawn, which follows from the tiles' places in their scene."""
        return any(one["name"] == "row" for one in self.metadata["inputs"])

    def predict_tiles(
        self,
        image: ArrayLike,
        post: ArrayLike | None = None,
        *,
        row: ArrayLike | None = None,
        column: ArrayLike | None = None,
    ) -> np.ndarray:
        """Predict N tiles.

        Args:
            image: [N, S, S, C] as stored, of the type that the network was trained on; for a pair
                the earlier one.
            post: the later image of a pair, likewise.
            row: [N], row of each tile's first pixel in its scene, where `needs_position`.
            column: [N], column of each tile's first pixel, likewise.

        Returns:
            Class probabilities [N, S, S, K] float32.

        Raises:
            UserError: an image is missing or one too many, or has another shape or type.
        """
        given = {"image": image, "pre": image, "post": post, "row": row, "column": column}
        names = [one["name"] for one in self.metadata["inputs"]]
        if surplus := [
            k for k in ("post", "row", "column") if given[k] is not None and k not in names
        ]:
            raise UserError(f"{surplus[0]} is given, but the network takes {', '.join(names)}")
        arrays: list[np.ndarray] = []
        for one in self.metadata["inputs"]:
            value = given[one["name"]]
            if value is None:
                raise UserError(f"{one['name']} is missing; the network takes {', '.join(names)}")
            arrays.append(_checked(one, np.asarray(value), arrays))
        if not len(arrays[0]):
            return np.zeros((0, *self.metadata["output"]["shape"][1:]), np.float32)
        return np.asarray(self._call(*arrays))


def load(folder: str | os.PathLike[str]) -> LoadedModel:
    """Load an exported network.

    Args:
        folder: the folder that `python -m noise2map_jax.export --format=stablehlo` wrote.

    Raises:
        UserError: the folder holds no complete export, or one of another version.
    """
    path = pathlib.Path(folder)
    try:
        metadata = json.loads((path / METADATA).read_text(encoding="utf-8"))
        program = (path / PROGRAM).read_bytes()
    except FileNotFoundError as error:
        raise UserError(
            f"{str(path)!r} is no export: it has no {pathlib.Path(error.filename).name}; write one"
            " with python -m noise2map_jax.export --format=stablehlo"
        ) from None
    except ValueError as error:  # JSON or UTF-8 is wrong
        raise UserError(f"{path / METADATA} is not JSON ({error}); export the run again") from None
    found = metadata.get("format") if isinstance(metadata, dict) else None
    if found != FORMAT:
        raise UserError(
            f"{path / METADATA} has format {found}, expected {FORMAT}: another version wrote it;"
            " export the run again"
        )
    if hashlib.sha256(program).hexdigest() != metadata.get("sha256"):
        raise UserError(f"{path / PROGRAM} is damaged: its checksum differs; copy it again")
    return LoadedModel(metadata, jax.jit(jax.export.deserialize(bytearray(program)).call))


def _checked(expected: dict[str, Any], array: np.ndarray, before: list[np.ndarray]) -> np.ndarray:
    """Check shape and type of an input; positions may have any whole type."""
    name, (_, *shape), dtype = expected["name"], expected["shape"], expected["dtype"]
    if array.ndim != len(shape) + 1 or list(array.shape[1:]) != shape:
        wanted = ", ".join(map(str, ["N", *shape]))
        raise UserError(f"{name} has shape {list(array.shape)}; expected [{wanted}]")
    if before and len(array) != len(before[0]):
        raise UserError(f"{name} has {len(array)} tile(s), but the first input {len(before[0])}")
    if shape and array.dtype != dtype:
        raise UserError(f"{name} is {array.dtype}; the network was trained on {dtype}")
    if not np.issubdtype(array.dtype, np.integer):
        raise UserError(f"{name} is {array.dtype}; expected whole numbers")
    return array.astype(dtype)
