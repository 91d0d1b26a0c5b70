"""A finished class map at the size of a picture."""

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as RasterioWindow

from data_prep.imagery.bands import ReadError
from data_prep.imagery.grid import Grid, grid_of
from data_prep.imagery.turn import Window
from noise2map_jax.class_maps.class_map import NO_DATA, class_names
from noise2map_jax.errors import UserError
from noise2map_jax.pictures.class_colours import class_colours
from noise2map_jax.previews.cells import cell_means

Colour = tuple[int, int, int]
NO_DATA_COLOUR = (128, 128, 128)
# Pixels of the map along a cell, at least, where there are as many. A building that is smaller than
# a cell then still makes it brighter; in coarser overviews it is no more.
_FINER = 4


@dataclasses.dataclass(frozen=True)
class MapFile:
    """The header of a class map.

    Attributes:
        path: the GeoTIFF.
        grid: where its pixels lie.
        names: names of the classes, the background first.
        colours: colour of each class.
        tags: what made it.
    """

    path: str
    grid: Grid
    names: tuple[str, ...]
    colours: tuple[Colour, ...]
    tags: Mapping[str, str]


def open_map(path: str) -> MapFile:
    """Read the header of a class map.

    Raises:
        UserError: the file cannot be read, or is no class map.
    """
    with _opened(path) as source:
        if source.count != 1 or source.dtypes[0] != "uint8":
            raise UserError(
                f"{path!r} has {source.count} band(s) of {source.dtypes[0]}; a class map has one of"
                " uint8"
            )
        tags = source.tags()
        names = class_names(tags.get("classes", ""))
        if not names:
            raise UserError(
                f"{path!r} does not name its classes: rio edit-info --tag 'classes=0 = background,"
                f" 1 = building' {path} does"
            )
        try:
            grid = grid_of(source)
        except ReadError as error:
            raise UserError(f"{path!r} {error}") from None
        table: dict[int, tuple[int, ...]] = {}
        with contextlib.suppress(ValueError):  # there is no colour table
            table = source.colormap(1)
    usual = class_colours(len(names))
    colours = tuple(tuple(table.get(k, colour)[:3]) for k, colour in enumerate(usual))
    return MapFile(path, grid, names, colours, tags)  # type: ignore[arg-type]


def map_colours(file: MapFile, cells: tuple[int, int]) -> np.ndarray:
    """Colour each cell by the mean colour of its classes; see `NO_DATA_COLOUR`.

    Args:
        file: the map.
        cells: (rows, columns) of the result.

    Returns:
        [rows, columns, 3] uint8.
    """
    table = np.zeros((256, 3), np.uint8)
    table[: len(file.colours)] = file.colours
    with _opened(file.path) as source:
        factor = min(file.grid.height // cells[0], file.grid.width // cells[1]) // _FINER
        levels = [k for k, coarser in enumerate(source.overviews(1)) if coarser <= factor]
    with _opened(file.path, **({"overview_level": levels[-1]} if levels else {})) as source:

        def read(window: Window) -> tuple[np.ndarray, np.ndarray]:
            row, column, rows, columns = window
            classes = source.read(1, window=RasterioWindow(column, row, columns, rows))
            return table[classes], classes != NO_DATA

        means, known = cell_means(read, source.shape, cells)
    return np.where(known[..., None], np.round(means), NO_DATA_COLOUR).astype(np.uint8)


def map_classes(file: MapFile, cells: tuple[int, int]) -> np.ndarray:
    """Return the most frequent class of each cell, [rows, columns] uint8; 255: no data.

    Raises:
        UserError: the map holds a class that it does not name.
    """
    with _opened(file.path) as source:
        classes = source.read(1, out_shape=cells, resampling=Resampling.mode)
    known = classes[classes != NO_DATA]
    if known.size and known.max() >= len(file.names):
        raise UserError(
            f"{file.path!r} holds class {known.max()}, but names {len(file.names)} classes"
            f" ({', '.join(file.names)})"
        )
    return classes


@contextlib.contextmanager
def _opened(path: str, **options: Any) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(path, **options) as source:
                yield source
        except (RasterioError, OSError) as error:
            raise UserError(f"cannot read {path!r}: {error}") from None
