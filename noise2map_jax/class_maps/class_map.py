"""A finished class map, read strip by strip."""

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from data_prep.imagery.bands import ReadError
from data_prep.imagery.classes_tag import CLASSES_TAG, tagged_classes
from data_prep.imagery.grid import Grid, difference, grid_of, same_grid
from noise2map_jax.errors import UserError

# Class indices [h, W], 0 where there is no data, and a probability beside them [h, W].
Strip = tuple[np.ndarray, np.ndarray | None]

NO_DATA = 255  # in class maps, whatever they declare
_STRIP_PIXELS = 1 << 21  # read at once: memory depends neither on the height nor on the width
_LEAST_CACHE = 16 << 20  # bytes


@dataclass(frozen=True)
class ClassMap:
    """An open class map.

    Attributes:
        path: as it was given.
        grid: where the pixels lie.
        classes: names of the classes, the background first.
        tagged: those that the map itself names; () if it names none.
    """

    path: str
    grid: Grid
    classes: tuple[str, ...]
    tagged: tuple[str, ...]
    _source: Any
    _probability: Any

    @property
    def declares_no_data(self) -> bool:
        """Whether the file itself says where it has no data."""
        return self.grid.nodata is not None or self._has_mask

    @property
    def _has_mask(self) -> bool:
        return MaskFlags.per_dataset in self._source.mask_flag_enums[0]

    @property
    def has_probability(self) -> bool:
        """Whether there is a probability beside the map."""
        return self._probability is not None

    def strips(self, rows: int = 0) -> Iterator[Strip]:
        """Yield class indices, 0 for what has no polygons, and the probability where there is one.

        Args:
            rows: height of a strip; 0 = by the width, so that a strip has about 2 million pixels.

        Raises:
            UserError: the files cannot be read, or hold other than class indices and probabilities.
        """
        rows = rows or max(_STRIP_PIXELS // self.grid.width, 1)
        for top in range(0, self.grid.height, rows):
            height = min(rows, self.grid.height - top)
            window = Window(0, top, self.grid.width, height)
            yield self.indices(window)[0], self._probabilities(window)

    def indices(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Read a window.

        Returns:
            class indices, 0 where there is no data; and bool, True where there is none.

        Raises:
            UserError: see `strips`.
        """
        indices = _read(self._source, self.path, window)
        nothing = indices == NO_DATA
        if self.grid.nodata:  # Programs declare 0 without meaning it: it is the background.
            nothing |= indices == self.grid.nodata
        elif self.grid.nodata is None and self._has_mask:
            nothing |= self._source.read_masks(1, window=window) == 0
        indices[nothing] = 0
        largest, least = int(indices.max()), int(indices.min())
        if least < 0 or largest >= len(self.classes):
            raise UserError(
                f"{self.path!r} holds class {least if least < 0 else largest}, but names"
                f" {len(self.classes)} classes ({', '.join(self.classes)}); give as many as it has"
            )
        return indices, nothing

    def _probabilities(self, window: Window) -> np.ndarray | None:
        if self._probability is None:
            return None
        path = self._probability.name
        stored = _read(self._probability, path, window)
        scale, offset = self._probability.scales[0], self._probability.offsets[0]
        values = stored * np.float32(scale) + np.float32(offset)
        if self._probability.nodata is not None:
            values[stored == self._probability.nodata] = np.nan
        values[~np.isfinite(values)] = np.nan
        wrong = (values < -1e-3) | (values > 1 + 1e-3)
        if wrong.any():
            raise UserError(
                f"{path!r} holds {values[wrong][0]:g}; expected probabilities from 0 to 1 (those"
                " stored as whole numbers need the scale that GeoTIFF has for it)"
            )
        return values


@contextlib.contextmanager
def open_class_map(
    path: str, probability: str = "", classes: tuple[str, ...] = ()
) -> Iterator[ClassMap]:
    """Open a class map, and the probability beside it.

    Args:
        path: GeoTIFF of class indices.
        probability: GeoTIFF of 1 - P(class 0) on the same grid; "" = none.
        classes: names of the classes; empty = those in the map's tag `classes`.

    Raises:
        UserError: a file cannot be read, is no class map or lies on another grid, or no names of
            classes are known.
    """
    with contextlib.ExitStack() as stack:
        source, grid = stack.enter_context(_open(path))
        kind = source.dtypes[0]
        if not np.issubdtype(np.dtype(kind), np.integer):
            raise UserError(f"{path!r} holds {kind}; a class map holds whole numbers (uint8)")
        tag = source.tags().get(CLASSES_TAG, "")
        names = classes or class_names(tag)
        if not names:
            raise UserError(
                f"{path!r} does not name its classes (tag 'classes'): give"
                " --classes=background,building"
            )
        other = None
        if probability:
            other, place = stack.enter_context(_open(probability))
            if (place.height, place.width) != (grid.height, grid.width) or not same_grid(
                grid, place
            ):
                raise UserError(
                    f"{probability!r} and {path!r} lie on different grids:"
                    f" {difference(grid, place)}"
                )
        cache = sum(map(_row_of_blocks, [source, other] if other else [source]))
        stack.enter_context(rasterio.Env(GDAL_CACHEMAX=max(2 * cache, _LEAST_CACHE)))
        yield ClassMap(path, grid, names, tagged_classes(tag), source, other)


def class_names(tag: str) -> tuple[str, ...]:
    """Read the tag `classes` of a map, such as "0 = background, 1 = building"; () if it has none.

    Raises:
        UserError: the tag has another form.
    """
    names = tagged_classes(tag)
    if tag and not names:
        raise UserError(
            f"the map's tag classes is {tag!r}; expected such as '0 = background, 1 = building'"
        )
    return names


@contextlib.contextmanager
def _open(path: str) -> Iterator[tuple[Any, Grid]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            source = rasterio.open(path)
        except (RasterioError, OSError) as error:
            raise UserError(f"cannot read {path!r}: {error}") from None
    with source:
        if source.count != 1:
            raise UserError(f"{path!r} has {source.count} bands; expected a map, which has one")
        try:
            grid = grid_of(source)
        except ReadError as error:
            raise UserError(f"{path!r} {error}") from None
        yield source, grid


def _row_of_blocks(source: Any) -> int:
    """Return the bytes of a file's blocks side by side, which strips one after the other share.

    GDAL would keep all that was read, up to a twentieth of the machine's memory.
    """
    rows = source.block_shapes[0][0]
    return rows * source.width * np.dtype(source.dtypes[0]).itemsize


def _read(source: Any, path: str, window: Window) -> np.ndarray:
    try:
        return source.read(1, window=window)
    except RasterioError as error:
        # rasterio only points to the exception before, which has the reason.
        reason = " ".join(str(error.__cause__ or error).split())
        raise UserError(f"cannot read {path!r}: {reason}") from None
