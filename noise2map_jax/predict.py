"""From a finished run and images of any size to a map that opens in a GIS.

    python -m noise2map_jax.predict --workdir=runs/ss --image=A.tif --output=MAP.tif
    python -m noise2map_jax.predict --workdir=runs/cd --image=A.tif --post=B.tif --output=MAP.tif

The map is a Cloud-Optimized GeoTIFF of class indices on the image's grid, 255 where the image holds
no data.
"""

import argparse
import dataclasses
import functools
import pathlib
import sys
from collections.abc import Callable

import jax
from absl import logging

from data_prep.imagery import band_options
from noise2map_jax.buckets.address import local_path
from noise2map_jax.buckets.names import shown
from noise2map_jax.command_name import command_name
from noise2map_jax.errors import UserError
from noise2map_jax.mapping.layers import PROBABILITY_TYPES
from noise2map_jax.mapping.loading import load
from noise2map_jax.mapping.memory import share_memory
from noise2map_jax.mapping.pair import REGISTER
from noise2map_jax.mapping.parts import parse_part
from noise2map_jax.mapping.prediction_options import BEST, PredictionOptions
from noise2map_jax.mapping.scene_list import SceneFiles, scene_list
from noise2map_jax.mapping.scene_map import MapFiles, check_outputs, map_scene
from noise2map_jax.polygons import polygon_options
from noise2map_jax.polygons.polygon_file import check_output
from noise2map_jax.polygons.polygon_options import PolygonOptions
from noise2map_jax.polygons.polygonization import check_place, write_polygons
from noise2map_jax.previews.preview import check_preview, write_preview

_FULL = "RESOURCE_EXHAUSTED"  # what XLA says where memory is too small


def parse(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    command = command_name("noise2map-predict", "noise2map_jax.predict")
    parser = argparse.ArgumentParser(
        prog=command,
        description=(__doc__ or "").replace("python -m noise2map_jax.predict", command),
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--workdir",
        required=True,
        help="work folder of a finished run, weights exported of it, shipped:... or hf:...",
    )
    parser.add_argument(
        "--image",
        required=True,
        help="the image, for a pair the earlier one; or a folder of images, or a .txt with a path "
        "a line: outputs are then folders",
    )
    parser.add_argument("--post", help="the later image of a pair, or likewise")
    parser.add_argument("--output", required=True, help="GeoTIFF of class indices to write")
    parser.add_argument("--probability", default="", help="GeoTIFF of foreground probability")
    parser.add_argument(
        "--uncertainty",
        default="",
        help="GeoTIFF of the standard deviation of that probability over timesteps, symmetries "
        "and, for a run with Gaussian noise, draws of it",
    )
    parser.add_argument(
        "--every_class", action="store_true", help="probability of each class, one a band"
    )
    parser.add_argument(
        "--probability_type",
        choices=PROBABILITY_TYPES,
        default=PROBABILITY_TYPES[0],
        help="of probability and uncertainty; uint8 has steps of 0.004 and a quarter of the size",
    )
    polygon_options.add_arguments(parser)
    parser.add_argument(
        "--preview", default="", help="PNG picture of images, map and outlines, to look at"
    )
    _add_options(parser)
    band_options.add_arguments(parser)
    parser.add_argument(
        "--strict", action="store_true", help="refuse a pair on different grids; default: warp it"
    )
    parser.add_argument(
        "--register",
        choices=REGISTER,
        default="",
        help="measure the shift between the dates, and say it (report) or take it out (apply)",
    )
    return parser.parse_args(argv)


def _add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how to predict."""
    parser.add_argument("--task", default="", help="whose head, for a run of several tasks")
    parser.add_argument(
        "--timesteps",
        type=_timesteps,
        default=(),
        help="t of prediction, the mean over several: 700,800,900,999; default: the run's; memory "
        "grows with their number",
    )
    parser.add_argument(
        "--tta",
        action="store_true",
        help="predict all eight flips and turns of each tile, and average; takes eight times as "
        "long",
    )
    parser.add_argument(
        "--threshold",
        type=_threshold,
        help="probability from which a pixel is foreground, or best: the one that --mode=eval "
        "found on validation; default: the most probable class",
    )
    parser.add_argument(
        "--temperature",
        type=float,
        help="probabilities are taken to the power 1 / temperature; default: the one that "
        "--mode=eval found on validation, 1 if it was not run",
    )
    parser.add_argument(
        "--tile_size",
        type=int,
        default=0,
        help="default: the run's eval.map_tile_size, or the size of training",
    )
    parser.add_argument(
        "--margin",
        type=int,
        default=0,
        help="pixels at tile edges that are not used at all; default: 0",
    )
    parser.add_argument(
        "--overlap",
        type=int,
        default=-1,
        help="pixels over which tiles are blended; default: half of a tile",
    )
    parser.add_argument(
        "--batch_size",
        type=int,
        default=0,
        help="tiles predicted at once; default: 8, or fewer if larger",
    )
    parser.add_argument(
        "--part",
        default="1/1",
        help="i/n: map one of n bands of the scene; n processes share a scene, and the last one "
        "joins the bands",
    )


def _timesteps(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(t) for t in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected timesteps with commas between them, such as 700,800,999, not {text!r}"
        ) from None


def _threshold(text: str) -> float | str:
    try:
        return text if text == BEST else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number or {BEST}, not {text!r}") from None


def main(argv: list[str] | None = None) -> int:
    """Map a scene; a user's mistake is one line on stderr and exit code 2."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    share_memory()
    logging.set_verbosity(logging.ERROR)
    images = [str(local_path(arguments.image, "--image"))]
    if arguments.post:
        images.append(str(local_path(arguments.post, "--post")))
    maps = MapFiles(
        arguments.output,
        arguments.probability,
        arguments.uncertainty,
        every_class=arguments.every_class,
        dtype=arguments.probability_type,
    )
    try:
        outlines = polygon_options.options(arguments)
        part, options = parse_part(arguments.part), _options(arguments)
        _check_effects(arguments)
        scenes = scene_list(SceneFiles(images, maps, arguments.polygons, arguments.preview))
        for scene in scenes:
            _check(scene)
        model = load(arguments.workdir, task=arguments.task)
        choice = band_options.choice(arguments) if band_options.options(arguments) else None
        mapped = functools.partial(
            map_scene,
            model,
            options=options,
            choice=choice,
            strict=arguments.strict,
            register=arguments.register,
            part=part,
        )
        for scene in scenes:
            done = _map(scene, mapped, outlines, arguments.part)
            if done and scene.preview:
                write_preview(
                    scene.maps.classes,
                    scene.images,
                    scene.preview,
                    choice=choice or model.band_choice,
                    register=arguments.register,
                )
                print(f"preview: {scene.preview}")
    except UserError as error:
        print(f"error: {shown(str(error))}", file=sys.stderr)
        return 2
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, jax.errors.JaxRuntimeError) and _FULL not in str(error):
            raise
        print(
            "error: the memory is too small for the tiles that are predicted at once: choose a"
            " smaller --batch_size or --tile_size",
            file=sys.stderr,
        )
        return 2
    return 0


