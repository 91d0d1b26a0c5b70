r"""From a class map to polygons with areas.

    python -m noise2map_jax.polygonize --map=MAP.tif --output=BUILDINGS.gpkg
    python -m noise2map_jax.polygonize --map=MAP.tif --probability=PROB.tif \
        --output=BUILDINGS.geojson --min_area=20 --square

Maps are those of predict, or other GeoTIFFs of class indices in which 0 is background and 255 is no
data.
"""

import argparse
import sys

from noise2map_jax.buckets.address import local_path
from noise2map_jax.command_name import command_name
from noise2map_jax.errors import UserError
from noise2map_jax.polygons import polygon_options
from noise2map_jax.polygons.polygonization import write_polygons


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    command = command_name("noise2map-polygonize", "noise2map_jax.polygonize")
    parser = argparse.ArgumentParser(
        prog=command,
        description=(__doc__ or "").replace("python -m noise2map_jax.polygonize", command),
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--map", required=True, help="GeoTIFF of class indices")
    parser.add_argument(
        "--output",
        dest="polygons",
        required=True,
        metavar="OUT.gpkg|.geojson|.parquet",
        help="polygons to write; GeoJSON always holds longitude and latitude",
    )
    parser.add_argument(
        "--probability", default="", help="GeoTIFF of foreground probability, for its mean"
    )
    parser.add_argument(
        "--classes",
        type=_names,
        default=(),
        help="names of the classes, such as background,building (default: those in the map)",
    )
    polygon_options.add_outline_arguments(parser)
    return parser.parse_args(argv)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if len(names) < 2 or not all(names) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(
            f"expected two or more different names, such as background,building, not {text!r}"
        )
    return names


def main(argv: list[str] | None = None) -> int:
    """Write polygons; a user's mistake is one line on stderr and exit code 2."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    try:
        summary = write_polygons(
            str(local_path(arguments.map, "--map")),
            arguments.polygons,
            classes=arguments.classes,
            probability=arguments.probability,
            options=polygon_options.options(arguments),
        )
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.polygons}: {summary}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
