"""From content to one HTML file that needs nothing else: style, script and pictures are within."""

import dataclasses
import functools
import math
import os
from collections.abc import Sequence
from typing import Any

import jinja2
import numpy as np

from noise2map_jax.errors import UserError
from noise2map_jax.page import number_text
from noise2map_jax.page.content import RunPage, StudyPage, VariantScore
from noise2map_jax.page.curve_plot import draw_f1, draw_losses
from noise2map_jax.page.field_plot import draw_field_scores
from noise2map_jax.page.line_plot import draw_lines
from noise2map_jax.page.measurements import MeasurementsPage
from noise2map_jax.page.pictures import few_colours
from noise2map_jax.page.rank_order import ranks
from noise2map_jax.page.scene_view import legend, view_noised, view_scenes
from noise2map_jax.page.score_plot import draw_differences, draw_scores
from noise2map_jax.page.series import Series, create_series
from noise2map_jax.page.sweep_plot import distinct_schedules, draw_sweeps

AnyPage = StudyPage | RunPage | MeasurementsPage


def render_study(page: StudyPage) -> str:
    """Render the page of a study.

    Args:
        page: its content.

    Returns:
        HTML; the same content gives the same text.

    Raises:
        UserError: two variants of one name, or a reference that is none of them.
    """
    names = [variant.name for variant in page.ranking.variants]
    if len(set(names)) < len(names):
        raise UserError(f"variants are {names}; expected every name once")
    if page.reference not in names:
        raise UserError(f"reference is {page.reference!r}; expected one of {names}")
    scored = page.place_scores.variants if page.place_scores else ()
    over = [line.name for line in page.field_scores.lines] if page.field_scores else []
    series = create_series((*names, *scored, *_variants(page), *over), page.reference)
    ranked = _rank(page.ranking.variants)
    return (
        _environment()
        .get_template("study.html")
        .render(
            **_shared_parts(page, series),
            ranked=ranked,
            score_plot=draw_scores(ranked, series),
            field_plot=draw_field_scores(page.field_scores, series) if page.field_scores else None,
            field_series=[series[name] for name in over],
            difference_plot=draw_differences(ranked, series, page.reference),
            final_ranked=_rank(page.final.variants) if page.final else [],
            place_shades=_shades(page.place_scores.f1) if page.place_scores else None,
        )
    )


def render_run(page: RunPage) -> str:
    """Render the page of one run.

    Args:
        page: its content.

    Returns:
        HTML; the same content gives the same text.
    """
    series = create_series(_variants(page))
    samples = [(step, few_colours(picture)) for step, picture in page.samples]
    template = _environment().get_template("run.html")
    return template.render(samples=samples, **_shared_parts(page, series))


def render_measurements(page: MeasurementsPage) -> str:
    """Render a page of measurements.

    Args:
        page: its content.

    Returns:
        HTML; the same content gives the same text.
    """
    lines = [name for s in page.sections for plot in s.shown.plots for name in plot.lines]
    series = create_series((*lines, *_variants(page)))
    drawn = {s.key: [plot for plot in s.shown.plots if plot.lines] for s in page.sections}
    plots = {
        key: [draw_lines(plot, series, f"{key}-{number}") for number, plot in enumerate(own)]
        for key, own in drawn.items()
    }
    plot_series = {
        key: [series[name] for name in dict.fromkeys(n for plot in own for n in plot.lines)]
        for key, own in drawn.items()
    }
    template = _environment().get_template("measurements.html")
    parts = _shared_parts(page, series)
    return template.render(plots=plots, plot_series=plot_series, **parts)


def write_page(html: str, path: str | os.PathLike[str]) -> None:
    """Write a page, whole or not at all.

    Args:
        html: the page.
        path: of the file; what is there is replaced.
    """
    temporary = f"{os.fspath(path)}.tmp"
    with open(temporary, "w", encoding="utf-8", newline="\n") as file:
        # A name from a file system may hold half a surrogate, which UTF-8 cannot.
        file.write(html.encode("utf-8", "replace").decode("utf-8"))
    os.replace(temporary, path)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("noise2map_jax.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in (
        "percent",
        "signed_percent",
        "signed",
        "p_value",
        "detectable",
        "sort_value",
        "percent_with_sign",
        "significant",
        "whole",
    ):
        environment.filters[name] = getattr(number_text, name)
    environment.tests["known"] = number_text.is_known
    return environment


def _shared_parts(page: AnyPage, series: dict[str, Series]) -> dict[str, Any]:
    """What the templates of all pages show."""
    schedules = distinct_schedules(page.sweeps)
    curve_variants = {curve.variant for curve in page.curves}
    sweep_variants = {sweep.variant for sweep in page.sweeps}
    scenes = view_scenes(page.pictures, len(page.classes))
    return {
        "page": page,
        "series": series,
        "schedules": schedules,
        "sweep_series": [own for name, own in series.items() if name in sweep_variants],
        "sweep_plot": draw_sweeps(page.sweeps, series, schedules) if page.sweeps else None,
        "curve_series": [own for name, own in series.items() if name in curve_variants],
        "loss_plot": draw_losses(page.curves, series),
        "f1_plot": draw_f1(page.curves, series),
        "noised": [(noised.variant, view_noised(noised)) for noised in page.noised],
        "scenes": scenes,
        "anchors": {scene.name: scene.anchor for scene in scenes},
        "legend": legend(page.classes),
    }


def _variants(page: AnyPage) -> list[str]:
    """Every variant that any part but the scores names."""
    return [
        *(curve.variant for curve in page.curves),
        *(sweep.variant for sweep in page.sweeps),
        *(noised.variant for noised in page.noised),
        *(prediction.variant for scene in page.pictures for prediction in scene.predictions),
    ]


def _rank(variants: Sequence[VariantScore]) -> list[VariantScore]:
    """From the best to the worst, with their ranks; those without a score come last."""
    scores = [(_percent(variant.f1_mean), _percent(variant.iou_mean)) for variant in variants]
    ranked = [
        dataclasses.replace(variant, rank=rank)
        for variant, rank in zip(variants, ranks(scores), strict=True)
    ]
    return sorted(ranked, key=lambda variant: variant.rank or len(ranked) + 1)


def _percent(fraction: float | None) -> float:
    return 100 * fraction if number_text.is_known(fraction) else math.nan


def _shades(f1: np.ndarray) -> np.ndarray:
    """From 0 for the least score of a table to 1 for the greatest; NaN stays."""
    f1 = np.asarray(f1, np.float64)
    finite = f1[np.isfinite(f1)]
    if not len(finite):
        return np.full(f1.shape, np.nan)
    low, high = finite.min(), finite.max()
    return (f1 - low) / max(high - low, 1e-9)
