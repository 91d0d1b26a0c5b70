"""Measures maps of whole scenes: speed, seams, scores and memory for several ways to cut tiles.

A scene is drawn and mapped by a finished run of `configs/demo_ss.py`. Each way is compared with the
bare network on tiles of the same size in the same minutes, because a machine's speed changes.
"""

import argparse
import functools
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

import jax
import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

import noise2map_jax
from benchmarks import machine
from data_prep.drawing.scenes import segmentation_scene
from noise2map_jax.experiment.components import create_process
from noise2map_jax.mapping.arrays import Maps
from noise2map_jax.mapping.memory import share_memory
from noise2map_jax.mapping.model import Model
from noise2map_jax.mapping.prediction_options import PredictionOptions
from noise2map_jax.mapping.scene_map import MapFiles, map_scene
from noise2map_jax.mapping.tiling import Tiling
from noise2map_jax.method.sampling import ddim_sample

# (tile_size, overlap); 0 = the tile of training, -1 = half of a tile.
WAYS = ((0, 0), (0, 16), (0, -1), (128, 0), (128, 32), (128, -1), (256, 0), (256, 64))
SHIFTS = (0.5, 0.3)  # of a tile, by which the scene is shifted
DDIM_STEPS = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--workdir", required=True, help="a finished run of demo_ss")
    parser.add_argument("--height", type=int, default=1024, help="of the drawn scene")
    parser.add_argument("--width", type=int, default=1400)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--overlaps", type=int, nargs="*", help="of the tile of training alone")
    parser.add_argument(
        "--large", type=int, default=0, help="side of a sparse scene whose memory is measured"
    )
    parser.add_argument("--memory_of", default="", help=argparse.SUPPRESS)


