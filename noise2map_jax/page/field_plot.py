"""The plot of a study's F1 over the values of a field, such as the length of training."""

from collections.abc import Mapping

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from noise2map_jax.page.curves import FieldScores
from noise2map_jax.page.series import Series
from noise2map_jax.page.svg import create_figure, style_axes, to_svg

LOG_RATIO = 4  # from here on of the greatest to the least value, their axis is logarithmic


def draw_field_scores(scores: FieldScores, series: Mapping[str, Series]) -> Markup:
    """Draw mean F1 over seeds at each value, with every seed as a small dot.

    Args:
        scores: at least one line with a point.
        series: how lines are drawn, by their names.

    Returns:
        An `svg` element.
    """
    figure = create_figure(3.2)
    axes = figure.add_subplot()
    for line in scores.lines:
        own, points = series[line.name], [(x, 100 * np.array(f1)) for x, f1 in line.points]
        gid = f"series-{own.number}"
        for x, f1 in points:
            axes.plot([x] * len(f1), f1, "o", color=own.colour, ms=3.2, mew=0, alpha=0.5, gid=gid)
        axes.plot(
            *zip(*((x, f1.mean()) for x, f1 in points), strict=True),
            color=own.colour,
            linestyle=own.linestyle,
            marker=own.marker,
            markersize=6,
            markeredgewidth=0,
            linewidth=1.6,
            gid=gid,
        )
    style_axes(axes, scores.field, "validation F1 [%]")
    places = sorted({x for line in scores.lines for x, _ in line.points})
    if places[0] > 0 and places[-1] >= LOG_RATIO * places[0]:
        axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(places))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    return to_svg(figure, "field", f"F1 on validation over {scores.field}")
