"""Divides the WHU mosaics: which columns belong to which split, and windows over them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from data_prep.basics.dataset import Scene
from data_prep.basics.errors import UserError
from data_prep.builders import strips
from data_prep.imagery.bands import ReadError
from data_prep.imagery.image_file import read_image
from data_prep.imagery.mask_file import read_mask
from data_prep.imagery.turn import Window
from data_prep.shards import splits

# The owner's whole mosaics have 32507 columns; the parts for train and test have 21243 and 11265,
# one more in all. Test keeps all of its columns, so train has the 21242 to its left.
OWNER_WIDTH, OWNER_TEST_COLUMN = 32507, 21242
# Most pixels of a window, 25 MB an image. Windows are one tile high, so that in a file of strips
# every strip is decoded for one window of each split, not for dozens.
WINDOW_PIXELS = 2**23
_MAX_SHARED = 16  # Columns that two parts may share.
# Both mosaics and all crops of them show one city, which counts as one place.
PLACE, PLACE_RULE = "christchurch", "the mosaics show one city, which is one place"
SEEDED_NOTE = (
    "a seeded random split: neighbouring tiles may lie in different splits, so scores are higher"
    " than on separate ground"
)


@dataclass(frozen=True)
class Part:
    """Two mosaics and their change label, of equal size.

    Attributes:
      name: mosaic (the whole mosaics), train or test.
      files: Role (pre, post, mask) -> path.
      height: Rows.
      width: Columns.
    """

    name: str
    files: Mapping[str, Path]
    height: int
    width: int


@dataclass(frozen=True)
class Area:
    """A contiguous strip of columns of a part, over all its rows.

    Attributes:
      part: The part that it is cut from.
      first: First column.
      last: The column after the last one.
      split: train, val or test; empty if windows are divided one by one.
    """

    part: Part
    first: int
    last: int
    split: str = ""


@dataclass(frozen=True)
class Ground:
    """The ground of all parts, each pixel once.

    Attributes:
      areas: One area for each part.
      notes: Notes on what was left out, one sentence each.
    """

    areas: tuple[Area, ...]
    notes: tuple[str, ...] = field(default=())


def without_shared_columns(parts: Sequence[Part]) -> Ground:
    """Take each part whole, except for columns of train that test shows as well.

    Args:
      parts: The whole mosaics, or their train and test parts.

    Returns:
      The ground. Train ends before the columns in which all three files equal the first columns of
      test, pixel by pixel.
    """
    by_name = {part.name: part for part in parts}
    if "mosaic" in by_name:
        whole = by_name["mosaic"]
        return Ground((Area(whole, 0, whole.width),))
    train, test = by_name["train"], by_name["test"]
    shared = shared_columns(train, test)
    areas = Area(train, 0, train.width - shared), Area(test, 0, test.width)
    if not shared:
        return Ground(areas)
    note = (
        f"the last {shared} column(s) of the train part show the same pixels as the first of the"
        " test part and are left out of train"
    )
    return Ground(areas, (note,))


def shared_columns(left: Part, right: Part) -> int:
    """Count the columns, 0 to 16, that `left` ends with and `right` begins with.

    Args:
      left: A part.
      right: The part east of it.

    Returns:
      The largest number of columns for which the pixels of all three files agree. Files that cannot
      be read are skipped here: the loader rejects them.
    """
    widest = min(_MAX_SHARED, left.width, right.width)
    if left.height != right.height:
        return 0
    candidates = set(range(1, widest + 1))
    for role in ("pre", "post", "mask"):
        for row, _, height, _ in bands(left.height, max(left.width, right.width)):
            if not candidates:
                return 0
            try:
                ours = _pixels(left, role, (row, left.width - widest, height, widest))
                theirs = _pixels(right, role, (row, 0, height, widest))
            except ReadError:
                continue
            candidates = {
                number
                for number in candidates
                if np.array_equal(ours[:, widest - number :], theirs[:, :number])
            }
    return max(candidates, default=0)


def _pixels(part: Part, role: str, window: Window) -> np.ndarray:
    if role == "mask":
        return read_mask(part.files[role], window).values > 0  # Whatever the encoding.
    return read_image(part.files[role], window).pixels


def by_columns(
    areas: Sequence[Area], shares: Sequence[float], tile_size: int
) -> tuple[tuple[Area, ...], str]:
    """Divide the ground as its owner does, and cut validation from the east of train.

    Args:
      areas: One area for each part.
      shares: Shares of train, val and test; val takes val / (train + val) of train's columns.
      tile_size: Side of the tiles; the width of train is a multiple of it.

    Returns:
      The areas of the splits, and the rule as a sentence. Val lies between train and test.

    Raises:
      UserError: The mosaics are too narrow.
    """
    if len(areas) == 1:
        whole = areas[0]
        cut = round(whole.last * OWNER_TEST_COLUMN / OWNER_WIDTH)
        train, test = replace(whole, last=cut), replace(whole, first=cut)
        how = f"the owner's cut of the whole mosaics by columns (train west of column {cut})"
    else:
        train, test = areas
        how = "the owner's train and test parts"
    columns = train.last - train.first
    if columns <= tile_size or test.last == test.first:
        raise UserError(
            f"the mosaics have {columns} columns for training and validation: more than one tile"
            f" of --tile_size={tile_size} is needed"
        )
    (_, size), _ = strips.cut(columns, shares[:2], tile_size)
    border = train.first + size
    rule = (
        f"by area: {how}; val is the easternmost {train.last - border} of the {columns} columns of"
        " train, next to test"
    )
    divided = (
        replace(train, last=border, split="train"),
        replace(train, first=border, split="val"),
        replace(test, split="test"),
    )
    return divided, rule


def windows(area: Area, tile_size: int) -> Iterator[Scene]:
    """Lay windows of whole tiles over an area; windows at its edges are smaller."""
    columns = max(1, WINDOW_PIXELS // tile_size**2) * tile_size
    return _scenes(area, tile_size, columns)


def tiles(area: Area, tile_size: int) -> Iterator[Scene]:
    """Lay windows of one tile each over an area."""
    return _scenes(area, tile_size, tile_size)


def _scenes(area: Area, rows: int, columns: int) -> Iterator[Scene]:
    part = area.part
    return strips.windows(
        part.name,
        part.files,
        (0, part.height),
        (area.first, area.last),
        (rows, columns),
        area.split,
        PLACE,
    )


def bands(height: int, width: int) -> list[Window]:
    """Divide an image into windows of its whole width and at most WINDOW_PIXELS."""
    rows = max(1, WINDOW_PIXELS // width)
    return [(row, 0, min(rows, height - row), width) for row in range(0, height, rows)]


def seeded_rule(what: str, shares: Sequence[float], seed: int) -> str:
    """Return the rule of a seeded random split as a sentence."""
    percent = splits.in_words(shares)
    rule = f"seeded random split over all {what}, {percent}, in the order of a hash of seed {seed}"
    rule += " and the name"
    near = ": neighbouring tiles may lie in different splits"
    return rule + (near if what == "tiles" else "")
