"""Finished maps against masks of the truth: which pixels of which class are mapped as which."""

import pathlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from shlex import quote

import numpy as np

from data_prep.basics.errors import UserError as DataError
from data_prep.imagery.bands import MaskRaster, ReadError
from data_prep.imagery.files import SUFFIXES, read_grid
from data_prep.imagery.grid import Grid, difference, same_grid
from data_prep.imagery.mask_file import read_mask
from data_prep.imagery.raster_bands import rasterio_window
from data_prep.imagery.turn import Window
from data_prep.reading import masks
from noise2map_jax.class_maps.class_map import NO_DATA, open_class_map
from noise2map_jax.errors import UserError

_WINDOW_PIXELS = 1 << 22  # read at once


@dataclass(frozen=True)
class Pair:
    """A map and its mask.

    Attributes:
        name: path of the map without suffix, below its folder.
        map: file of the map.
        truth: file of the mask.
    """

    name: str
    map: pathlib.Path
    truth: pathlib.Path


@dataclass(frozen=True)
class MapCounts:
    """The pixels of one map.

    Attributes:
        name: the map's, see `Pair`.
        confusion: [K, K] int64; row = label, column = class of the map.
        num_unmapped: pixels with a label where the map has none; they are in no score.
    """

    name: str
    confusion: np.ndarray
    num_unmapped: int


def pair_files(maps: pathlib.Path, truth: pathlib.Path) -> list[Pair]:
    """Find the mask of each map: two files, or files of the same names in two folders.

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
        return [Pair(maps.stem, maps, truth)]
    found, known = _by_name(maps, truth), _by_name(truth, maps)
    if not found:
        raise UserError(f"no map in --maps={maps}; expected {', '.join(SUFFIXES)}")
    lacking = sorted(found.keys() - known.keys())
    if lacking:
        raise UserError(
            f"{len(lacking)} of {len(found)} maps have no mask of the same name in {truth}, such as"
            f" {found[lacking[0]]}"
        )
    return [Pair(name, found[name], known[name]) for name in sorted(found)]


def agreed_classes(pairs: Sequence[Pair], given: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the names of the classes, which are given, or which the maps tell.

    Raises:
        UserError: a map does not name its classes and none are given, or there are other names.
    """
    named: dict[tuple[str, ...], str] = {given: "--classes"} if given else {}
    for pair in pairs:
        with open_class_map(str(pair.map), classes=given) as one:
            named.setdefault(one.tagged or one.classes, str(pair.map))
    if len(named) > 1:
        told = "; ".join(f"{where} has {', '.join(names)}" for names, where in named.items())
        raise UserError(f"maps with other classes cannot be scored together: {told}")
    (classes,) = named
    return classes


def decide_encoding(
    pairs: Sequence[Pair], classes: tuple[str, ...], encoding: str = "auto"
) -> tuple[str, str]:
    """Decide what the values of the masks mean.

    Args:
        pairs: maps and masks.
        classes: names of the classes.
        encoding: one of `data_prep`'s encodings; auto: what the masks hold decides, all together.

    Returns:
        The encoding, and the same in words. A mask that names its classes has their indices,
        whatever the others have.

    Raises:
        UserError: a mask cannot be read, its values are no classes, or it cannot be told what they
            mean.
    """
    num_classes, grids = len(classes), {pair.truth: _grid(pair.truth) for pair in pairs}
    of = {str(path): _histogram(path, grid, num_classes) for path, grid in grids.items()}
    unknown = {path: counts for path, (counts, is_index) in of.items() if not is_index}
    total = sum(unknown.values(), np.zeros(256, np.int64))
    try:
        if encoding == "auto":
            masks.check_alike(unknown, num_classes)
            encoding = masks.decide_encoding(total, num_classes)
        masks.check_encoding(encoding, total, num_classes)
    except DataError as error:
        raise UserError(str(error)) from None
    for path, (counts, is_index) in of.items():
        known = "index" if is_index else encoding
        if wrong := masks.wrong_values(counts, num_classes, known):
            raise UserError(
                f"{path} holds {', '.join(map(str, wrong[:5]))}; expected classes from 0 to"
                f" {num_classes - 1} and 255 = ignore (--classes names others)"
            )
    return encoding, masks.describe(total, encoding if unknown else "index", classes)