def run(arguments: argparse.Namespace) -> None:
    """Measure, and print the result."""
    if arguments.memory_of:  # a process of its own, started by `_memory`
        share_memory()
        model = noise2map_jax.load(arguments.workdir)
        _map_file(model, arguments.memory_of)
        print(machine.peak_memory())
        return
    scene, truth = draw(arguments.height, arguments.width, arguments.seed)
    model = noise2map_jax.load(arguments.workdir)
    ways = [(0, overlap) for overlap in arguments.overlaps or ()] or WAYS
    result: dict[str, Any] = {
        "machine": machine.describe(),
        "command": "python -m benchmarks " + " ".join(sys.argv[1:]),
        "scene": {"height": len(scene), "width": scene.shape[1], "seed": arguments.seed},
        "ways": [_measured(model, scene, truth, *way) for way in ways],
        "one_pass_against_ddim": against_ddim(model, 3),
    }
    if arguments.large:
        result["memory"] = {
            f"{side} x {side}": _memory(arguments.workdir, side)
            for side in (arguments.large // 8, arguments.large)
        }
    machine.report(result, arguments.output)


def draw(height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a scene; returns its image [H, W, 3] and its mask [H, W], uint8."""
    image, mask = segmentation_scene(np.random.default_rng(seed), max(height, width))
    return image[:height, :width], mask[:height, :width, 0]


def _measured(
    model: Model, scene: np.ndarray, truth: np.ndarray, tile_size: int, overlap: int
) -> dict[str, Any]:
    chosen = {"tile_size": tile_size, "overlap": overlap}
    tiling = PredictionOptions(**chosen).tiling(model.config)
    result, maps = speed(model, scene, tile_size, overlap)
    both = ((maps.classes == 1) & (truth == 1)).sum()
    result |= {
        "foreground_f1": float(2 * both / ((maps.classes == 1).sum() + (truth == 1).sum())),
        "step_at_seams": _step_at_seams(maps.probabilities[..., 1], tiling),
        "equal_when_shifted": {
            f"{share:g} of a tile": _equal_when_shifted(model, scene, maps.classes, chosen, share)
            for share in SHIFTS
        },
    }
    print(result, file=sys.stderr, flush=True)
    return result


def speed(
    model: Model, scene: np.ndarray, tile_size: int, overlap: int
) -> tuple[dict[str, Any], Maps]:
    """Map a scene, and time it beside the bare network on as many tiles.

    Args:
        model: the network.
        scene: [H, W, C].
        tile_size: side of a tile in pixels; 0 = as in training.
        overlap: of neighbouring tiles in pixels; -1 = half a tile.

    Returns:
        What was measured, and the maps.
    """
    chosen = {"tile_size": tile_size, "overlap": overlap}
    options = PredictionOptions(**chosen)
    tiling = options.tiling(model.config)
    size = tiling.tile_size
    model.predict(scene[:size, :size], **chosen)  # compiles
    start = time.perf_counter()
    maps = model.predict(scene, **chosen)
    seconds = time.perf_counter() - start
    height, width = scene.shape[:2]
    num_tiles = tiling.number(height) * tiling.number(width)
    bare = num_tiles * _seconds_a_tile(model, options, scene[:size, :size])
    result = {
        "tile_size": size,
        "overlap": tiling.overlap,
        "megapixels_a_second": height * width / seconds / 1e6,
        "share_of_the_bare_network": bare / seconds,
        "share_computed_twice": num_tiles * size**2 / (height * width) - 1,
    }
    return result, maps


def _seconds_a_tile(model: Model, options: PredictionOptions, tile: np.ndarray) -> float:
    number = options.num_tiles(model.config, jax.device_count())
    predictor = model.predictor(options)
    batch = [(tile,)] * number, [(0, 0)] * number, number
    timing = machine.time_calls(lambda: jax.block_until_ready(predictor(*batch)), 20)
    return timing["median"] / number


def _step_at_seams(probability: np.ndarray, tiling: Tiling) -> float:
    """Return the mean step where a tile begins over that of all lines, columns and rows."""
    ratios = []
    for values in (probability, probability.T):
        steps = np.abs(np.diff(values, axis=1)).mean(axis=0)
        seams = np.arange(tiling.stride, values.shape[1] - 1, tiling.stride)
        ratios.append(steps[seams - 1].mean() / steps.mean())
    return float(np.mean(ratios))


def _equal_when_shifted(
    model: Model, scene: np.ndarray, classes: np.ndarray, chosen: dict[str, Any], share: float
) -> float:
    size = PredictionOptions(**chosen).side(model.config)
    shift = round(size * share)
    shifted = model.predict(scene[shift:, shift:], **chosen).classes
    away = slice(size, -size), slice(size, -size)  # from the edges
    return float((classes[shift:, shift:][away] == shifted[away]).mean())


def against_ddim(model: Model, repeats: int, num_images: int = 0) -> dict[str, Any]:
    """Time one pass for a map, and DDIM with the same backbone on images of the same size.

    Args:
        model: the network.
        repeats: number of timed samplings, after one to warm up.
        num_images: number of images at once; 0 = as many as maps take tiles.
    """
    options = PredictionOptions()
    size = options.side(model.config)
    number = num_images or options.num_tiles(model.config, jax.device_count())
    bands = model.config.data.num_bands
    x = jax.random.normal(jax.random.key(0), (number, size, size, bands))
    process = create_process(model.config)

    # The head has K outputs; a denoiser has as many as there are bands.
    @jax.jit
    def backbone(x: jax.Array, timesteps: jax.Array) -> jax.Array:
        outputs = model.network.apply(
            {"params": model.params}, x, timesteps, task=model.config.task, use_timestep=True
        )
        return jax.numpy.broadcast_to(outputs[..., :1], x.shape)

    sample = functools.partial(
        ddim_sample, backbone, process, x, num_steps=DDIM_STEPS, prediction_type="epsilon"
    )
    t = np.full(number, 999, np.int32)
    one = machine.time_calls(lambda: backbone(x, t).block_until_ready(), 20)
    many = machine.time_calls(lambda: sample().block_until_ready(), repeats)
    return {
        "images": number,
        "one_pass_seconds": one,
        f"ddim_{DDIM_STEPS}_seconds": many,
        "times_faster": many["median"] / one["median"],
    }


def _memory(workdir: str, side: int) -> int:
    """Return the peak memory in bytes of mapping a scene whose data lies in some places."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder, "scene.tif"))
        _write_sparse(path, side)
        options = f"--workdir={workdir}", f"--memory_of={path}"
        done = subprocess.run(
            (sys.executable, "-m", "benchmarks", "mapping", *options),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return int(done.stdout.splitlines()[-1])


def _write_sparse(path: str, side: int) -> None:
    profile = {
        "driver": "GTiff",
        "height": side,
        "width": side,
        "count": 3,
        "dtype": "uint8",
        "nodata": 0,
        "crs": "EPSG:32633",
        "transform": from_origin(5e5, 5e6, 0.5, 0.5),
        "tiled": True,
        "compress": "deflate",
        "SPARSE_OK": True,
        "BIGTIFF": "IF_SAFER",
    }
    image, _ = segmentation_scene(np.random.default_rng(0), 512)
    with rasterio.open(path, "w", **profile) as output:
        for place in np.linspace(0, side - 512, 8).astype(int):  # along the diagonal
            output.write(
                np.maximum(np.moveaxis(image, -1, 0), 1), window=Window(place, place, 512, 512)
            )


def _map_file(model: Model, path: str) -> None:
    folder = pathlib.Path(path).parent
    map_scene(model, [path], MapFiles(str(folder / "map.tif"), str(folder / "probability.tif")))
