import hypothesis
import hypothesis.strategies as st

from noise2map_jax.cost.largest_batch import MOST_ATTEMPTS, search_largest_batch


@hypothesis.given(limit=st.integers(0, 5000), unit=st.integers(1, 64), first=st.integers(0, 6000))
def test_it_is_found_whatever_the_limit(limit, unit, first):
    tried = []

    def fits(size):
        tried.append(size)
        return size <= limit

    found = search_largest_batch(fits, first, unit, most_attempts=40)
    assert found.size == limit // unit * unit
    assert found.too_large == found.size + unit
    assert len(set(tried)) == len(tried)
    assert all(size > 0 and size % unit == 0 for size in tried)
    if found.size:
        assert "between" not in found.describe()


def test_it_doubles_and_then_halves_what_is_left():
    tried = []
    search_largest_batch(lambda size: tried.append(size) or size <= 70, first=17, unit=8)
    assert tried == [16, 32, 64, 128, 96, 80, 72]


def test_it_gives_up_after_a_number_of_attempts():
    tried = []
    found = search_largest_batch(lambda n: tried.append(n) or True, first=1, unit=1)
    assert len(tried) == MOST_ATTEMPTS
    assert found.describe() == f"a batch of {tried[-1]}; larger ones were not tried"
    few = search_largest_batch(lambda n: n <= 100, first=1, unit=1, most_attempts=9)
    assert (few.size, few.too_large) == (96, 128)
    assert few.describe() == "a batch of 96; 128 does not fit, and none between was tried"
