"""`python -m data_prep whu`: WHU Building, aerial tiles (ss) or two mosaics of change (cd)."""

import argparse
from typing import Any

from data_prep.builders import plans, whu_layout, whu_mosaics, whu_tiles
from data_prep.ground.dataset import Dataset
from data_prep.ground.errors import UserError
from data_prep.ground.options import add_source_arguments, fractions, seed
from data_prep.reading import masks, place_names

_RESIZE = 256  # As in the paper; the owner's tiles have 512 pixels a side.


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this builder."""
    add_source_arguments(parser)
    place_names.add_arguments(parser)
    parser.add_argument(
        "--task",
        choices=("ss", "cd"),
        required=True,
        help="ss: buildings on tiles in {train,val,test}/{image,label}; cd: change between the"
        " mosaics of 2012 and 2016, or crops of them in {A,B,OUT}",
    )
    parser.add_argument(
        "--split",
        choices=("official", "seeded"),
        default="official",
        help="official: the folders, or for mosaics the owner's cut by columns; seeded: all tiles"
        " at random, for comparison with papers (neighbours may lie in different splits)",
    )
    parser.add_argument(
        "--splits",
        type=fractions,
        default=(0.8, 0.1, 0.1),
        help="shares of train,val,test of --split=seeded (default 0.8,0.1,0.1); --split=official"
        " cuts val/(train+val) of train where the source has no val",
    )
    parser.add_argument(
        "--resize",
        type=seed,  # A whole number, 0 or above.
        help="side of the tiles of ss in pixels, images by the mean of areas, masks by the nearest"
        f" pixel (default {_RESIZE}, as in the paper); 0 keeps their pixels and cuts --tile_size",
    )
    parser.add_argument("--mask_encoding", choices=("auto", *masks.ENCODINGS), default="auto")


def default_name(args: argparse.Namespace) -> str:
    """Return the name of a dataset whose user gave none."""
    return f"whu_{args.task}"


def _resize(args: argparse.Namespace) -> int:
    if args.task == "cd":
        return 0
    return _RESIZE if args.resize is None else args.resize


def options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that decide what the records are."""
    return {
        **plans.source_options(args),
        "task": args.task,
        "resize": _resize(args),
        "split": args.split,
        "splits": list(args.splits),
        "mask_encoding": args.mask_encoding,
        **place_names.options(args),
    }


def plan(args: argparse.Namespace, name: str) -> Dataset:
    """Find out which layout the source has, and plan the dataset.

    Args:
      args: The parsed options.
      name: The dataset's name.

    Raises:
      UserError: The options do not fit, the layout is none of the known ones, or
        (--on_error=fail) files cannot be used.
    """
    if not args.source.is_dir():
        what = "not a folder" if args.source.exists() else "not found"
        raise UserError(f"--source={args.source}: {what}")
    if args.task == "cd" and args.resize:
        raise UserError(f"--resize={args.resize}: only --task=ss is resized; cd is cut into tiles")
    resize = _resize(args)
    if 0 < resize < args.tile_size:
        raise UserError(
            f"--resize={resize} is below --tile_size={args.tile_size}: every record would be padded"
        )
    if args.split == "official" and args.splits[0] == 0:
        raise UserError("--splits: train has no share; --split=official cuts val from train")
    if args.task == "cd" and (names := place_names.options(args)):
        raise UserError(f"--{next(iter(names))} is for --task=ss: the mosaics of cd show one place")
    root = whu_layout.find_root(args.source, args.task)
    if args.task == "cd" and (root is None or whu_layout.is_one_of_each(root)):
        return whu_mosaics.plan(args, name, options(args))
    return whu_tiles.plan(args, name, options(args), root or args.source, resize)
