"""Studies with a known truth: how often are equal variants told apart, and unequal ones?

python tests/simulated_studies.py        prints the rates over 2,000 studies a row, in minutes
"""

import numpy as np

from noise2map_jax.comparison import compare
from noise2map_jax.variant_scores import VariantScores

NOISE = 0.1  # logits: deviation of one scene of one seed
DEFAULTS = dict(num_variants=2, num_seeds=3, num_scenes=20, seed_sd=0.0, scene_sd=0.0, gain=0.0)
PARTS = ("Wilcoxon alone", "with bootstrap", "the rule", "rightly v1")
SETTINGS = (
    *(dict(num_seeds=s, seed_sd=e) for s in (2, 3, 5) for e in (0.0, 1.0, 2.0)),
    *(dict(num_scenes=m, scene_sd=2.0) for m in (4, 20, 60)),
    *(dict(num_scenes=m, seed_sd=2.0, scene_sd=2.0) for m in (4, 20, 60)),
    *(dict(num_seeds=5, num_scenes=m, seed_sd=0.5, scene_sd=2.0) for m in (4, 20, 60)),
    *(dict(num_variants=5, seed_sd=e) for e in (0.0, 1.0, 2.0)),
    *(dict(num_seeds=s, seed_sd=1.0, gain=g) for s in (2, 3, 5) for g in (0.25, 0.5, 1.0)),
)


def study(rng, num_variants=2, num_seeds=3, num_scenes=20, seed_sd=0.0, scene_sd=0.0, gain=0.0):
    """Draw the counts of a study: variants v0 (the reference), v1, ... and names of scenes.

    Recall and precision of a scene are logistic around 0.75. All variants share the difficulty of
    a scene; v1 has `gain` logits more than the others; and, in units of `NOISE`, every seed of
    every variant has an effect of its own on all scenes, and every variant on each scene.
    """
    shape = (num_variants, num_seeds, num_scenes)
    effects = rng.normal(size=(2, *shape))
    effects += seed_sd * rng.normal(size=(num_variants, num_seeds, 1))
    effects += scene_sd * rng.normal(size=(num_variants, 1, num_scenes))
    logits = 1.1 + 0.5 * rng.normal(size=num_scenes) + NOISE * effects
    logits[:, 1] += gain
    recall, precision = 1 / (1 + np.exp(-logits))
    positive = rng.lognormal(8, 0.7, size=num_scenes)
    tp = recall * positive
    cells = np.stack([np.full(shape, 65536.0), tp / precision - tp, positive - tp, tp], axis=-1)
    confusions = cells.round().astype(np.int64).reshape(*shape, 2, 2)
    variants = [
        VariantScores(f"v{i}", tuple(range(num_seeds)), c) for i, c in enumerate(confusions)
    ]
    return variants, [f"scene {i}" for i in range(num_scenes)]


def comparisons(num_studies, num_resamples=400, **options):
    """Compare the variants of so many studies, always the same ones."""
    for rng in np.random.default_rng(0).spawn(num_studies):
        yield compare(*study(rng, **options), "v0", num_resamples=num_resamples)


def rate_of_calls(num_studies, **options):
    """Share of studies in which some variant is called different from v0."""
    found = (
        any(d.is_significant for d in result.differences)
        for result in comparisons(num_studies, **options)
    )
    return sum(found) / num_studies


def rates(num_studies, **options):
    """What each part of the rule alone would call, what all of them do, and how often rightly."""
    rows = []
    for result in comparisons(num_studies, **options):
        first = result.differences[0]
        wilcoxon = first.p_holm < 0.05
        bootstrap = wilcoxon and first.intervals.bootstrap.leaves_out_zero()
        called = any(d.is_significant for d in result.differences)
        rows.append((wilcoxon, bootstrap, called, first.is_significant and first.f1 > 0))
    return np.mean(rows, axis=0)


if __name__ == "__main__":
    header = (*DEFAULTS, *PARTS)
    print(f"| {' | '.join(header)} |\n{'|---' * len(header)}|")
    for options in SETTINGS:
        values = [f"{value:g}" for value in (DEFAULTS | options).values()]
        shares = [f"{100 * rate:.1f} %" for rate in rates(2000, **options)]
        print(f"| {' | '.join(values + shares)} |", flush=True)
