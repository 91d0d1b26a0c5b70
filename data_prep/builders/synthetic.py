"""`python -m data_prep synthetic`: drawn scenes with exact masks, for demos and tests."""

import argparse
import functools
import math
from typing import Any

import numpy as np

from data_prep.basics.dataset import SPLITS, Dataset, RecordFormat, Scene
from data_prep.basics.options import counts, positive, seed
from data_prep.drawing import scenes as drawing

_MOST_MERGED = 20  # Most pixels of the drawing to a scene's pixel, along each axis.
_CLASSES = {"ss": ("background", "building"), "cd": ("no_change", "change")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this builder."""
    parser.add_argument("--task", choices=("ss", "cd"), required=True)
    parser.add_argument(
        "--num_scenes", type=counts, default=(80, 10, 20), help="TRAIN,VAL,TEST (default 80,10,20)"
    )
    parser.add_argument("--scene_size", type=positive, default=256, help="side of scenes in pixels")
    parser.add_argument(
        "--pixel_size",
        type=_pixel_size,
        default=drawing.PIXEL_SIZE,
        metavar="METRES",
        help=f"metres of ground a pixel: {drawing.PIXEL_SIZE} (default), or a whole multiple up to "
        f"{_MOST_MERGED * drawing.PIXEL_SIZE:g}; a pixel is then the mean of several drawn ones",
    )
    parser.add_argument(
        "--towns",
        type=_towns,
        default=("suburb",),
        metavar="TOWN,TOWN",
        help=f"what the scenes show, in turn: {', '.join(drawing.TOWNS)} (default suburb)",
    )
    parser.add_argument("--seed", type=seed, default=0, help="seed of all scenes")


def default_name(args: argparse.Namespace) -> str:
    """Return the name of the dataset if --name is not given."""
    return f"synthetic_{args.task}"


def options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that determine the records."""
    found = {
        "task": args.task,
        "num_scenes": list(args.num_scenes),
        "scene_size": args.scene_size,
        "tile_size": args.tile_size,
        "seed": args.seed,
    }
    # Left out at their defaults: datasets built before the options existed have the same records.
    if _factor(args.pixel_size) != 1:
        found["pixel_size"] = args.pixel_size
    if args.towns != ("suburb",):
        found["towns"] = list(args.towns)
    return found


def plan(args: argparse.Namespace, name: str) -> Dataset:
    """Return the dataset of drawn scenes; nothing is drawn yet.

    Args:
      args: The parsed options.
      name: The dataset's name.
    """
    size = args.scene_size
    scenes = tuple(
        Scene(f"scene{index:05d}", split, index, size, size)
        for split, number in zip(SPLITS, args.num_scenes, strict=True)
        for index in range(number)
    )
    about = {
        "source": "drawn scenes",
        "options": options(args),
        "layout": "drawn scenes",
        "mask_encoding": "index",
        "split_rule": "every scene is drawn for one split, from a seed of its own",
        "place_rule": "every scene is drawn apart and is a place of its own",
        "places_known": True,
        "notes": [],
    }
    layout = RecordFormat(args.task, args.tile_size, 3, "uint8", _CLASSES[args.task])
    drawer = functools.partial(draw, args.task, args.seed, _factor(args.pixel_size), args.towns)
    return Dataset(name, layout, scenes, drawer, about)


def draw(
    task: str, seed: int, factor: int, towns: tuple[str, ...], scene: Scene
) -> dict[str, np.ndarray]:
    """Draw one scene.

    Args:
      task: ss or cd.
      seed: Seed of the dataset.
      factor: Number of drawn pixels, along each axis, that are averaged to one of the scene's. A
        mask is 1 where at least half of the pixel is covered.
      towns: What the scenes show, in turn: keys of `drawing.scenes.TOWNS`.
      scene: The scene; it depends on the seed and on its split and index alone.

    Returns:
      {feature: [S, S, C] uint8}.
    """
    sequence = np.random.SeedSequence([seed, SPLITS.index(scene.split), scene.index])
    rng = np.random.default_rng(sequence)
    size, town = scene.height * factor, towns[scene.index % len(towns)]
    if task == "ss":
        image, mask = drawing.segmentation_scene(rng, size, town)
        drawn = {"image": image, "mask": mask}
    else:
        pre, post, mask = drawing.change_scene(rng, size, town)
        drawn = {"pre": pre, "post": post, "mask": mask}
    return {name: _merge(pixels, factor) for name, pixels in drawn.items()}


def _merge(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Average pixels [S, S, C] to uint8 [S / factor, S / factor, C]."""
    size, _, channels = pixels.shape
    blocks = pixels.reshape(size // factor, factor, size // factor, factor, channels)
    # Halves are rounded up: a mask is 1 where at least half of the pixel is covered.
    sums, number = blocks.sum(axis=(1, 3), dtype=np.uint32), factor**2
    return ((2 * sums + number) // (2 * number)).astype(np.uint8)


def _factor(pixel_size: float) -> int:
    return round(pixel_size / drawing.PIXEL_SIZE)


def _towns(text: str) -> tuple[str, ...]:
    """Parse --towns: names of `drawing.scenes.TOWNS`, with commas between them."""
    towns = tuple(text.split(","))
    for town in towns:
        if town not in drawing.TOWNS:
            known = ", ".join(drawing.TOWNS)
            raise argparse.ArgumentTypeError(f"no town {town!r}; expected one or more of: {known}")
    return towns


def _pixel_size(text: str) -> float:
    """Parse --pixel_size: metres, a whole multiple of the drawing's."""
    try:
        metres = float(text)
    except ValueError:
        metres = 0.0
    most = _MOST_MERGED * drawing.PIXEL_SIZE
    if 0.0 < metres <= most and math.isclose(metres, _factor(metres) * drawing.PIXEL_SIZE):
        return round(_factor(metres) * drawing.PIXEL_SIZE, 1)
    raise argparse.ArgumentTypeError(
        f"{text!r}: must be {drawing.PIXEL_SIZE} or a whole multiple of it, in metres, "
        f"up to {most:g}"
    )
