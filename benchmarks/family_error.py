"""Simulates how often a study calls equal variants different, and which differences it detects.

The simulation draws scores of variants whose true F1 is equal. A study errs if it calls any of them
different from the reference. It may do so in 5 % of cases, whatever the number of variants, seeds
and places, and whatever the source of the variation. `BEYOND` holds cases in which the rule fails.
"""

import argparse
import itertools
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from benchmarks import machine
from noise2map_jax.study.comparison import SIGNIFICANCE
from noise2map_jax.study.intervals import Estimate, estimate

NUM_VARIANTS = (2, 3, 6, 12)  # the reference included
NUM_SEEDS = (2, 3, 5)
NUM_PLACES = (3, 4, 20, 60)
NOISE = 0.01  # standard deviation of F1 for one place and one seed
CHUNK = 100  # studies simulated at once, to limit memory
NUM_STATED = 300  # studies whose detectable difference is computed


class Sources(NamedTuple):
    """Standard deviations in units of `NOISE`: between a variant's seeds, between its places."""

    seeds: float
    places: float


SOURCES = {"seeds": Sources(2, 0), "places": Sources(0, 2), "both": Sources(2, 2)}


class Shape(NamedTuple):
    """The distribution of the variation.

    Attributes:
        distribution: normal; t2, t3: Student's t with 2 or 3 degrees of freedom, so with heavy
            tails; outliers: the logarithm of a deviation's size is normal, so that one deviation
            outweighs all others; skewed: exponential; collapse: one in five is far below the
            others, which are normal.
        spread: standard deviation of the logarithm of the spreads, which differ by variant, seed
            and place.
        sizes: standard deviation of the logarithm of the sizes of places.
        reference: variation of the reference, relative to that of the other variants.
    """

    distribution: str = "normal"
    spread: float = 0.0
    sizes: float = 0.7
    reference: float = 1.0


SHAPES = {
    "normal": Shape(),
    "Student's t, 3 degrees": Shape("t3"),
    "Student's t, 2 degrees": Shape("t2"),
    "lognormal outliers": Shape("outliers"),
    "unequal spreads": Shape(spread=1.0),
    "unequal sizes of places": Shape(sizes=1.5),
    "heavy tails, spreads and sizes unequal": Shape("t3", spread=1.0, sizes=1.5),
    "skewed": Shape("skewed"),
}
# Cases in which the rule fails. With few seeds, a study cannot see that one seed in many collapses.
# Skewed deviations do not cancel in a difference if the reference hardly varies.
BEYOND = {
    "one seed in five collapses": Shape("collapse"),
    "skewed, the reference varies a third as much": Shape("skewed", reference=0.3),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--num_studies", type=int, default=4000, help="simulated studies in a cell of the table"
    )


def run(arguments: argparse.Namespace) -> None:
    """Simulate and report."""
    start = time.monotonic()
    result: dict[str, Any] = {
        "benchmark": "family_error",
        "machine": machine.describe(),
        "options": {k: v for k, v in vars(arguments).items() if k not in ("name", "output")},
        "cells": list(error_cells(arguments.num_studies)),
        "beyond": list(error_cells(arguments.num_studies, BEYOND)),
        "power": list(power_cells(arguments.num_studies)),
    }
    result["summary"] = summary(result["cells"])
    result["seconds"] = time.monotonic() - start
    machine.report(result, arguments.output)


def draw(
    rng: np.random.Generator,
    num_studies: int,
    num_variants: int,
    num_seeds: int,
    num_places: int,
    sources: Sources = SOURCES["both"],
    shape: Shape = SHAPES["normal"],
) -> np.ndarray:
    """Draw the counts of studies whose variants are equal: [n, V, S, M, 2, 2] float64.

    F1 of a place is 0.5 plus the deviations. The expected F1 over all places, a mean weighted by
    size, is thus the same for all variants. Counts need not be whole, and large deviations make
    some negative: only F1 is computed from them.
    """
    each = (num_studies, num_variants, num_seeds, num_places)
    by_seed, by_place = (*each[:3], 1), (*each[:2], 1, each[3])
    of_variant, of_seed, of_place = (
        (*each[:2], 1, 1),
        (each[0], 1, each[2], 1),
        (each[0], 1, 1, each[3]),
    )
    spread = _spread(rng, shape, of_variant)
    spread[:, 0] *= shape.reference
    f1 = 0.5 + NOISE * spread * (
        sources.seeds * _spread(rng, shape, of_seed) * _deviations(rng, shape, by_seed)
        + sources.places * _spread(rng, shape, of_place) * _deviations(rng, shape, by_place)
        + rng.normal(size=each)
    )
    size = rng.lognormal(8, shape.sizes, of_place) * rng.lognormal(0, 0.1, each)
    return as_counts(f1, size)


