"""Finished maps against masks of the truth: which pixels of which class are mapped as which."""

import pathlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from data_prep.basics.errors import UserError as DataError
from data_prep.imagery.bands import MaskRaster, ReadError
from data_prep.imagery.files import SUFFIXES, read_grid
from data_prep.imagery.grid import Grid, difference, same_grid
from data_prep.imagery.mask_file import read_mask
from data_prep.imagery.turn import Window
from data_prep.reading import masks
from noise2map_jax.errors import UserError

NO_DATA = 255  # in maps and masks
_WINDOW_PIXELS = 1 << 22  # read at once


@dataclass(frozen=True)
class MapCounts:
    """The pixels of one map.

    Attributes:
        name: the map's name without suffix.
        confusion: [K, K] int64; row = label, column = class of the map.
        num_unmapped: pixels with a label where the map has none; they are in no score.
    """

    name: str
    confusion: np.ndarray
    num_unmapped: int


def pair_files(maps: pathlib.Path, truth: pathlib.Path) -> dict[pathlib.Path, pathlib.Path]:
    """Return the mask of each map: two files, or files of the same names in two folders.

    Raises:
        UserError: a file or folder is missing, or a map has no mask. A mask without a map is fine.
    """
    for path, what in ((maps, "--maps"), (truth, "--truth")):
        if not path.exists():
            raise UserError(f"no file or folder {what}={path}")
    if maps.is_dir() != truth.is_dir():
        raise UserError(
            f"--maps={maps} and --truth={truth}: one is a folder and the other a file; give two"
            " folders or two files"
        )
    if maps.is_file():
        return {maps: truth}
    found, known = _by_stem(maps), _by_stem(truth)
    if not found:
        raise UserError(f"no map in --maps={maps}; expected {', '.join(SUFFIXES)}")
    lacking = sorted(found.keys() - known.keys())
    if lacking:
        raise UserError(
            f"{len(lacking)} of {len(found)} maps have no mask of the same name in {truth}, such as"
            f" {lacking[0]}"
        )
    return {found[stem]: known[stem] for stem in sorted(found)}


def count_maps(
    pairs: Mapping[pathlib.Path, pathlib.Path], num_classes: int, encoding: str = "auto"
) -> Iterator[MapCounts]:
    """Compare maps with their masks, one after the other.

    Args:
        pairs: map -> mask of the truth, on the same grid.
        num_classes: K.
        encoding: what values of the masks mean, one of `data_prep`'s encodings; auto: what they
            hold decides, over all masks together.

    Raises:
        UserError: a file cannot be read, two lie on different grids, values are no classes, or it
            cannot be told what those of the masks mean.
    """
    grids = {path: _grid(path) for pair in pairs.items() for path in pair}
    for path, truth in pairs.items():
        _check_grids(path, truth, grids[path], grids[truth])
    histograms = {
        str(truth): _histogram(truth, grids[truth], num_classes) for truth in pairs.values()
    }
    total = np.sum(list(histograms.values()), axis=0)
    try:
        if encoding == "auto":
            masks.check_alike(histograms, num_classes)
            encoding = masks.decide_encoding(total, num_classes)
        masks.check_encoding(encoding, total, num_classes)
    except DataError as error:
        raise UserError(str(error)) from None
    for name, histogram in histograms.items():
        if wrong := masks.wrong_values(histogram, num_classes, encoding):
            raise UserError(
                f"{name} holds {', '.join(map(str, wrong[:5]))}; expected classes from 0 to"
                f" {num_classes - 1} and 255 = ignore (--classes names others)"
            )
    for path, truth in pairs.items():
        yield _count(path, truth, grids[path], num_classes, encoding)


def _by_stem(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    found: dict[str, pathlib.Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            if path.stem in found:
                raise UserError(f"{found[path.stem]} and {path} have one name; remove one")
            found[path.stem] = path
    return found


def _grid(path: pathlib.Path) -> Grid:
    try:
        return read_grid(path)
    except (ReadError, OSError) as error:
        raise UserError(f"{path} {error}") from None


def _check_grids(path: pathlib.Path, truth: pathlib.Path, grid: Grid, other: Grid) -> None:
    same_size = (grid.height, grid.width) == (other.height, other.width)
    if same_size and same_grid(grid, other):
        return
    raise UserError(
        f"{truth} does not lie on the grid of {path}: {difference(grid, other)}; write it there:"
        f" python -m data_prep warp --mask --image={truth} --onto={path} --output=ON_GRID.tif"
    )


def _windows(grid: Grid) -> Iterator[Window]:
    rows = max(_WINDOW_PIXELS // grid.width, 1)
    for row in range(0, grid.height, rows):
        yield row, 0, min(rows, grid.height - row), grid.width


def _histogram(truth: pathlib.Path, grid: Grid, num_classes: int) -> np.ndarray:
    total = np.zeros(256, np.int64)
    for window in _windows(grid):
        raster = _read(truth, window)
        if not raster.is_boolean:  # Its meaning is known.
            missing = masks.is_missing(raster, num_classes)
            values = raster.values if missing is None else raster.values[~missing]
            total += np.bincount(values.ravel(), minlength=256)
    return total


def _read(path: pathlib.Path, window: Window) -> MaskRaster:
    try:
        return read_mask(path, window)
    except ReadError as error:
        raise UserError(f"{path} {error}") from None


def _count(
    path: pathlib.Path, truth: pathlib.Path, grid: Grid, num_classes: int, encoding: str
) -> MapCounts:
    confusion = np.zeros((num_classes, num_classes), np.int64)
    num_unmapped = 0
    for window in _windows(grid):
        raster = _read(path, window)
        predicted = masks.to_index(raster, "index", num_classes, NO_DATA)[..., 0]
        labels = masks.to_index(_read(truth, window), encoding, num_classes, NO_DATA)[..., 0]
        labelled, mapped = labels != NO_DATA, predicted != NO_DATA
        num_unmapped += int((labelled & ~mapped).sum())
        both = labelled & mapped
        if (predicted[both] >= num_classes).any():
            raise UserError(
                f"{path} holds class {predicted[both].max()}, but there are {num_classes} classes;"
                " --classes names them"
            )
        pairs = labels[both].astype(np.int64) * num_classes + predicted[both]
        counts = np.bincount(pairs, minlength=num_classes**2)
        confusion += counts.reshape(num_classes, num_classes)
    return MapCounts(path.stem, confusion, num_unmapped)
