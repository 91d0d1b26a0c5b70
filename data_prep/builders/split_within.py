"""Divides images among splits by strips with gaps between: for fewer places than splits."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.basics.dataset import SPLITS, Scene
from data_prep.basics.errors import UserError
from data_prep.builders import strips
from data_prep.imagery.grid import ALIGNED, Grid
from data_prep.shards.splits import in_words


@dataclass(frozen=True)
class Image:
    """A scene that is to be divided.

    Attributes:
      name: Its name.
      place: Name of the place that it shows.
      site: Scenes of one site show the same pixels.
      files: Role -> path.
      height: Rows.
      width: Columns.
      grid: Where it lies, if it says so.
    """

    name: str
    place: str
    site: str
    files: Mapping[str, Path]
    height: int
    width: int
    grid: Grid


@dataclass(frozen=True)
class Division:
    """Images divided by strips.

    Attributes:
      scenes: A window for each strip of each image.
      rule: How the images were divided, as a clause.
      notes: The pixels of the gaps, as a sentence.
    """

    scenes: tuple[Scene, ...]
    rule: str
    notes: tuple[str, ...]


def divide(images: Sequence[Image], shares: Sequence[float], gap: int, tile_size: int) -> Division:
    """Divide each place among the splits by strips across its longer side.

    Images of one place are laid on its common grid, so that no pixel of a split is nearer than the
    gap to one of another split, in whichever image it lies.

    Args:
      images: The images.
      shares: Shares of train, val and test.
      gap: Pixels between strips that are in no split.
      tile_size: Side of the tiles.

    Raises:
      UserError: A place is too small, its images cannot be laid on one grid, or a strip of it holds
        no image.
    """
    wanted = [(s, share) for s, share in zip(SPLITS, shares, strict=True) if share > 0]
    by_place: dict[str, list[Image]] = defaultdict(list)
    for image in images:
        by_place[image.place].append(image)
    scenes: list[Scene] = []
    for place, members in by_place.items():
        corners = _corners(place, members)
        ends = [(r + m.height, c + m.width) for m, (r, c) in zip(members, corners, strict=True)]
        lengths = [max(end[axis] for end in ends) for axis in (0, 1)]
        axis = int(lengths[1] >= lengths[0])
        try:
            borders = strips.cut(
                lengths[axis], [share for _, share in wanted], tile_size, gap=gap, least=tile_size
            )
        except UserError as error:
            how = fitting(lengths[axis], len(wanted))
            raise UserError(
                f"--split_within: {place}: {error}{f' ({how})' if how else ''}"
            ) from None
        for (split, _), (first, last) in zip(wanted, borders, strict=True):
            parts = [
                part
                for image, corner in zip(members, corners, strict=True)
                if (part := _part(image, corner, axis, first, last, split))
            ]
            if not parts:
                raise UserError(f"--split_within: {place}: no image lies in the strip for {split}")
            scenes += parts
    total = sum(image.height * image.width for image in images)
    lost = total - sum(scene.height * scene.width for scene in scenes)
    rule = f"within each place, by strips across its longer side, {in_words(shares)}"
    rule += f", with gaps of {gap} pixels between"
    note = (
        f"{lost} of {total} pixels ({100 * lost / total:.1f} %) lie in the gaps of {gap} pixels"
        " between the strips and are in no split; all strips of a place count as one place"
    )
    return Division(tuple(scenes), rule, (note,))


def fitting(length: int, num_splits: int) -> str:
    """Return the options by which strips and gaps of one tile fit; empty if no tile of 16 does."""
    side = length // (2 * num_splits - 1)
    return f"--split_within --tile_size={2 ** int(math.log2(side))} fits" if side >= 16 else ""


def _corners(place: str, images: Sequence[Image]) -> list[tuple[int, int]]:
    """Return the (row, column) of each image on the grid of its place, from 0."""
    first = images[0]
    if len({(image.site, image.height, image.width) for image in images}) == 1:
        return [(0, 0)] * len(images)
    corners = []
    for image in images:
        if (corner := _corner(first, image)) is None:
            raise UserError(
                f"--split_within: {first.name} and {image.name} show one place ({place}), but not"
                " on one grid of pixels, so that gaps between them cannot be kept: merge them into"
                " one image first (gdal_merge.py -o MERGED.tif FILES), masks alike"
            )
        corners.append(corner)
    top, left = (min(corner[axis] for corner in corners) for axis in (0, 1))
    return [(row - top, column - left) for row, column in corners]


def _corner(first: Image, other: Image) -> tuple[int, int] | None:
    grids = first.grid, other.grid
    if not all(grid.is_placed for grid in grids) or first.grid.crs != other.grid.crs:
        return None
    size, alike = ([*grid.transform[:6]] for grid in grids)
    if not np.allclose(np.delete(size, (2, 5)), np.delete(alike, (2, 5)), rtol=1e-6, atol=1e-12):
        return None
    column, row = ~first.grid.transform * (alike[2], alike[5])
    if abs(row - round(row)) > ALIGNED or abs(column - round(column)) > ALIGNED:
        return None
    return round(row), round(column)


def _part(
    image: Image, corner: tuple[int, int], axis: int, first: int, last: int, split: str
) -> Scene | None:
    size = (image.height, image.width)
    start = max(0, first - corner[axis])
    end = min(size[axis], last - corner[axis])
    if start >= end:
        return None
    spans = [(0, image.height), (0, image.width)]
    spans[axis] = (start, end)
    rows, columns = spans
    whole = (rows[1] - rows[0], columns[1] - columns[0])
    (scene,) = strips.windows(image.name, image.files, rows, columns, whole, split, image.place)
    return scene
