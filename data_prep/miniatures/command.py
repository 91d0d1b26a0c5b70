"""`python -m data_prep miniature NAME`: write a small generated dataset in its owner's layout."""

import argparse
import shlex
from pathlib import Path
from types import ModuleType

from data_prep.basics.errors import UserError
from data_prep.basics.options import positive, seed
from data_prep.miniatures import aid, spacenet7, whu, xview2

# NAME -> a module with write(output, *, seed, size), which fills an empty folder.
MINIATURES: dict[str, ModuleType] = {
    "aid": aid,
    "spacenet7": spacenet7,
    "whu": whu,
    "xview2": xview2,
}
# NAME -> the subfolder of the miniature to give as --source, and further options of the builder.
_BUILD = {
    "aid": (".", ""),
    "spacenet7": (".", ""),
    "whu": (whu.TILES, " --task=ss --resize={side}"),
    "xview2": (".", " --resize={side}"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("dataset", choices=sorted(MINIATURES), help="dataset whose layout to write")
    parser.add_argument("--output", type=Path, required=True, help="a new or empty folder")
    parser.add_argument("--seed", type=seed, default=0, help="seed of all scenes")
    parser.add_argument(
        "--size", type=positive, default=128, help="side of an image in pixels (default 128)"
    )


def run(args: argparse.Namespace) -> None:
    """Write the miniature.

    Raises:
      UserError: The output is not an empty folder.
    """
    if args.output.exists() and (not args.output.is_dir() or any(args.output.iterdir())):
        raise UserError(f"--output={args.output}: exists and is not an empty folder")
    args.output.mkdir(parents=True, exist_ok=True)
    MINIATURES[args.dataset].write(args.output, seed=args.seed, size=args.size)
    files = [path for path in args.output.rglob("*") if path.is_file()]
    print(f"{args.output}: {len(files)} files in the layout of {args.dataset}, generated")
    side = args.size // 2  # Two tiles along each side of an image.
    source, options = _BUILD[args.dataset]
    print(
        f"python -m data_prep {args.dataset} --source={shlex.quote(str(args.output / source))}"
        f" --data_dir=data --tile_size={side}{options.format(side=side)}"
    )
