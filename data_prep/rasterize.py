"""`python -m data_prep rasterize`: draw outlines as masks on the grids of images."""

import argparse
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path

from data_prep.basics.errors import UserError
from data_prep.basics.options import class_names
from data_prep.basics.progress import progress_bar
from data_prep.imagery.bands import ReadError
from data_prep.imagery.files import SUFFIXES, read_grid, seen_turn
from data_prep.imagery.grid import Grid
from data_prep.reading.outline_masks import Counts, write_mask
from data_prep.reading.outlines import Outlines, read_outlines
from data_prep.reading.placed_outlines import Placed, nowhere, place_outlines

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
        f" of the same name for each image ({', '.join(OUTLINES)}), which may be empty",
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
    parser.add_argument("--area_layer", default="", help="layer of --area, if there are several")
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
    sheets, others = _sheets(args, images)
    counts = []
    num_pixels = sum(sheet.grid.height * sheet.grid.width for sheet in sheets)
    with progress_bar(num_pixels, "masks", "pixels") as bar:
        for sheet in sheets:
            sheet.mask.parent.mkdir(parents=True, exist_ok=True)
            try:
                counts.append(
                    write_mask(
                        sheet.mask, sheet.grid, sheet.placed, sheet.area, args.classes, bar.update
                    )
                )
            except ReadError as error:
                raise UserError(f"{sheet.mask} {error}") from None
    print("\n".join([*_summary(args, sheets, counts), *others]))


def _images(source: Path, output: Path) -> dict[Path, Path]:
    """Return each image by its path without suffix below the folder; masks of before are none."""
    if not source.exists():
        raise UserError(f"no file or folder --images={source}")
    if source.is_file():
        return {Path(source.stem): source}
    place = output.resolve()
    if place != source.resolve() and source.resolve().is_relative_to(place):
        raise UserError(f"--images={source} lie in --output={output}; choose another folder")
    images: dict[Path, Path] = {}
    for path in sorted(source.rglob("*")):
        below = path.relative_to(source)
        is_hidden = any(part.startswith(".") for part in below.parts)
        is_mask = path.resolve().is_relative_to(place) and place != source.resolve()
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
    if overwritten := {m.resolve() for m in masks} & {i.resolve() for i in images.values()}:
        raise UserError(f"--output={args.output} would overwrite the image {min(overwritten)}")
    if not args.overwrite and (existing := [mask for mask in masks if mask.exists()]):
        raise UserError(
            f"{len(existing)} of {_number(masks, 'mask')} exist, such as {existing[0]};"
            " --overwrite replaces them"
        )


def _sheets(
    args: argparse.Namespace, images: Mapping[Path, Path]
) -> tuple[list[_Sheet], list[str]]:
    """Place all outlines before a mask is written; also say which files have no partner."""
    options = {"layer": args.layer, "classes": args.classes, "field": args.class_field}
    own = _own_files(args.outlines) if args.outlines.is_dir() else None
    shared = None if own is not None else read_outlines(args.outlines, **options)
    area = None
    if args.area:
        area = read_outlines(args.area, layer=args.area_layer, layer_option="--area_layer")
    elif args.area_layer:
        raise UserError("--area_layer is the layer of --area, which is not given")
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
            turn = seen_turn(image, grid)
            placed = place_outlines(outlines, grid, turn)
            labelled = None if area is None else place_outlines(area, grid, turn)
        except ReadError as error:
            raise UserError(f"{image} {error}") from None
        if own is not None and len(outlines.shapes) and not len(placed.shapes):
            raise UserError(f"{image}: none of its outlines meets it: {nowhere(outlines, grid)}")
        if not grid.is_placed:
            unplaced.append(image)
        sheets.append(_Sheet(image, _mask(args, name), grid, outlines, placed, labelled))
    unused = sorted(own.keys() - images.keys()) if own is not None else []
    if not sheets:
        held = f"; it has {', '.join(map(str, unused[:_NAMED]))}" if unused else ""
        raise UserError(
            f"no file in --outlines={args.outlines} has the name of an image, such as"
            f" {next(iter(images))}, and one of the suffixes {', '.join(OUTLINES)}{held}"
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
    others = []
    if without:
        others.append(f"no file of outlines, so no mask: {_named(without, args.images)}")
    if own is not None and unused:
        files = [own[name] for name in unused]
        others.append(f"no image: {_named(files, args.outlines, 'file')} of outlines")
    return sheets, others


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
    args: argparse.Namespace, sheets: Sequence[_Sheet], counts: Sequence[Counts]
) -> list[str]:
    """Return what was drawn, and what deserves a look, line by line."""
    num_pixels = sum(one.num_pixels for one in counts)
    foreground = sum(one.num_foreground for one in counts) / num_pixels
    ignored = sum(one.num_ignored for one in counts) / num_pixels
    num_shown = sum(len(one.shown) for one in counts)
    lines = [
        f"{args.output}: {_number(sheets, 'mask')} with {_number(range(num_shown), 'outline')};"
        f" {foreground:.1%} of"
        " the pixels are foreground" + (f", {ignored:.1%} lie outside --area" if args.area else "")
    ]
    lines += _left_out(sheets, counts)
    pairs = list(zip(sheets, counts, strict=True))
    outside = [sheet.image for sheet, one in pairs if one.num_ignored == one.num_pixels]
    bare = [
        sheet.image
        for sheet, one in pairs
        if not one.num_foreground and one.num_ignored < one.num_pixels
    ]
    if outside:
        lines.append(
            f"outside --area: {_named(outside, args.images)}; 255 (ignore) is all that the masks"
            " hold, so take these images out"
        )
    if bare:
        lines.append(
            f"no outline: {_named(bare, args.images)}; their masks say {args.classes[0]}"
            f" {'all over --area' if args.area else 'everywhere'}, so take out images that nobody"
            " has looked at"
        )
    return lines


def _left_out(sheets: Sequence[_Sheet], counts: Sequence[Counts]) -> list[str]:
    """Say what of the outlines is in no mask, or not as it was drawn."""
    lines = []
    if repaired := sum(sheet.placed.num_repaired for sheet in sheets):
        lines.append(f"repaired, for they cross themselves: {_number(range(repaired), 'outline')}")
    files = {id(sheet.outlines): sheet.outlines for sheet in sheets}.values()
    placed: dict[int, set[int]] = {key: set() for key in map(id, files)}
    shown: dict[int, set[int]] = {key: set() for key in map(id, files)}
    for sheet, one in zip(sheets, counts, strict=True):
        placed[id(sheet.outlines)] |= set(sheet.placed.indices.tolist())
        shown[id(sheet.outlines)] |= one.shown
    if empty := sum(file.num_features - len(file.shapes) for file in files):
        lines.append(f"left out, for want of a geometry: {_number(range(empty), 'feature')}")
    if beside := sum(len(file.shapes) - len(placed[id(file)]) for file in files):
        lines.append(f"left out, for they meet no image: {_number(range(beside), 'outline')}")
    if hidden := sum(len(placed[key] - shown[key]) for key in placed):
        lines.append(
            "not to be seen, for they hold no pixel's centre, lie under others or outside --area:"
            f" {_number(range(hidden), 'outline')}"
        )
    return lines


def _named(paths: Sequence[Path], folder: Path, noun: str = "image") -> str:
    below = [path.relative_to(folder) if folder.is_dir() else path for path in paths]
    names = ", ".join(path.as_posix() for path in below[:_NAMED])
    return f"{_number(paths, noun)} ({'such as ' if len(paths) > 1 else ''}{names})"


def _number(items: Sized, noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"
