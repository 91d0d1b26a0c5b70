"""`python -m data_prep rasterize`: draw outlines as masks on the grids of images."""

import argparse
from collections.abc import Sequence
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
    images = _images(args.images)
    masks = _masks(args, images)
    sheets, without = _sheets(args, images, masks)
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


def _images(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    found = sorted(
        path
        for path in source.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(source).parts)
    )
    if not found:
        raise UserError(f"no image in --images={source}; expected {', '.join(SUFFIXES)}")
    return found


def _masks(args: argparse.Namespace, images: Sequence[Path]) -> list[Path]:
    """Return where the mask of each image is written."""
    root = args.images if args.images.is_dir() else args.images.parent
    masks = [args.output / path.relative_to(root).with_suffix(".tif") for path in images]
    for first, second, mask in zip(images, images[1:], masks, strict=False):
        if mask == args.output / second.relative_to(root).with_suffix(".tif"):
            raise UserError(f"{first} and {second} would have one mask, {mask}; rename one")
    if overwritten := set(map(Path.absolute, masks)) & set(map(Path.absolute, images)):
        raise UserError(f"--output={args.output} would overwrite the image {min(overwritten)}")
    if not args.overwrite and (existing := [mask for mask in masks if mask.exists()]):
        raise UserError(
            f"{len(existing)} masks exist, such as {existing[0]}; --overwrite replaces them"
        )
    return masks


def _sheets(
    args: argparse.Namespace, images: Sequence[Path], masks: Sequence[Path]
) -> tuple[list[_Sheet], list[Path]]:
    """Place all outlines before a mask is written; return also images without a file of theirs."""
    options = {"layer": args.layer, "classes": args.classes, "field": args.class_field}
    own = _own_files(args.outlines) if args.outlines.is_dir() else None
    shared = None if own is not None else read_outlines(args.outlines, **options)
    area = read_outlines(args.area) if args.area else None
    sheets, without, unplaced = [], [], []
    for image, mask in zip(images, masks, strict=True):
        outlines = shared
        if own is not None:
            if image.stem not in own:
                without.append(image)
                continue
            outlines = read_outlines(own[image.stem], may_be_empty=True, **options)
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
        sheets.append(_Sheet(image, mask, grid, outlines, placed, labelled))
    if not sheets:
        raise UserError(
            f"no file in --outlines={args.outlines} has the name of an image, such as"
            f" {images[0].stem}.gpkg"
        )
    if shared is not None and len(unplaced) > 1:
        raise UserError(
            f"{len(unplaced)} images do not say where they lie, such as {unplaced[0]}, so one file"
            " of outlines cannot be for all; give --outlines a folder with a file for each"
        )
    if shared is not None and not any(len(sheet.placed.shapes) for sheet in sheets):
        raise UserError(f"no outline meets an image: {nowhere(shared, sheets[0].grid)}")
    return sheets, without


def _own_files(folder: Path) -> dict[str, Path]:
    """Return the file of outlines for each name of an image."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in (".gpkg", ".geojson", ".json", ".shp", ".fgb", ".kml"):
            if path.stem in found:
                raise UserError(f"{found[path.stem]} and {path} are for one image; remove one")
            found[path.stem] = path
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
