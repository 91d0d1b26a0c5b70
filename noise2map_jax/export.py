"""From a finished run to one file that holds the network, its scaling and its noise.

    python -m noise2map_jax.export --workdir=runs/ss --output=EXPORT --format=stablehlo
    python -m noise2map_jax.export --workdir=runs/ss --output=EXPORT --format=onnx --resolution=30

Both take the pixels of tiles and give class probabilities. stablehlo runs with JAX and NumPy alone
(`noise2map_jax.exports.loaded`), on CPUs, GPUs and TPUs. onnx runs in QGIS (Deepness), GeoDeep,
geoai and onnxruntime, and has a STAC item beside it.
"""

import argparse
import contextlib
import functools
import sys
from collections.abc import Callable

from absl import logging

from noise2map_jax.buckets.address import local_path
from noise2map_jax.buckets.names import shown
from noise2map_jax.command_name import command_name
from noise2map_jax.errors import UserError
from noise2map_jax.exports.folder import check_folder, write_files
from noise2map_jax.exports.metadata import describe
from noise2map_jax.exports.prediction import TilePrediction, read_prediction

# Names of an export's files, and what makes them of a prediction and of its description.
Format = tuple[tuple[str, ...], Callable[[TilePrediction, dict], dict[str, bytes]]]


def _stablehlo(arguments: argparse.Namespace) -> Format:
    from noise2map_jax.exports import stablehlo

    if arguments.pixels:
        raise UserError("--pixels is of --format=onnx: stablehlo always takes pixels as stored")
    return stablehlo.FILES, stablehlo.stablehlo_files


def _onnx(arguments: argparse.Namespace) -> Format:
    try:
        from noise2map_jax.exports import onnx_file  # needs the extra
    except ImportError as error:
        if (error.name or "").split(".")[0] != "onnx":
            raise
        raise UserError(
            "--format=onnx needs onnx, which is not installed: pip install 'noise2map_jax[onnx]'"
        ) from error
    pixels = arguments.pixels or "scaled"
    return onnx_file.FILES, functools.partial(onnx_file.onnx_files, pixels=pixels)


FORMATS = {"stablehlo": _stablehlo, "onnx": _onnx}


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    command = command_name("noise2map-export", "noise2map_jax.export")
    parser = argparse.ArgumentParser(
        prog=command,
        description=(__doc__ or "").replace("python -m noise2map_jax.export", command),
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--workdir", required=True, help="a run, weights file or shipped:NAME")
    parser.add_argument("--output", required=True, help="folder to write; made if it is missing")
    parser.add_argument("--format", required=True, choices=FORMATS, help="what to write")
    parser.add_argument("--task", default="", help="whose head, for a run of several tasks")
    parser.add_argument(
        "--timesteps",
        type=_timesteps,
        default=(),
        help="t of prediction, the mean over several: 700,800,900,999; default: the run's",
    )
    parser.add_argument(
        "--tile_size",
        type=int,
        default=0,
        help="side of tiles; default: model.sample_size if it is set, else the run's"
        " eval.map_tile_size, or the size of training",
    )
    parser.add_argument(
        "--resolution",
        type=_resolution,
        default=0.0,
        help="side of a pixel of the training images in cm: QGIS resamples images to it; default: "
        "not stated",
    )
    parser.add_argument(
        "--pixels",
        choices=("scaled", "stored"),
        default="",
        help="what the ONNX file takes: scaled (default) = pixel / 255, which Deepness, GeoDeep and"
        " geoai feed; stored = the pixel itself, which of these only Deepness can feed",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace files of an earlier export"
    )
    return parser.parse_args(argv)


def _timesteps(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(t) for t in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected timesteps with commas between them, such as 700,800,999, not {text!r}"
        ) from None


def _resolution(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected centimetres above 0, such as 30, not {text!r}")
    return value


def main(argv: list[str] | None = None) -> int:
    """Export a run; a user's mistake is one line on stderr and exit code 2."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    logging.set_verbosity(logging.ERROR)
    try:
        lines = _export(arguments)
    except UserError as error:
        print(f"error: {shown(str(error))}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


def _export(arguments: argparse.Namespace) -> list[str]:
    """Export a run, and list the files that were written; what is refused leaves no folder."""
    names, make = FORMATS[arguments.format](arguments)
    if not arguments.output:
        raise UserError("output is empty; name a folder to write")
    folder = local_path(arguments.output, "--output")
    was_there = folder.exists()
    check_folder(folder, names, arguments.overwrite)
    try:
        paths = write_files(folder, _files(arguments, make))
    except UserError:
        if not was_there:
            with contextlib.suppress(OSError):
                folder.rmdir()
        raise
    return [f"{path.stat().st_size:>14,} bytes  {path}" for path in paths]


def _files(
    arguments: argparse.Namespace, make: Callable[[TilePrediction, dict], dict[str, bytes]]
) -> dict[str, bytes]:
    """Return the content of the files to write, by name."""
    run, prediction = read_prediction(
        arguments.workdir,
        task=arguments.task,
        timesteps=arguments.timesteps,
        tile_size=arguments.tile_size,
    )
    return make(prediction, describe(run, prediction, arguments.resolution))


if __name__ == "__main__":
    sys.exit(main())
