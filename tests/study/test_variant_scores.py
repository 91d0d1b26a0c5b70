import numpy as np
import pytest

from noise2map_jax.errors import UserError
from noise2map_jax.study.variant_scores import VariantScores, check_variants, pool_places


def variant(name="paper", seeds=(0, 1), num_records=3, num_classes=2):
    shape = (len(seeds), num_records, num_classes, num_classes)
    return VariantScores(name, seeds, np.arange(np.prod(shape), dtype=np.int64).reshape(shape))


def test_records_of_a_place_are_added_up_and_places_sorted():
    given_variant = variant()
    pooled = pool_places(given_variant, ["b", "a", "b"])
    counts = given_variant.confusions
    np.testing.assert_array_equal(pooled.confusions[:, 0], counts[:, 1])
    np.testing.assert_array_equal(pooled.confusions[:, 1], counts[:, 0] + counts[:, 2])
    assert pooled.confusions.dtype == np.int64


def test_confusions_are_taken_by_seed():
    given_variant = variant(seeds=(7, 3, 5))
    np.testing.assert_array_equal(given_variant.of_seeds((5, 7)), given_variant.confusions[[2, 0]])


@pytest.mark.parametrize(
    ("variants", "places", "message"),
    [
        ([], "abc", "no variants"),
        ([variant()], "", "no records"),
        ([variant(), variant()], "abc", "the name paper"),
        ([variant(seeds=(1, 1))], "abc", r"'paper' has seeds \[1, 1\]; expected each once"),
        ([variant()], "abcd", r"shape \[2, 3, 2, 2\]; expected \[2, 4, 2, 2\]"),
        (
            [variant(), variant("clean", num_classes=3)],
            "abc",
            r"'clean' has confusions of shape \[2, 3, 3, 3\]; expected \[2, 3, 2, 2\]",
        ),
        ([variant(num_classes=1)], "abc", "at least 2 classes"),
        (
            [VariantScores("paper", (0,), np.zeros(())), variant("clean")],
            "abc",
            r"'paper' has confusions of shape \[\]; expected \[1, 3, 0, 0\]",
        ),
        (
            [VariantScores("paper", (0, 1), np.zeros((2, 3, 2, 4)))],
            "abc",
            r"shape \[2, 3, 2, 4\]; expected \[2, 3, 4, 4\]",
        ),
    ],
)
def test_what_cannot_be_compared_is_named(variants, places, message):
    with pytest.raises(UserError, match=message):
        check_variants(variants, list(places))


@pytest.mark.parametrize("num_classes", [2, 3])
def test_variants_may_have_other_seeds(num_classes):
    paper = variant("paper", seeds=(0, 1, 2, 3), num_classes=num_classes)
    check_variants([paper, variant("clean", seeds=(5,), num_classes=num_classes)], list("abc"))
