"""Turns and mirrorings of an image by whole quarters: eight in all (pure)."""

from dataclasses import dataclass

import numpy as np
from rasterio import Affine

Window = tuple[int, int, int, int]  # Row and column of the first pixel, height, width.


@dataclass(frozen=True)
class Turn:
    """Leads from pixels as stored to pixels as seen: transposed first, then flipped.

    Attributes:
      transposed: Whether rows become columns.
      flips_rows: Whether the last row comes first, after transposing.
      flips_columns: Whether the last column comes first, after transposing.
    """

    transposed: bool = False
    flips_rows: bool = False
    flips_columns: bool = False

    def __bool__(self) -> bool:
        """Whether anything moves."""
        return self != UPRIGHT

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width as seen of an image of a stored height and width."""
        return (width, height) if self.transposed else (height, width)

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """Return [H, W, ...] as seen, contiguous, from the pixels as stored."""
        if self.transposed:
            pixels = np.swapaxes(pixels, 0, 1)
        if self.flips_rows:
            pixels = pixels[::-1]
        if self.flips_columns:
            pixels = pixels[:, ::-1]
        return np.ascontiguousarray(pixels)

    def stored_window(self, window: Window, height: int, width: int) -> Window:
        """Return the window of the stored image that holds a window of the image as seen.

        Args:
          window: (row, column, height, width) in the image as seen.
          height: Rows of the image as seen.
          width: Columns of the image as seen.
        """
        row, column, rows, columns = window
        row = height - row - rows if self.flips_rows else row
        column = width - column - columns if self.flips_columns else column
        return (column, row, columns, rows) if self.transposed else (row, column, rows, columns)

    def to_stored(self, height: int, width: int) -> Affine:
        """Return the transform from (column, row) as seen to (column, row) as stored.

        Args:
          height: Rows of the image as seen.
          width: Columns of the image as seen.
        """
        column = (-1, 0, width) if self.flips_columns else (1, 0, 0)
        row = (0, -1, height) if self.flips_rows else (0, 1, 0)
        return Affine(*row, *column) if self.transposed else Affine(*column, *row)

    def in_words(self) -> str:
        """Say what the turn does, as a participle."""
        return _WORDS[self.transposed, self.flips_rows, self.flips_columns]


UPRIGHT = Turn()
ALL = tuple(Turn(t, r, c) for t in (False, True) for r in (False, True) for c in (False, True))
# Tag 274 of TIFF and Exif: where the first row and the first column of the file are seen.
EXIF = {
    1: UPRIGHT,
    2: Turn(flips_columns=True),
    3: Turn(flips_rows=True, flips_columns=True),
    4: Turn(flips_rows=True),
    5: Turn(transposed=True),
    6: Turn(transposed=True, flips_columns=True),
    7: Turn(transposed=True, flips_rows=True, flips_columns=True),
    8: Turn(transposed=True, flips_rows=True),
}
_WORDS = {
    (False, False, False): "left as it is",
    (False, False, True): "mirrored left to right",
    (False, True, False): "mirrored top to bottom",
    (False, True, True): "turned by 180 degrees",
    (True, False, False): "mirrored along its main diagonal",
    (True, False, True): "turned by 90 degrees clockwise",
    (True, True, False): "turned by 90 degrees counterclockwise",
    (True, True, True): "mirrored along its other diagonal",
}
