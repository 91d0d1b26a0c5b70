"""`python -m data_prep aid`: AID, 10,000 aerial images of 600 x 600 in 30 folders, for pretraining.

By default a record is a whole image, so that training can draw 256 x 256 crops anywhere in it.
Nothing is padded: all tiles lie inside the images.
"""

import argparse
import functools
import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.basics.dataset import Dataset, RecordFormat, Scene
from data_prep.basics.errors import UserError
from data_prep.basics.options import add_source_arguments, fractions, seed
from data_prep.basics.parallel import ordered_map
from data_prep.basics.rejection import Rejection, Unusable, check_usable
from data_prep.builders import plans
from data_prep.imagery.bands import ReadError
from data_prep.imagery.image_file import read_image, read_size
from data_prep.reading import layout, places
from data_prep.reading.matching import Candidate
from data_prep.reading.places import Evidence
from data_prep.reading.rasters import resize_image
from data_prep.shards import splits


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this builder."""
    add_source_arguments(parser)
    parser.set_defaults(tile_size=600)
    parser.add_argument(
        "--resize",
        type=seed,  # Parses any whole number from 0.
        default=0,
        help="resize the images to this side in pixels, by area averaging (default 0: keep them)",
    )
    parser.add_argument(
        "--splits",
        type=fractions,
        default=(0.9, 0.05, 0.05),
        help="shares of train,val,test, the same in every class folder (default 0.9,0.05,0.05)",
    )


def default_name(args: argparse.Namespace) -> str:
    """Return the name of the dataset if --name is not given."""
    return "aid"


def options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that determine the records."""
    return {
        **plans.source_options(args),
        "resize": args.resize,
        "splits": list(args.splits),
    }


def plan(args: argparse.Namespace, name: str) -> Dataset:
    """Find the images and read their sizes.

    Args:
      args: The parsed options.
      name: The dataset's name.

    Returns:
      The dataset, ready to be written.

    Raises:
      UserError: The options contradict each other, the folder holds no images, or
        (--on_error=fail) files in it cannot be used.
    """
    if 0 < args.resize < args.tile_size:
        raise UserError(f"--resize={args.resize} is below --tile_size={args.tile_size}")
    found = layout.find(args.source, "denoise", use_lists=False)
    if found.has_splits:
        raise UserError(
            f"--source={args.source}: has split folders, but AID has none (`folder --task=denoise`"
            " keeps them)"
        )
    names = _names(found.candidates)
    place = places.find({name: Evidence(name, name) for name in names}, can_be_named=False)
    split_of, split_rule = _divide(names, args.splits, args.seed)
    sizes = ordered_map(
        functools.partial(measure, args.tile_size, args.resize),
        [candidate.files["image"] for candidate in found.candidates],
        num_workers=args.num_workers,
        description="reading",
        unit="files",
    )
    scenes, rejected, num_cut, num_pixels = [], list(found.rejected), 0, 0
    for candidate, scene_name, size in zip(found.candidates, names, sizes, strict=True):
        path = candidate.files["image"]
        if isinstance(size, str):
            rejected.append(Rejection(path.relative_to(args.source).as_posix(), size))
            continue
        height, width = (length - length % args.tile_size for length in size)
        window = ((size[0] - height) // 2, (size[1] - width) // 2)
        split = split_of[scene_name]
        scenes.append(
            Scene(
                scene_name, split, 0, height, width, candidate.files, window, place.of[scene_name]
            )
        )
        num_pixels += size[0] * size[1]
        num_cut += size[0] * size[1] - height * width
    left = (scene.split for scene in scenes)
    check_usable(rejected, found.num_found, args.on_error, split_of.values(), left)
    notes = []
    if num_cut:
        notes.append(
            f"{num_cut} of {num_pixels} pixels ({100 * num_cut / num_pixels:.1f} %) are cut off at"
            f" the edges of the images, where no tile of {args.tile_size} fits"
        )
    return plans.make(
        args,
        name,
        RecordFormat("denoise", args.tile_size, 3, "uint8", ()),
        scenes,
        functools.partial(load, args.resize),
        options=options(args),
        layout=_description(names),
        mask_encoding=None,
        split_rule=split_rule,
        places=place,
        notes=notes,
        rejected=rejected,
        num_found=found.num_found,
    )


def measure(tile_size: int, resize: int, path: Path) -> tuple[int, int] | str:
    """Return height and width of an image once resized, or why it cannot be used."""
    try:
        height, width = read_size(path)
    except ReadError as error:
        return str(error)
    if resize and height != width:
        return f"has {width} x {height} pixels; --resize={resize} takes only squares, 0 any size"
    if resize:
        return resize, resize
    if min(height, width) < tile_size:
        return (
            f"has {width} x {height} pixels, fewer than --tile_size={tile_size} (choose smaller"
            " tiles, or enlarge it by --resize)"
        )
    return height, width


def load(resize: int, scene: Scene) -> dict[str, np.ndarray]:
    """Read an image.

    Args:
      resize: Side in pixels to resize it to; 0: keep its size.
      scene: A window of whole tiles in the image.

    Returns:
      {"image": [H, W, 3] uint8, "mask": [H, W, 1] of zeros, as every pixel is image}.

    Raises:
      Unusable: The file cannot be read.
    """
    path = scene.files["image"]
    try:
        image = read_image(path)
        bands, dtype = image.pixels.shape[-1], image.pixels.dtype
        if bands != 3 or dtype != np.uint8:
            raise ReadError(f"has {bands} band(s) of {dtype}; expected three of uint8")
        if image.valid is not None:
            raise ReadError("has pixels without data, which denoising cannot ignore")
    except ReadError as error:
        raise Unusable({path: str(error)}) from error
    pixels = resize_image(image.pixels, resize, resize) if resize else image.pixels
    assert scene.window is not None
    row, column = scene.window
    used = pixels[row : row + scene.height, column : column + scene.width]
    return {"image": used, "mask": np.zeros((scene.height, scene.width, 1), np.uint8)}


def _names(candidates: Sequence[Candidate]) -> list[str]:
    """Return the names of the scenes without the folders that all scenes share."""
    folders = [os.path.dirname(candidate.name) for candidate in candidates]
    shared = os.path.commonpath(folders) if folders else ""
    if shared and all(folder == shared for folder in folders):
        shared = os.path.dirname(shared)  # A single class folder keeps its name.
    return [os.path.relpath(c.name, shared) if shared else c.name for c in candidates]


def _divide(names: Sequence[str], shares: Sequence[float], seed: int) -> tuple[dict[str, str], str]:
    """Divide the images of every class folder by the same shares; also return the rule."""
    classes: dict[str, list[str]] = defaultdict(list)
    for name in names:
        classes[os.path.dirname(name)].append(name)
    needed = sum(share > 0 for share in shares)
    for folder, members in classes.items():
        if len(members) < needed:
            raise UserError(
                f"{folder or 'the source'}: {len(members)} image(s) cannot be divided into"
                f" {needed} splits (--splits=1,0,0 puts all in train)"
            )
    split_of: dict[str, str] = {}
    for members in classes.values():
        split_of |= splits.assign(members, shares, seed)
    percent = splits.in_words(shares)
    where = "in each class folder" if len(classes) > 1 else "by image"
    return split_of, f"{where}, {percent}, in the order of a hash of seed {seed} and the name"


def _description(names: Sequence[str]) -> str:
    folders = {os.path.dirname(name) for name in names}
    if len(folders) > 1:
        return f"{len(folders)} class folders of images (the owner's layout)"
    return "one folder of images"