def as_counts(f1: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Return counts [..., 2, 2] with this F1; labelled plus predicted foreground is `size`."""
    hits, wrong = f1 * size / 2, (1 - f1) * size / 2
    return np.stack([np.zeros_like(hits), wrong, wrong, hits], -1).reshape(*hits.shape, 2, 2)


def _deviations(rng: np.random.Generator, shape: Shape, size: tuple[int, ...]) -> np.ndarray:
    """Draw deviations around 0 with a standard deviation of about 1, collapsed ones aside."""
    if shape.distribution == "outliers":
        return rng.choice((-1, 1), size) * rng.lognormal(-1, 1.5, size)
    if shape.distribution == "collapse":
        return rng.normal(size=size) - 20 * (rng.random(size) < 0.2)
    if shape.distribution == "skewed":
        return rng.exponential(size=size) - 1
    if shape.distribution == "normal":
        return rng.normal(size=size)
    return rng.standard_t(int(shape.distribution[1:]), size)


def _spread(rng: np.random.Generator, shape: Shape, size: tuple[int, ...]) -> np.ndarray:
    return rng.lognormal(0, shape.spread, size)


def differences(counts: np.ndarray) -> Estimate:
    """Estimate how every variant differs from the first, as `compare` does: [n, V - 1]."""
    return estimate(counts[:, 1:], counts[:, :1])


def calls(found: Estimate, num_compared: int) -> np.ndarray:
    """Return whether the interval of each difference excludes 0."""
    return np.abs(found.mean) > found.half_width(SIGNIFICANCE / num_compared)


def chunks(num_studies: int, *key: int) -> Iterator[tuple[np.random.Generator, int]]:
    """Divide the studies into chunks, and yield a random generator and a number for each."""
    for first in range(0, num_studies, CHUNK):
        yield np.random.default_rng([*key, first]), min(CHUNK, num_studies - first)


def error_rates(
    num_studies: int, num_seeds: int, num_places: int, sources: Sources, shape: Shape, key: int = 0
) -> dict[int, float]:
    """Return the share of studies that err, by the number of variants."""
    wrong = dict.fromkeys(NUM_VARIANTS, 0)
    for rng, number in chunks(num_studies, key, num_seeds, num_places):
        counts = draw(rng, number, max(NUM_VARIANTS), num_seeds, num_places, sources, shape)
        found = differences(counts)
        for num_variants in NUM_VARIANTS:
            called = calls(found, num_variants - 1)[:, : num_variants - 1]
            wrong[num_variants] += int(called.any(axis=1).sum())
    return {num_variants: number / num_studies for num_variants, number in wrong.items()}


def error_cells(
    num_studies: int, shapes: Mapping[str, Shape] = SHAPES, sources: Iterable[str] = SOURCES
) -> Iterator[dict[str, Any]]:
    """Yield the error rate of every cell of the table."""
    settings = itertools.product(shapes, sources, NUM_SEEDS, NUM_PLACES)
    for key, (shape, source, num_seeds, num_places) in enumerate(settings):
        rates = error_rates(num_studies, num_seeds, num_places, SOURCES[source], shapes[shape], key)
        yield {
            "shape": shape,
            "variation": source,
            "seeds": num_seeds,
            "places": num_places,
            "family_error": {str(number): rate for number, rate in rates.items()},
        }


def summary(cells: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the mean and the highest error rate by shape and number of variants."""
    found: dict[str, dict[str, Any]] = {}
    for shape, num_variants in itertools.product(SHAPES, NUM_VARIANTS):
        rates = [c["family_error"][str(num_variants)] for c in cells if c["shape"] == shape]
        found.setdefault(shape, {})[str(num_variants)] = {
            "mean": float(np.mean(rates)),
            "highest": max(rates),
        }
    return found


def power_cells(
    num_studies: int,
    num_places: int = 20,
    seeds: Sequence[int] = (*NUM_SEEDS, 10),
    variants: Sequence[int] = NUM_VARIANTS,
) -> Iterator[dict[str, Any]]:
    """Yield which true differences of one variant among equal ones a study detects.

    The variation is normal, the same for seeds and places. `detectable` is the median of the
    differences that studies say 4 of 5 of them would detect; `seen_of_it` is the share of studies
    that detect it.
    """
    for num_seeds, num_variants in itertools.product(seeds, variants):
        alpha = SIGNIFICANCE / (num_variants - 1)
        found: list[Estimate] = []
        stated: list[float] = []
        for rng, number in chunks(num_studies, num_seeds, num_variants):
            found.append(differences(draw(rng, number, 2, num_seeds, num_places)))
            if len(stated) < NUM_STATED:
                stated += [one.detectable(alpha) for one in each(found[-1])]
        mean = np.concatenate([part.mean for part in found])
        half = np.concatenate([part.half_width(alpha) for part in found])
        detectable = float(np.median(stated))

        def seen(gain: float, mean: np.ndarray = mean, half: np.ndarray = half) -> float:
            return float((np.abs(mean + gain) > half).mean())

        yield {
            "seeds": num_seeds,
            "places": num_places,
            "variants": num_variants,
            "standard_error": float(mean.std()),
            "detectable": detectable if math.isfinite(detectable) else None,
            "seen_of_it": seen(detectable),
            "seen": {f"{points} points": seen(points / 100) for points in (2, 5, 10, 20)},
        }


def each(found: Estimate) -> Iterator[Estimate]:
    """Split an estimate of many studies with one difference each into single estimates."""
    errors = (found.mean, found.seed_error, found.place_error, found.effective_places)
    for mean, seed_error, place_error, effective in zip(*(e[:, 0] for e in errors), strict=True):
        yield Estimate(mean, seed_error, place_error, found.num_seeds, found.num_places, effective)


def highest_by_chance(num_studies: int, num_cells: int) -> float:
    """Return the rate that the highest of all cells reaches in 1 of 1,000 cases if all are 5 %."""
    return float(stats.binom.isf(0.001 / num_cells, num_studies, SIGNIFICANCE) / num_studies)
