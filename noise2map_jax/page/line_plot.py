"""Plots of lines over a number that doubles from point to point."""

from collections.abc import Mapping

from markupsafe import Markup
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from noise2map_jax.page.measurements import LinePlot
from noise2map_jax.page.series import Series
from noise2map_jax.page.svg import create_figure, style_axes, to_svg


def draw_lines(plot: LinePlot, series: Mapping[str, Series], key: str) -> Markup:
    """Draw all lines of a plot, from 0 up.

    Args:
        plot: its lines; at least one.
        series: how each is drawn, by its name.
        key: unique on the page.

    Returns:
        An `svg` element.
    """
    figure = create_figure(3.1)
    axes = figure.add_subplot()
    for name, points in plot.lines.items():
        own = series[name]
        axes.plot(
            *zip(*points, strict=True),
            color=own.colour,
            linestyle=own.linestyle,
            marker=own.marker,
            markersize=5,
            markeredgewidth=0,
            linewidth=1.4,
            gid=f"series-{own.number}",
        )
    style_axes(axes, plot.x_label, plot.y_label)
    axes.set_xscale("log", base=2)
    places = {x for points in plot.lines.values() for x, _ in points}
    axes.xaxis.set_major_locator(FixedLocator(sorted(places)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.set_ylim(0, 1.08 * max(y for points in plot.lines.values() for _, y in points))
    return to_svg(figure, key, f"{plot.y_label} over {plot.x_label}")
