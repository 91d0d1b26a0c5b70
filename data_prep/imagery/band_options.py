"""The options --bands, --alpha and --nodata of programs that read any images."""

import argparse
from typing import Any

from data_prep.basics.options import seed
from data_prep.imagery.band_choice import ALPHA, BandChoice


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--bands",
        type=bands,
        default=(),
        help="numbers of the bands to read, from 1, in this order: 4,3,2; 1,1,1 makes three bands"
        " of grey (default: all but alpha)",
    )
    parser.add_argument(
        "--alpha",
        choices=ALPHA,
        default="auto",
        help="what an alpha band is: mask (0 is no data; also the last of two or four bands that no"
        " file flags), band (one more spectral band), auto (default): mask where it is flagged",
    )
    parser.add_argument(
        "--nodata",
        type=seed,  # Parses any whole number from 0.
        help="value that pixels without data have in all bands, where files do not declare it",
    )


def bands(text: str) -> tuple[int, ...]:
    """Parse --bands."""
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = (0,)
    if min(numbers) < 1:
        raise argparse.ArgumentTypeError(
            f"expected numbers of bands from 1, such as 1,2,3, not {text!r}"
        )
    return numbers


def choice(args: argparse.Namespace) -> BandChoice:
    """Return the choice that the options make."""
    return BandChoice(args.bands, args.alpha, args.nodata)


def options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that were given, as entries of the manifest."""
    given = {"bands": list(args.bands)} if args.bands else {}
    given |= {"alpha": args.alpha} if args.alpha != "auto" else {}
    return given | ({"nodata": args.nodata} if args.nodata is not None else {})
