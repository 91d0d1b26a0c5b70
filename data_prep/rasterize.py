"""`python -m data_prep rasterize`: draw outlines as masks on the grids of images."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_prep.basics.errors import UserError
from data_prep.basics.options import class_names
from data_prep.basics.progress import progress_bar
from data_prep.imagery.bands import ReadError
from data_prep.imagery.files import SUFFIXES, read_grid
from data_prep.imagery.grid import Grid
from data_prep.reading.outline_masks import Counts, write_mask
from data_prep.reading.outlines import (
    Outlines,
    Placed,
    nowhere,
    place_outlines,
    read_outlines,
)

OUTLINES = (".gpkg", ".geojson", ".json", ".shp", ".fgb", ".kml")  # suffixes in a folder
_NAMED = 3  # Files that a line names at most.


@dataclass(frozen=True)
class _Sheet:
    """A mask to write: where, on which grid, and what of which outlines."""

    image: Path
    mask: Path
    grid: Grid
    outlines: Outlines
    placed: Placed
    area: Placed | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--images", type=Path, required=True, help="an image, or a folder of them")
    parser.add_argument(
        "--outlines",
        type=Path,
        required=True,
        help="polygons: a GeoPackage, GeoJSON or Shapefile for all images, or a folder with a file"
        " of the same name for each image, which may be empty",
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="the folder of the masks: NAME_OF_IMAGE.tif"
    )
    parser.add_argument("--layer", default="", help="layer of the outlines, if there are several")
    parser.add_argument(
        "--classes",
        type=class_names,
        default=("background", "building"),
        help="names of the classes, background first (default background,building)",
    )
    parser.add_argument(
        "--class_field",
        default="",
        help="column with the name or the index of each outline's class (default: with two classes"
        " all outlines are of the second)",
    )
    parser.add_argument(
        "--area",
        type=Path,
        help="polygons around what was labelled: beyond them masks are 255, which training ignores",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace masks that exist")


def run(args: argparse.Namespace) -> None:
    """Write a mask for each image, and say what was drawn.

    Raises:
      UserError: A file is missing or unusable, no outline meets an image, or a mask exists.
    """
    if len(args.classes) > 2 and not args.class_field:
        raise UserError(
            f"--classes names {len(args.classes)} classes; say which column tells them apart by"
            " --class_field"
        )
    images = _images(args.images, args.output)
    _check_masks(args, images)
    sheets, without = _sheets(args, images)
    counts = []
    with progress_bar(len(sheets), "masks", "masks") as bar:
        for sheet in sheets:
            sheet.mask.parent.mkdir(parents=True, exist_ok=True)
            try:
                counts.append(write_mask(sheet.mask, sheet.grid, sheet.placed, sheet.area))
            except ReadError as error:
                raise UserError(f"{sheet.mask} {error}") from None
            bar.update()
    print("\n".join(_summary(args, sheets, counts, without)))


def _images(source: Path, output: Path) -> dict[Path, Path]:
    """Return each image by its path without suffix below the folder; masks of before are none."""
    if source.is_file():
        return {Path(source.stem): source}
    images: dict[Path, Path] = {}
    for path in sorted(source.rglob("*")):
        below = path.relative_to(source)
        is_hidden = any(part.startswith(".") for part in below.parts)
        is_mask = path.absolute().is_relative_to(output.absolute()) and output != source
        if path.suffix.lower() not in SUFFIXES or is_hidden or is_mask:
            continue
        name = below.with_suffix("")
        if name in images:
            raise UserError(f"{images[name]} and {path} would have one mask; rename one")
        images[name] = path
    if not images:
        raise UserError(f"no image in --images={source}; expected {', '.join(SUFFIXES)}")
    return images


def _mask(args: argparse.Namespace, name: Path) -> Path:
    return args.output / f"{name}.tif"


def _check_masks(args: argparse.Namespace, images: Mapping[Path, Path]) -> None:
    masks = [_mask(args, name) for name in images]
    if overwritten := {m.absolute() for m in masks} & {i.absolute() for i in images.values()}:
        raise UserError(f"--output={args.output} would overwrite the image {min(overwritten)}")
    if not args.overwrite and (existing := [mask for mask in masks if mask.exists()]):
        raise UserError(
            f"{len(existing)} masks exist, such as {existing[0]}; --overwrite replaces them"
        )


def _sheets(
    args: argparse.Namespace, images: Mapping[Path, Path]
) -> tuple[list[_Sheet], list[Path]]:
    """Place all outlines before a mask is written; return also images without a file of theirs."""
    options = {"layer": args.layer, "classes": args.classes, "field": args.class_field}
    own = _own_files(args.outlines) if args.outlines.is_dir() else None
    shared = None if own is not None else read_outlines(args.outlines, **options)
    area = read_outlines(args.area) if args.area else None
    sheets, without, unplaced = [], [], []
    for name, image in images.items():
        outlines = shared
        if own is not None:
            if name not in own:
                without.append(image)
                continue
            outlines = read_outlines(own[name], may_be_empty=True, **options)
        assert outlines is not None
        try:
            grid = read_grid(image)
            placed = place_outlines(outlines, grid)
            labelled = None if area is None else place_outlines(area, grid)
        except ReadError as error:
            raise UserError(f"{image} {error}") from None
        if own is not None and len(outlines.shapes) and not len(placed.shapes):
            raise UserError(f"{image}: none of its outlines meets it: {nowhere(outlines, grid)}")
        if not grid.is_placed:
            unplaced.append(image)
        sheets.append(_Sheet(image, _mask(args, name), grid, outlines, placed, labelled))
    if not sheets:
        raise UserError(
            f"no file in --outlines={args.outlines} has the name of an image, such as"
            f" {next(iter(images))}.gpkg"
        )
    if shared is not None and len(unplaced) > 1:
        raise UserError(
            f"{len(unplaced)} images do not say where they lie, such as {unplaced[0]}, so one file"
            " of outlines cannot be for all; give --outlines a folder with a file for each"
        )
    if shared is not None and not any(len(sheet.placed.shapes) for sheet in sheets):
        raise UserError(f"no outline meets an image: {nowhere(shared, sheets[0].grid)}")
    if area is not None and not any(len(s.area.shapes) for s in sheets if s.area is not None):
        raise UserError(f"no polygon of --area meets an image: {nowhere(area, sheets[0].grid)}")
    return sheets, without


def _own_files(folder: Path) -> dict[Path, Path]:
    """Return each file of outlines by its path without suffix, which is that of an image."""
    found: dict[Path, Path] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).with_suffix("")
        if path.suffix.lower() in OUTLINES:
            if name in found:
                raise UserError(f"{found[name]} and {path} are for one image; remove one")
            found[name] = path
    return found


def _summary(
    args: argparse.Namespace,
    sheets: Sequence[_Sheet],
    counts: Sequence[Counts],
    without: Sequence[Path],
) -> list[str]:
    """Return what was drawn, and what deserves a look, line by line."""
    num_drawn = sum(len(sheet.placed.shapes) for sheet in sheets)
    num_pixels = sum(one.num_pixels for one in counts)
    foreground = sum(one.num_foreground for one in counts) / num_pixels
    ignored = sum(one.num_ignored for one in counts) / num_pixels
    lines = [
        f"{args.output}: {len(sheets)} masks with {num_drawn} outlines; {foreground:.1%} of the"
        " pixels are foreground" + (f", {ignored:.1%} lie outside --area" if args.area else "")
    ]
    if repaired := sum(sheet.placed.num_repaired for sheet in sheets):
        lines.append(f"repaired: {repaired} outlines that cross themselves")
    if args.outlines.is_file():
        drawn = np.unique(np.concatenate([sheet.placed.indices for sheet in sheets]))
        if outside := len(sheets[0].outlines.shapes) - len(drawn):
            lines.append(f"left out: {outside} outlines that meet no image")
    bare = [sheet.image for sheet in sheets if not len(sheet.placed.shapes)]
    if bare:
        lines.append(
            f"no outline: {_named(bare)}; their masks say {args.classes[0]} everywhere, so take"
            " out images that nobody has looked at"
        )
    if without:
        lines.append(f"no file of outlines, so no mask: {_named(without)}")
    if args.area:
        lines.append("build the dataset with --mask_encoding=index, in which 255 is ignored")
    return lines


def _named(paths: Sequence[Path]) -> str:
    names = ", ".join(path.name for path in paths[:_NAMED])
    return f"{len(paths)} images (such as {names})" if len(paths) > 1 else f"1 image ({names})"
