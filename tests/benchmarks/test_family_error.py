"""Equal variants are called different in at most 5 % of studies, whatever varies and how."""

import numpy as np
import pytest

from benchmarks import family_error
from benchmarks.family_error import SHAPES, SOURCES
from noise2map_jax.study.comparison import compare
from noise2map_jax.study.variant_scores import VariantScores

NUM_STUDIES = 400
CELLS = (
    *((shape, "both", num_seeds, 20) for shape in SHAPES for num_seeds in (2, 3)),
    *(("normal", source, 5, num_places) for source in SOURCES for num_places in (4, 60)),
    ("unequal sizes of places", "places", 5, 4),
)


@pytest.mark.parametrize(("shape", "source", "num_seeds", "num_places"), CELLS)
def test_equal_variants_are_rarely_called_different(shape, source, num_seeds, num_places):
    rates = family_error.error_rates(
        NUM_STUDIES, num_seeds, num_places, SOURCES[source], SHAPES[shape]
    )
    assert max(rates.values()) <= family_error.highest_by_chance(NUM_STUDIES, len(rates))


def test_intervals_that_hold_one_by_one_do_not_hold_together():
    """The rule of before, which the bound above refuses: each interval at 5 % for itself."""
    rng = np.random.default_rng(0)
    found = family_error.differences(
        family_error.draw(rng, NUM_STUDIES, 6, 3, 20, SOURCES["seeds"])
    )
    wrong = family_error.calls(found, 1).any(axis=1).mean()
    assert wrong > family_error.highest_by_chance(NUM_STUDIES, 1) + 0.05


def test_a_simulated_study_is_compared_as_a_real_one():
    counts = family_error.draw(np.random.default_rng(3), 40, 3, 5, 8, SOURCES["seeds"])
    whole = np.round(counts)
    expected = family_error.calls(family_error.differences(whole), 2)
    found = []
    for study in whole.astype(np.int64):
        variants = [VariantScores(f"v{i}", tuple(range(5)), c) for i, c in enumerate(study)]
        comparison = compare(variants, "abcdefgh", "v0")
        found.append([d.is_significant for d in comparison.differences])
    np.testing.assert_array_equal(found, expected)


def test_drawn_scores_are_those_that_are_asked_for():
    f1 = np.array([[0.25, 0.75], [0.5, 1.0]])
    counts = family_error.as_counts(f1, np.full((2, 2), 200.0))
    np.testing.assert_allclose(2 * counts[..., 1, 1] / 200, f1)
    np.testing.assert_allclose(counts[..., 1, :].sum(-1) + counts[..., :, 1].sum(-1), 200)


@pytest.mark.parametrize("num_seeds", [3, 10])
def test_studies_see_the_difference_that_they_say_they_do(num_seeds):
    found = [cell for cell in family_error.power_cells(300, seeds=(num_seeds,), variants=(2, 6))]
    for cell in found:
        assert 0.7 < cell["seen_of_it"] < 0.9
    assert found[0]["detectable"] < found[1]["detectable"]  # more variants, less to be seen
