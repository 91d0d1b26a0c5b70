"""`python -m data_prep synthetic`: drawn scenes with exact masks, for demos and tests."""

import argparse
import functools
import math
from typing import Any

import numpy as np

from data_prep.basics.dataset import SPLITS, Dataset, RecordFormat, Scene
from data_prep.basics.errors import UserError
from data_prep.basics.options import counts, positive, seed
from data_prep.drawing import scenes as drawing

_MOST_MERGED = 20  # Most pixels of the drawing to a scene's pixel, along each axis.
_MULTIPLES = range(2, _MOST_MERGED + 1)
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
        type=_pixel_sizes,
        default=(drawing.PIXEL_SIZE,),
        metavar="METRES,METRES",
        help=f"metres of ground a pixel: {drawing.PIXEL_SIZE} (default); a half or quarter of it, "
        "drawn in more detail; or a whole multiple, a mean of several drawn ones, up to "
        f"{_MOST_MERGED * drawing.PIXEL_SIZE:g}. Several sizes take turns, each with every town",
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
    if args.pixel_size != (drawing.PIXEL_SIZE,):
        first, *others = args.pixel_size
        found["pixel_size"] = list(args.pixel_size) if others else first
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
    for metres in args.pixel_size:
        if size % _detail(metres):
            raise UserError(
                f"--scene_size={size}: must be a multiple of {_detail(metres)} pixels where one has"
                f" {metres:g} m, a part of the drawing's {drawing.PIXEL_SIZE} m"
            )
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
    drawer = functools.partial(draw, args.task, args.seed, args.pixel_size, args.towns)
    return Dataset(name, layout, scenes, drawer, about)


def draw(
    task: str, seed: int, pixel_sizes: tuple[float, ...], towns: tuple[str, ...], scene: Scene
) -> dict[str, np.ndarray]:
    """Draw one scene.

    Args:
      task: ss or cd.
      seed: Seed of the dataset.
      pixel_sizes: Metres of ground a pixel, in turn, each for one scene of every town. Larger ones
        are means of drawn pixels; a mask is then 1 where at least half of the pixel is covered.
      towns: What the scenes show, in turn: keys of `drawing.scenes.TOWNS`.
      scene: The scene; it depends on the seed and on its split and index alone.

    Returns:
      {feature: [S, S, C] uint8}.
    """
    sequence = np.random.SeedSequence([seed, SPLITS.index(scene.split), scene.index])
    rng = np.random.default_rng(sequence)
    turn, number = divmod(scene.index, len(towns))
    town, metres = towns[number], pixel_sizes[turn % len(pixel_sizes)]
    factor, detail = _factor(metres), _detail(metres)
    size = scene.height * factor // detail
    if task == "ss":
        image, mask = drawing.segmentation_scene(rng, size, town, detail)
        drawn = {"image": image, "mask": mask}
    else:
        pre, post, mask = drawing.change_scene(rng, size, town, detail)
        drawn = {"pre": pre, "post": post, "mask": mask}
    return {name: _merge(pixels, factor) for name, pixels in drawn.items()}


def _merge(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Average pixels [S, S, C] to uint8 [S / factor, S / factor, C]."""
    size, _, channels = pixels.shape
    blocks = pixels.reshape(size // factor, factor, size // factor, factor, channels)
    # Halves are rounded up: a mask is 1 where at least half of the pixel is covered.
    sums, number = blocks.sum(axis=(1, 3), dtype=np.uint32), factor**2
    return ((2 * sums + number) // (2 * number)).astype(np.uint8)


def _factor(metres: float) -> int:
    """Return how many drawn pixels, along each axis, are averaged to one of the scene's."""
    return max(round(metres / drawing.PIXEL_SIZE), 1)


def _detail(metres: float) -> int:
    """Return how many pixels of the scene, along each axis, a drawn one has."""
    return max(round(drawing.PIXEL_SIZE / metres), 1)


def _towns(text: str) -> tuple[str, ...]:
    """Parse --towns: names of `drawing.scenes.TOWNS`, with commas between them."""
    towns = tuple(text.split(","))
    for town in towns:
        if town not in drawing.TOWNS:
            known = ", ".join(drawing.TOWNS)
            raise argparse.ArgumentTypeError(f"no town {town!r}; expected one or more of: {known}")
    return towns


def _pixel_sizes(text: str) -> tuple[float, ...]:
    """Parse --pixel_size: metres, with commas between several."""
    return tuple(_pixel_size(metres) for metres in text.split(","))


def _pixel_size(text: str) -> float:
    """Parse metres: parts of a drawn pixel that can be drawn, or whole multiples of it."""
    try:
        metres = float(text)
    except ValueError:
        metres = 0.0
    one, most = drawing.PIXEL_SIZE, _MOST_MERGED * drawing.PIXEL_SIZE
    known = (*(one / detail for detail in drawing.DETAILS), *(one * n for n in _MULTIPLES))
    for size in known:
        if math.isclose(metres, size):
            return round(size, 1)
    parts = ", ".join(f"{one / detail:g}" for detail in drawing.DETAILS)
    raise argparse.ArgumentTypeError(
        f"{text!r}: must be {parts} or a whole multiple of {one}, in metres, up to {most:g}"
    )
