"""`python -m data_prep warp`: write an image or a mask on the grid of another image."""

import argparse
from pathlib import Path

from data_prep.basics.errors import UserError
from data_prep.imagery import band_options
from data_prep.imagery.bands import ReadError
from data_prep.imagery.warped_copy import warp_image, warp_mask


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("--image", type=Path, required=True, help="the file to warp")
    parser.add_argument("--onto", type=Path, required=True, help="the image whose grid it gets")
    parser.add_argument("--output", type=Path, required=True, help="the GeoTIFF to write")
    parser.add_argument(
        "--mask",
        action="store_true",
        help="the file is a mask: each pixel gets the value of the nearest, as stored",
    )
    band_options.add_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Write the file, and say what was done.

    Raises:
      UserError: A file is missing or unusable, the two have no ground in common, or the output
        would overwrite a file.
    """
    for path in (args.image, args.onto):
        if not path.is_file():
            raise UserError(f"no file {path}")
    if args.output.exists():
        raise UserError(f"{args.output} exists; choose another name for --output")
    if not args.output.absolute().parent.is_dir():
        raise UserError(f"no folder {args.output.absolute().parent} to write {args.output} to")
    if args.mask and band_options.options(args):
        raise UserError("--mask reads a mask as stored; leave --bands, --alpha and --nodata out")
    try:
        if args.mask:
            done = warp_mask(args.image, args.onto, args.output)
        else:
            choice = band_options.choice(args)
            done = warp_image(args.image, args.onto, args.output, choice)
    except ReadError as error:
        raise UserError(f"{args.image} {error}") from None
    print(f"{args.output}: {args.image} {done}")
