"""Cuts ground into strips, one a split, and lays windows over them (pure)."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from data_prep.basics.dataset import Scene
from data_prep.basics.errors import UserError


def cut(
    length: int, shares: Sequence[float], tile_size: int, *, gap: int = 0, least: int = 1
) -> list[tuple[int, int]]:
    """Cut a length into strips of whole tiles; the last strip takes what is left.

    Args:
      length: Pixels across all strips.
      shares: Share of each strip in the pixels outside the gaps; a strip is never empty.
      tile_size: Side of the tiles.
      gap: Pixels between two strips that belong to none.
      least: Pixels that the last strip needs.

    Returns:
      (first, last) of each strip; last is the pixel after it.

    Raises:
      UserError: The length is too short for a tile in each strip, `least` in the last.
    """
    later = len(shares) - 1
    usable = length - later * gap
    if usable < later * tile_size + least:
        raise UserError(
            f"{length} pixels cannot hold {len(shares)} strips of one tile or more, of"
            f" --tile_size={tile_size}, with gaps of {gap} between:"
            f" {later * (tile_size + gap) + least} are needed"
        )
    strips, first, left = [], 0, usable
    for index in range(later):
        rest = sum(shares[:index]) + sum(shares[index + 1 :])
        tiles = round((1 - rest / sum(shares)) * usable / tile_size)
        most = (left - (later - index - 1) * tile_size - least) // tile_size
        size = min(max(1, tiles), most) * tile_size
        strips.append((first, first + size))
        first, left = first + size + gap, left - size
    return [*strips, (first, first + left)]


def windows(
    name: str,
    files: Mapping[str, Path],
    rows: tuple[int, int],
    columns: tuple[int, int],
    size: tuple[int, int],
    split: str,
    place: str,
) -> Iterator[Scene]:
    """Lay windows over a rectangle of an image; those at its lower and right edge may be smaller.

    Args:
      name: Name of the image; the row and column of a window are added to it.
      files: Role -> path.
      rows: First row, and the row after the last.
      columns: First column, and the column after the last.
      size: Rows and columns of a window.
      split: Split of all windows.
      place: Name of the place.
    """
    for row in range(*rows, size[0]):
        for column in range(*columns, size[1]):
            yield Scene(
                f"{name}_r{row:05d}_c{column:05d}",
                split,
                0,
                min(size[0], rows[1] - row),
                min(size[1], columns[1] - column),
                files,
                (row, column),
                place,
            )
