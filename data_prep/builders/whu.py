"""`python -m data_prep whu`: WHU Building, aerial tiles (ss) or two mosaics of change (cd)."""

import argparse
from typing import Any

from data_prep.basics.dataset import Dataset
from data_prep.basics.errors import UserError
from data_prep.basics.options import add_source_arguments, fractions, seed
from data_prep.builders import plans, whu_layout, whu_mosaics, whu_tiles
from data_prep.reading import masks, place_names

_RESIZE = 256  # Pixels, as in the paper; the owner's tiles have 512 a side.


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this builder."""
    add_source_arguments(parser)
    place_names.add_arguments(parser)
    parser.add_argument(
        "--task",
        choices=("ss", "cd"),
        required=True,
        help="ss: buildings on tiles in {train,val,test}/{image,label}; cd: changes between the"
        " mosaics of 2012 and 2016, or between crops of them in {A,B,OUT}",
    )
    parser.add_argument(
        "--split",
        choices=("official", "seeded"),
        default="official",
        help="official: the source's folders, or for mosaics the owner's cut by columns; seeded:"
        " all tiles at random, to compare with papers (neighbours may lie in different splits)",
    )
    parser.add_argument(
        "--splits",
        type=fractions,
        default=(0.8, 0.1, 0.1),
        help="shares of train,val,test for --split=seeded (default 0.8,0.1,0.1); with"
        " --split=official, val/(train+val) of train become val if the source has no val",
    )
    parser.add_argument(
        "--resize",
        type=seed,  # Parses any whole number from 0.
        help="for ss: resize the tiles to this side in pixels, images by area averaging, masks by"
        f" nearest neighbour (default {_RESIZE}, as in the paper); 0 keeps them, --tile_size cuts",
    )
    parser.add_argument("--mask_encoding", choices=("auto", *masks.ENCODINGS), default="auto")


def default_name(args: argparse.Namespace) -> str:
    """Return the name of the dataset if --name is not given."""
    return f"whu_{args.task}"


def _resize(args: argparse.Namespace) -> int:
    if args.task == "cd":
        return 0
    return _RESIZE if args.resize is None else args.resize


def options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that determine the records."""
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
    """Find the layout of the source, and plan the dataset.

    Args:
      args: The parsed options.
      name: The dataset's name.

    Raises:
      UserError: The options contradict each other, the layout is none of the known ones, or
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
        raise UserError("--splits: train's share is 0; --split=official cuts val from train")
    if args.task == "cd" and (names := place_names.options(args)):
        raise UserError(f"--{next(iter(names))} is for --task=ss: the mosaics of cd show one place")
    root = whu_layout.find_root(args.source, args.task)
    if args.task == "cd" and (root is None or whu_layout.is_one_of_each(root)):
        return whu_mosaics.plan(args, name, options(args))
    return whu_tiles.plan(args, name, options(args), root or args.source, resize)
