"""From a finished run and images of any size to a map that opens in a GIS.

    python -m noise2map_jax.predict --workdir=runs/ss --image=A.tif --output=MAP.tif
    python -m noise2map_jax.predict --workdir=runs/cd --image=A.tif --post=B.tif --output=MAP.tif

The map is a GeoTIFF of class indices on the image's grid, 255 where the image holds no data.
"""

import argparse
import pathlib
import sys

from absl import logging

from data_prep.imagery import band_options
from noise2map_jax.command_name import command_name
from noise2map_jax.errors import UserError
from noise2map_jax.mapping.predictor import map_scene


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    command = command_name("noise2map-predict", "noise2map_jax.predict")
    parser = argparse.ArgumentParser(
        prog=command,
        description=(__doc__ or "").replace("python -m noise2map_jax.predict", command),
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--workdir", required=True, help="work folder of a finished run")
    parser.add_argument("--image", required=True, help="the image; for a pair the earlier one")
    parser.add_argument("--post", help="the later image of a pair")
    parser.add_argument("--output", required=True, help="GeoTIFF of class indices to write")
    parser.add_argument("--probability", default="", help="GeoTIFF of foreground probability")
    parser.add_argument("--task", default="", help="whose head, for a run of several tasks")
    parser.add_argument(
        "--timesteps",
        type=_timesteps,
        default=(),
        help="t of prediction, the mean over several: 700,800,900,999; default: the run's; memory "
        "grows with their number",
    )
    parser.add_argument(
        "--uncertainty",
        default="",
        help="GeoTIFF of the standard deviation of that probability over the timesteps "
        "and, for a run with Gaussian noise, over draws of it",
    )
    band_options.add_arguments(parser)
    parser.add_argument("--batch_size", type=int, default=8, help="tiles predicted at once")
    parser.add_argument(
        "--margin", type=int, default=-1, help="unused pixels at tile edges; default: an eighth"
    )
    return parser.parse_args(argv)


def _timesteps(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(t) for t in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected timesteps with commas between them, such as 700,800,999, not {text!r}"
        ) from None


def main(argv: list[str] | None = None) -> int:
    """Map a scene; a user's mistake is one line on stderr and exit code 2."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    logging.set_verbosity(logging.ERROR)
    paths = [arguments.image] + ([arguments.post] if arguments.post else [])
    try:
        map_scene(
            pathlib.Path(arguments.workdir),
            paths,
            arguments.output,
            task=arguments.task,
            probability=arguments.probability,
            uncertainty=arguments.uncertainty,
            timesteps=arguments.timesteps,
            batch_size=arguments.batch_size,
            margin=arguments.margin,
            choice=band_options.choice(arguments) if band_options.options(arguments) else None,
        )
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"map: {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
