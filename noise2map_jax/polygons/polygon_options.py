"""The options --polygons, --min_area, --simplify and --square of programs that write polygons."""

import argparse
import math
from dataclasses import dataclass

from noise2map_jax.errors import UserError


@dataclass(frozen=True)
class PolygonOptions:
    """Which polygons are written, and with what outlines.

    Attributes:
        minimum_area: smaller polygons are left out; in square metres, or in pixels if the map has
            no CRS.
        simplify: how far an outline may move where points of it are left out, in pixels.
        square_corners: whether outlines get right angles.

    Raises:
        UserError: a number is negative, infinite or NaN.
    """

    minimum_area: float = 0.0
    simplify: float = 0.0
    square_corners: bool = False

    def __post_init__(self) -> None:
        numbers = {"--min_area": self.minimum_area, "--simplify": self.simplify}
        for name, number in numbers.items():
            if not 0 <= number < math.inf:
                raise UserError(f"{name}={number:g}; expected 0 or above")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --polygons and the options of outlines."""
    parser.add_argument(
        "--polygons",
        default="",
        metavar="OUT.gpkg|.geojson|.parquet",
        help="polygons of all classes but the background: GeoPackage, GeoJSON (always longitude and"
        " latitude) or GeoParquet",
    )
    add_outline_arguments(parser)


def add_outline_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --min_area, --simplify and --square."""
    parser.add_argument(
        "--min_area",
        type=float,
        default=0.0,
        help="leave out smaller polygons; in square metres, in pixels where the map has no CRS",
    )
    parser.add_argument(
        "--simplify",
        type=float,
        default=0.0,
        help="leave out points of outlines that thereby move by at most so many pixels",
    )
    parser.add_argument(
        "--square",
        action="store_true",
        help="give outlines right angles, where they keep their shape",
    )


def options(arguments: argparse.Namespace) -> PolygonOptions:
    """Return the options that were given.

    Raises:
        UserError: a number is out of range, or polygons are described but none are asked for.
    """
    given = PolygonOptions(arguments.min_area, arguments.simplify, arguments.square)
    if given != PolygonOptions() and not arguments.polygons:
        raise UserError(
            "--min_area, --simplify and --square are about polygons: add --polygons=OUT.gpkg"
        )
    return given
