"""Plots of the variants of a study: mean scores and differences, with their intervals."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup
from matplotlib.axes import Axes

from noise2map_jax.page.content import Interval, VariantScore
from noise2map_jax.page.number_text import is_known
from noise2map_jax.page.series import NEUTRAL, Series
from noise2map_jax.page.svg import GRID, MUTED, create_figure, style_axes, to_svg

LONGEST_NAME = 26  # letters that fit beside the axes


def draw_scores(ranked: Sequence[VariantScore], series: Mapping[str, Series]) -> Markup:
    """Draw the mean F1 of each variant, its interval and its seeds.

    Args:
        ranked: from the best to the worst.
        series: how variants are drawn.

    Returns:
        An `svg` element.
    """
    figure = create_figure(_height(ranked))
    axes = figure.add_subplot()
    style_axes(axes, "mean F1 of the foreground [%]", "", grid="x")
    for row, variant in enumerate(ranked):
        own = series[variant.name]
        seeds = [100 * f1 for f1 in variant.f1_by_seed if is_known(f1)]
        below = [row + 0.24] * len(seeds)
        axes.plot(seeds, below, "o", color=own.colour, ms=3.6, mew=0, alpha=0.6)
        _draw_interval(axes, row, variant.f1_mean, variant.f1_interval, own)
    _name_rows(axes, ranked)
    return to_svg(figure, "scores", "Mean F1 of each variant with its interval")


def draw_differences(
    ranked: Sequence[VariantScore], series: Mapping[str, Series], reference: str
) -> Markup | None:
    """Draw the difference of each variant to the reference.

    Args:
        ranked: from the best to the worst.
        series: how variants are drawn.
        reference: name of the variant they are compared with.

    Returns:
        An `svg` element; None where no difference is known.
    """
    if not any(is_known(variant.difference) for variant in ranked):
        return None
    figure = create_figure(_height(ranked))
    axes = figure.add_subplot()
    style_axes(axes, "difference of F1 [percentage points]", "", grid="x")
    axes.axvline(0, color=MUTED, linewidth=1)
    for row, variant in enumerate(ranked):
        own = series[variant.name]
        if variant.name == reference:
            axes.plot([0], [row], own.marker, color=NEUTRAL, ms=6, mfc="none")
        else:
            _draw_interval(axes, row, variant.difference, variant.difference_interval, own)
    _name_rows(axes, ranked)
    return to_svg(figure, "differences", f"Difference of each variant to {reference}")


def _draw_interval(
    axes: Axes, row: int, mean: float | None, interval: Interval | None, own: Series
) -> None:
    if interval is not None and all(map(is_known, interval)):
        low, high = 100 * interval[0], 100 * interval[1]
        axes.plot([low, high], [row, row], color=own.colour, linewidth=2.4, alpha=0.8)
        axes.plot([low, high], [row, row], "|", color=own.colour, ms=8, mew=1.6)
    if is_known(mean):
        axes.plot([100 * mean], [row], own.marker, color=own.colour, ms=7, mew=0)


def _name_rows(axes: Axes, ranked: Sequence[VariantScore]) -> None:
    axes.set_ylim(len(ranked) - 0.5, -0.6)
    axes.set_yticks(range(len(ranked)), [_shorten(variant.name) for variant in ranked])
    axes.tick_params(axis="y", length=0, labelcolor=NEUTRAL)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.spines["left"].set_visible(False)
    for row in range(1, len(ranked)):
        axes.axhline(row - 0.5, color=GRID, linewidth=0.6)


def _height(ranked: Sequence[VariantScore]) -> float:
    return 0.75 + 0.36 * max(2, len(ranked))


def _shorten(name: str) -> str:
    """A long name without its middle; signs that XML cannot hold become spaces."""
    name = "".join(letter if letter.isprintable() else " " for letter in name)
    half = LONGEST_NAME // 2
    return name if len(name) <= LONGEST_NAME else f"{name[: half - 1]}…{name[-half:]}"
