"""A picture of how well probabilities agree with the labels: a reliability diagram."""

import pathlib
from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure


def save_reliability(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    title: str,
    path: pathlib.Path,
) -> None:
    """Draw the share of foreground over the predicted probability, and how many pixels have it.

    Args:
        curves: by name, for groups of pixels: mean predicted probability, share of foreground,
            number of pixels, [G] each; NaN in groups without a pixel.
        title: above the diagram, such as the data.
        path: a PNG file to write.
    """
    figure = Figure(figsize=(6.4, 6.4), layout="constrained", dpi=110)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1, label="perfectly calibrated")
    for (name, (predicted, found, pixels)), marker in zip(curves.items(), "os", strict=False):
        axes.plot(predicted, found, marker=marker, markersize=4, linewidth=1.3, label=name)
        below.plot(predicted, pixels / pixels.sum(), marker=marker, markersize=3, linewidth=1)
    axes.set_ylabel("share of foreground among these pixels")
    axes.set_title(title, fontsize=9, wrap=True)
    axes.legend(frameon=False)
    below.set_xlabel("predicted probability of foreground")
    below.set_ylabel("share of pixels")
    below.set_yscale("log")
    for part in (axes, below):
        part.grid(color="0.9")
        part.set_axisbelow(True)
        part.set_xlim(0, 1)
        part.spines[["top", "right"]].set_visible(False)
    axes.set_ylim(0, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
