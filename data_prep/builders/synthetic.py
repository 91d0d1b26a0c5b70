"""`python -m data_prep synthetic`: drawn scenes with exact masks, for demos and tests."""

import argparse
import functools
from typing import Any

import numpy as np

from data_prep.dataset import SPLITS, Dataset, RecordFormat, Scene
from data_prep.drawing import scenes as drawing
from data_prep.options import counts, positive, seed

_CLASSES = {"ss": ("background", "building"), "cd": ("no_change", "change")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this builder."""
    parser.add_argument("--task", choices=("ss", "cd"), required=True)
    parser.add_argument(
        "--num_scenes", type=counts, default=(80, 10, 20), help="TRAIN,VAL,TEST (default 80,10,20)"
    )
    parser.add_argument("--scene_size", type=positive, default=256, help="side in pixels")
    parser.add_argument("--seed", type=seed, default=0, help="of all scenes")


def default_name(args: argparse.Namespace) -> str:
    """Return the name of a dataset whose user gave none."""
    return f"synthetic_{args.task}"


def options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that decide what the records are."""
    return {
        "task": args.task,
        "num_scenes": list(args.num_scenes),
        "scene_size": args.scene_size,
        "tile_size": args.tile_size,
        "seed": args.seed,
    }


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
        "notes": [],
    }
    layout = RecordFormat(args.task, args.tile_size, 3, "uint8", _CLASSES[args.task])
    return Dataset(name, layout, scenes, functools.partial(draw, args.task, args.seed), about)


def draw(task: str, seed: int, scene: Scene) -> dict[str, np.ndarray]:
    """Draw one scene.

    Args:
      task: ss or cd.
      seed: Seed of the dataset.
      scene: Which one; its split and index complete the seed, so it depends on nothing else.

    Returns:
      {feature: [S, S, C] uint8}.
    """
    sequence = np.random.SeedSequence([seed, SPLITS.index(scene.split), scene.index])
    rng = np.random.default_rng(sequence)
    if task == "ss":
        image, mask = drawing.segmentation_scene(rng, scene.height)
        return {"image": image, "mask": mask}
    pre, post, mask = drawing.change_scene(rng, scene.height)
    return {"pre": pre, "post": post, "mask": mask}
