"""Plots of learning curves: loss of training and F1 on validation."""

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from noise2map_jax.page.curves import LearningCurve
from noise2map_jax.page.series import Series
from noise2map_jax.page.svg import create_figure, style_axes, to_svg

MOST_POINTS = 200  # of a curve; beyond, points are means of several values
LOG_RATIO = 30  # from here on of the greatest to the least loss, its axis is logarithmic


def draw_losses(curves: Sequence[LearningCurve], series: Mapping[str, Series]) -> Markup | None:
    """Draw the loss of training of every run.

    Args:
        curves: one a run.
        series: how variants are drawn.

    Returns:
        An `svg` element; None where no loss is known.
    """
    lines = [
        (*average(curve.loss_steps, curve.loss), series[curve.variant])
        for curve in curves
        if len(curve.loss)
    ]
    finite = [loss[np.isfinite(loss)] for _, loss, _ in lines]
    values = np.concatenate(finite) if finite else np.zeros(0)
    if not len(values):
        return None
    least, most = float(np.min(values)), float(np.max(values))
    is_log = least > 0 and most > LOG_RATIO * least
    return _draw(lines, "loss of training" + ", logarithmic" * is_log, "loss", is_log)


def draw_f1(curves: Sequence[LearningCurve], series: Mapping[str, Series]) -> Markup | None:
    """Draw the F1 on validation of every run.

    Args:
        curves: one a run.
        series: how variants are drawn.

    Returns:
        An `svg` element; None where no F1 is known.
    """
    lines = [
        (np.asarray(curve.f1_steps), 100 * np.asarray(curve.f1), series[curve.variant])
        for curve in curves
        if len(curve.f1)
    ]
    if not any(np.isfinite(f1).any() for _, f1, _ in lines):
        return None
    return _draw(lines, "validation F1 [%]", "f1", is_log=False)


def average(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average neighbouring values, so that at most `MOST_POINTS` are left.

    Args:
        steps: [N].
        values: [N]; a mean with a NaN is NaN, so that gaps stay.

    Returns:
        steps and values, [M] float64 each.
    """
    groups = max(1, min(MOST_POINTS, len(values)))
    parts = (np.array_split(np.asarray(a, np.float64), groups) for a in (steps, values))
    thin_steps, thin_values = ([part.mean() for part in all_parts] for all_parts in parts)
    return np.array(thin_steps), np.array(thin_values)


def _draw(
    lines: Sequence[tuple[np.ndarray, np.ndarray, Series]], y_label: str, key: str, is_log: bool
) -> Markup:
    figure = create_figure(3.1)
    axes = figure.add_subplot()
    for steps, values, own in lines:
        axes.plot(
            *(steps, np.where(np.isfinite(values), values, np.nan)),
            color=own.colour,
            linestyle=own.linestyle,
            marker=own.marker if len(values) <= 12 else "",
            markersize=3.5,
            markeredgewidth=0,
            linewidth=1.1,
            alpha=0.85,
            gid=f"series-{own.number}",
        )
    if is_log:
        axes.set_yscale("log")
    style_axes(axes, "step of training", y_label)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    return to_svg(figure, key, f"{y_label} over the step of training")
