import math

from hypothesis import given
from hypothesis import strategies as st

from noise2map_jax.page.rank_order import ranks

NAN = math.nan


def test_ranks_of_a_hand_computed_case():
    scores = [
        (80.0, 60.0),
        (80.004, 70.0),  # prints as the one before, and IoU decides
        (NAN, NAN),
        (80.0, 60.004),  # prints as the first in both
        (90.0, 1.0),
        (80.0, NAN),
        (80.006, 10.0),
    ]
    assert ranks(scores) == [4, 3, None, 4, 1, 6, 2]


def test_nothing_has_no_ranks():
    assert ranks([]) == []


percents = st.integers(0, 10_000).map(lambda n: n / 100)
some_scores = st.lists(st.tuples(st.one_of(st.just(NAN), percents), percents), max_size=8)


@given(some_scores)
def test_a_rank_is_one_more_than_the_number_of_those_that_are_better(scores):
    better = [
        None if math.isnan(own[0]) else 1 + sum(other > own for other in scores) for own in scores
    ]
    assert ranks(scores) == better
