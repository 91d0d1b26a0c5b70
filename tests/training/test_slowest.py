import pytest

from noise2map_jax.training.slowest import Slowest, slowest_process


def test_the_slowest_is_named_with_what_it_takes_longer_than_the_others():
    found = slowest_process([0.01, 0.03, 0.31, 0.02], [0.0, 0.0, 0.25, 0.0], seconds=0.5)
    assert found == Slowest(2, pytest.approx(0.29), pytest.approx(0.58), 0.25)
    assert found.describe() == (
        "process 2 is the slowest: it takes 0.29 s a step longer than the others outside of the "
        "computation, 58% of a step; it waits for data for 0.25 s a step"
    )


def test_where_it_does_not_matter_nobody_is_named():
    assert slowest_process([0.01, 0.03], [0.0, 0.0], seconds=0.5) is None
    assert slowest_process([0.01, 0.04], [0.0, 0.0], seconds=0.5) is not None
    assert slowest_process([0.2, 0.2], [0.2, 0.2], seconds=0.4) is None
