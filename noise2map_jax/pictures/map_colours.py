"""Colours for maps of classes: labels, and predictions with errors marked."""

import numpy as np

from noise2map_jax.method.losses import IGNORE
from noise2map_jax.pictures.class_colours import class_colours

FALSE_POSITIVE, FALSE_NEGATIVE, IGNORED = (213, 94, 0), (0, 114, 178), (128, 128, 128)


def colour_classes(classes: np.ndarray) -> np.ndarray:
    """Colour a map of classes.

    Args:
        classes: [H, W] integer class indices; 255 = ignored, drawn grey.

    Returns:
        [H, W, 3] uint8.
    """
    colours = np.array(class_colours(IGNORE), np.uint8)
    coloured = colours[np.where(classes == IGNORE, 0, classes)]
    coloured[classes == IGNORE] = IGNORED
    return coloured


def colour_prediction(prediction: np.ndarray, truth: np.ndarray, num_classes: int) -> np.ndarray:
    """Colour a predicted map; ignored pixels are darkened.

    With two classes, false alarms are orange and missed pixels blue. With more classes, each has
    its own colour, right or wrong.

    Args:
        prediction: [H, W] integer class indices.
        truth: [H, W] integer class indices, 255 = ignored.
        num_classes: K.

    Returns:
        [H, W, 3] uint8.
    """
    shown = colour_classes(prediction)
    if num_classes == 2:
        shown[(prediction == 1) & (truth == 0)] = FALSE_POSITIVE
        shown[(prediction == 0) & (truth == 1)] = FALSE_NEGATIVE
    shown[truth == IGNORE] //= 2
    return shown
