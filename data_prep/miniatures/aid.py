"""Writes a small generated AID: JPEGs in class folders."""

from pathlib import Path

import numpy as np
from PIL import Image

from data_prep.drawing.scenes import segmentation_scene

CLASSES = ("Farmland", "MediumResidential", "School")
NUM_IMAGES = 4  # Of each class.
_QUALITY = 90


def write(output: Path, *, seed: int, size: int) -> None:
    """Write the owner's layout: AID/CLASS/class_NUMBER.jpg.

    Args:
      output: An empty folder.
      seed: Seed of all scenes.
      size: Side of an image in pixels; the owner's have 600.
    """
    for index, name in enumerate(CLASSES):
        (output / "AID" / name).mkdir(parents=True)
        for number in range(NUM_IMAGES):
            rng = np.random.default_rng(np.random.SeedSequence([seed, index, number]))
            image, _ = segmentation_scene(rng, size)
            path = output / "AID" / name / f"{name.lower()}_{number + 1}.jpg"
            Image.fromarray(image).save(path, quality=_QUALITY)
