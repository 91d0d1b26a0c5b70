"""Scenes and noised inputs as a template shows them: pictures encoded, panels named."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from noise2map_jax.page import pictures
from noise2map_jax.page.content import NoisedInputs, ScenePictures
from noise2map_jax.pictures.class_colours import class_colours
from noise2map_jax.pictures.map_colours import (
    FALSE_NEGATIVE,
    FALSE_POSITIVE,
    IGNORED,
    colour_classes,
    colour_prediction,
)

NOISED_SIZE = 128  # pixels; of larger inputs the middle is shown, for scaling down smooths noise


@dataclasses.dataclass(frozen=True)
class Panel:
    """A map over an image: of the truth (without a variant), or of a variant.

    Attributes:
        variant: its name; empty for the truth.
        classes: data: URI of the map.
        probability: data: URI, or None.
        f1: of the foreground, fraction of 1, or None.
    """

    variant: str
    classes: str
    probability: str | None = None
    f1: float | None = None


@dataclasses.dataclass(frozen=True)
class SceneView:
    """One scene.

    Attributes:
        name: of the scene.
        anchor: its id on the page.
        width: in pixels.
        height: in pixels.
        images: (name, data: URI) of each.
        panels: the truth and the variants.
    """

    name: str
    anchor: str
    width: int
    height: int
    images: tuple[tuple[str, str], ...]
    panels: tuple[Panel, ...]

    @property
    def has_probability(self) -> bool:
        """Whether any panel can show the probability."""
        return any(panel.probability for panel in self.panels)


def view_scenes(scenes: Sequence[ScenePictures], num_classes: int) -> list[SceneView]:
    """Colour and encode the pictures of scenes.

    Args:
        scenes: what to show.
        num_classes: K.

    Returns:
        One view a scene.
    """
    views = []
    for number, scene in enumerate(scenes):
        panels = [Panel("", pictures.few_colours(colour_classes(scene.truth)))]
        for prediction in scene.predictions:
            coloured = colour_prediction(prediction.classes, scene.truth, num_classes)
            probability = prediction.probability
            panels.append(
                Panel(
                    prediction.variant,
                    pictures.few_colours(coloured),
                    None if probability is None else pictures.grey(probability),
                    prediction.f1,
                )
            )
        names = ("image",) if len(scene.images) == 1 else ("earlier", "later")
        photos = map(pictures.photo, scene.images)
        height, width = scene.truth.shape
        views.append(
            SceneView(
                *(scene.name, f"scene-{number}", width, height),
                tuple(zip(names, photos, strict=True)),
                tuple(panels),
            )
        )
    return views


def legend(classes: Sequence[str]) -> list[tuple[str, str]]:
    """Say what the colours of maps mean.

    Args:
        classes: K names, the background first.

    Returns:
        (colour of CSS, meaning) of each.
    """
    ignored = ("rgb" + str(IGNORED), "ignored (darker in predictions)")
    if len(classes) == 2:
        return [
            ("#ffffff", f"{classes[1]}, in predictions: right"),
            ("rgb" + str(FALSE_POSITIVE), "false alarm"),
            ("rgb" + str(FALSE_NEGATIVE), "missed"),
            ("#000000", classes[0]),
            ignored,
        ]
    colours = map(str, class_colours(len(classes)))
    return [*(("rgb" + c, name) for c, name in zip(colours, classes, strict=True)), ignored]


def view_noised(noised: NoisedInputs) -> list[tuple[int, list[str]]]:
    """Encode what a network sees.

    Args:
        noised: at several timesteps.

    Returns:
        (timestep, data: URIs of one image or two) of each timestep.
    """
    images = noised.images
    if images.ndim == 4:
        images = images[:, None]
    top, left = (max(0, (size - NOISED_SIZE) // 2) for size in images.shape[2:4])
    images = images[:, :, top : top + NOISED_SIZE, left : left + NOISED_SIZE]
    return [
        (int(t), [pictures.photo(np.ascontiguousarray(image)) for image in dates])
        for t, dates in zip(noised.timesteps, images, strict=True)
    ]