def count_maps(
    pairs: Sequence[Pair], classes: tuple[str, ...], encoding: str
) -> Iterator[MapCounts]:
    """Compare maps with their masks, one after the other.

    Args:
        pairs: maps and masks, on the same grids.
        classes: names of the K classes.
        encoding: what values of the masks mean, see `decide_encoding`.

    Raises:
        UserError: a file cannot be read, two lie on different grids, or values are no classes.
    """
    for pair in pairs:
        _check_grids(pair, _grid(pair.map), _grid(pair.truth))
    for pair in pairs:
        yield _count(pair, classes, encoding)


def _by_name(folder: pathlib.Path, other: pathlib.Path) -> dict[str, pathlib.Path]:
    """Return the images in a folder by path without suffix; the other folder may lie in it."""
    found: dict[str, pathlib.Path] = {}
    apart = other.resolve() if other.resolve() != folder.resolve() else None
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        is_hidden = any(part.startswith(".") for part in below.parts)
        is_other = apart is not None and path.resolve().is_relative_to(apart)
        if path.suffix.lower() not in SUFFIXES or is_hidden or is_other:
            continue
        name = below.with_suffix("").as_posix()
        if name in found:
            raise UserError(f"{found[name]} and {path} have one name; remove one")
        found[name] = path
    return found


def _grid(path: pathlib.Path) -> Grid:
    try:
        return read_grid(path)
    except (ReadError, OSError) as error:
        raise UserError(f"{path} {error}") from None


def _check_grids(pair: Pair, grid: Grid, other: Grid) -> None:
    same_size = (grid.height, grid.width) == (other.height, other.width)
    if same_size and same_grid(grid, other):
        return
    files = f"--image={quote(str(pair.truth))} --onto={quote(str(pair.map))}"
    raise UserError(
        f"{pair.truth} does not lie on the grid of {pair.map}: {difference(grid, other)}; write it"
        f" there: python -m data_prep warp --mask {files} --output=ON_GRID.tif"
    )


def _windows(grid: Grid) -> Iterator[Window]:
    rows = max(_WINDOW_PIXELS // grid.width, 1)
    for row in range(0, grid.height, rows):
        yield row, 0, min(rows, grid.height - row), grid.width


def _histogram(truth: pathlib.Path, grid: Grid, num_classes: int) -> tuple[np.ndarray, bool]:
    """Count the values of a mask, [256]; also return whether they are known to be class indices."""
    total, is_index = np.zeros(256, np.int64), False
    for window in _windows(grid):
        raster = _read(truth, window)
        missing = masks.is_missing(raster, num_classes)
        values = raster.values if missing is None else raster.values[~missing]
        total += np.bincount(values.ravel(), minlength=256)
        is_index = raster.is_index
    return total, is_index


def _read(path: pathlib.Path, window: Window) -> MaskRaster:
    try:
        return read_mask(path, window)
    except ReadError as error:
        raise UserError(f"{path} {error}") from None


def _count(pair: Pair, classes: tuple[str, ...], encoding: str) -> MapCounts:
    size = len(classes)
    confusion, num_unmapped, num_nothing = np.zeros((size, size), np.int64), 0, 0
    with open_class_map(str(pair.map), classes=classes) as mapped:
        for window in _windows(mapped.grid):
            predicted, nothing = mapped.indices(rasterio_window(window))
            labels = masks.to_index(_read(pair.truth, window), encoding, size, NO_DATA)[..., 0]
            labelled = labels != NO_DATA
            num_unmapped += int((labelled & nothing).sum())
            num_nothing += int(nothing.sum())
            both = labelled & ~nothing
            pairs = labels[both].astype(np.int64) * size + predicted[both]
            confusion += np.bincount(pairs, minlength=size**2).reshape(size, size)
        if num_nothing and not confusion[:, 1:].any() and not mapped.declares_no_data:
            raise UserError(
                f"{pair.map} holds no class but {classes[0]}, and 255, which is no data in maps:"
                " write 1 for 255 if it means a class, or declare it (rio edit-info --nodata 255)"
            )
    return MapCounts(pair.name, confusion, num_unmapped)
