"""The plot of F1 over the timestep of prediction, above the contrast of the noise schedules."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes

from noise2map_jax.page.curves import Sweep
from noise2map_jax.page.series import DASHES, NEUTRAL, Series
from noise2map_jax.page.svg import create_figure, style_axes, to_svg


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A contrast curve that one or more variants share.

    Attributes:
        label: name of the schedule and whose it is.
        contrast: [T].
        series: how it is drawn.
    """

    label: str
    contrast: np.ndarray
    series: Series


def distinct_schedules(sweeps: Sequence[Sweep]) -> list[Schedule]:
    """Gather the variants whose contrast is the same at every timestep.

    Args:
        sweeps: of all variants.

    Returns:
        One schedule for each distinct curve, in the order they come.
    """
    groups: dict[bytes, list[Sweep]] = {}
    for sweep in sweeps:
        if sweep.contrast is not None:
            groups.setdefault(np.asarray(sweep.contrast, np.float32).tobytes(), []).append(sweep)
    schedules = []
    for number, group in enumerate(groups.values()):
        label = " / ".join(dict.fromkeys(sweep.schedule for sweep in group if sweep.schedule))
        variants = ", ".join(dict.fromkeys(sweep.variant for sweep in group))
        if len(groups) > 1 or not label:
            label = f"{label}: {variants}" if label else variants
        own = Series(label, number, NEUTRAL, DASHES[number % len(DASHES)], "o")
        schedules.append(Schedule(label, np.asarray(group[0].contrast), own))
    return schedules


def draw_sweeps(
    sweeps: Sequence[Sweep], series: Mapping[str, Series], schedules: Sequence[Schedule]
) -> Markup:
    """Draw mean F1 over seeds with a band from the least to the greatest.

    Args:
        sweeps: one a variant.
        series: how variants are drawn.
        schedules: their contrast curves; drawn beneath over the same timesteps, if there are any.

    Returns:
        An `svg` element.
    """
    figure = create_figure(4.6 if schedules else 3.2)
    rows = figure.subplots(
        1 + bool(schedules),
        sharex=True,
        squeeze=False,
        gridspec_kw={"height_ratios": [2.4, 1][: 1 + bool(schedules)]},
    )[:, 0]
    for sweep in sweeps:
        _draw_sweep(rows[0], sweep, series[sweep.variant])
    label = "timestep t of prediction"
    style_axes(rows[0], "" if schedules else label, "validation F1 [%]")
    if schedules:
        for schedule in schedules:
            steps = np.arange(len(schedule.contrast))
            rows[1].plot(
                *(steps, schedule.contrast),
                color=NEUTRAL,
                linestyle=schedule.series.linestyle,
                linewidth=1.3,
            )
        style_axes(rows[1], label, "contrast")
        rows[1].set_ylim(-0.04, 1.04)
    return to_svg(figure, "sweeps", "F1 on validation over the timestep of prediction")


def _draw_sweep(axes: Axes, sweep: Sweep, own: Series) -> None:
    steps = np.asarray(sweep.timesteps)
    f1 = np.ma.masked_invalid(100 * np.atleast_2d(np.asarray(sweep.f1, np.float64)))
    gid = f"series-{own.number}"
    if len(f1) > 1:
        low, high = f1.min(axis=0).filled(np.nan), f1.max(axis=0).filled(np.nan)
        axes.fill_between(steps, low, high, color=own.colour, alpha=0.14, linewidth=0, gid=gid)
    axes.plot(
        *(steps, f1.mean(axis=0).filled(np.nan)),
        color=own.colour,
        linestyle=own.linestyle,
        marker=own.marker,
        markersize=4.5,
        markeredgewidth=0,
        linewidth=1.6,
        gid=gid,
    )