def _check_effects(arguments: argparse.Namespace) -> None:
    """Refuse options that would have no effect."""
    if arguments.every_class and not arguments.probability:
        raise UserError("--every_class is about a probability: add --probability=OUT.tif")
    is_default = arguments.probability_type == PROBABILITY_TYPES[0]
    if not is_default and not (arguments.probability or arguments.uncertainty):
        raise UserError("--probability_type is about a probability: add --probability=OUT.tif")
    if (arguments.strict or arguments.register) and not arguments.post:
        raise UserError("--strict and --register are about pairs: name the later image by --post")


def _check(scene: SceneFiles) -> None:
    """Check that a scene is there and that its files can be written, before any is mapped."""
    check_outputs(scene.images, scene.maps)
    others = [*scene.images, *scene.maps.paths]
    if scene.polygons:
        check_output(scene.polygons, tuple(others))
        check_place(scene.polygons, scene.images[0])
    if scene.preview:
        check_preview(scene.preview, others)


def _map(
    scene: SceneFiles, mapped: Callable[..., bool], outlines: PolygonOptions, part: str
) -> bool:
    """Map a scene, and make polygons of it once it is complete; return whether it is."""
    maps, probability = scene.maps, scene.maps.probability
    if scene.polygons and (not probability or maps.every_class):
        probability = f"{maps.classes}.foreground.part"
        maps = dataclasses.replace(maps, foreground=probability)
    if not mapped(paths=scene.images, files=maps):
        print(f"part {part} of {maps.classes} is done; the last one to end joins them")
        return False
    print(f"map: {maps.classes}")
    try:
        if scene.polygons:
            summary = write_polygons(
                maps.classes, scene.polygons, probability=probability, options=outlines
            )
            print(f"polygons: {scene.polygons}: {summary}")
    finally:
        if maps.foreground:
            pathlib.Path(maps.foreground).unlink()
    return True


def _options(arguments: argparse.Namespace) -> PredictionOptions:
    return PredictionOptions(
        timesteps=arguments.timesteps,
        tile_size=arguments.tile_size,
        margin=arguments.margin,
        overlap=arguments.overlap,
        batch_size=arguments.batch_size,
        symmetries=arguments.tta,
        threshold=arguments.threshold,
        temperature=arguments.temperature,
    )


if __name__ == "__main__":
    sys.exit(main())
