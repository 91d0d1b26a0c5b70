import jax
import numpy as np

from benchmarks.accelerator import reference
from benchmarks.cases import Case


def test_arithmetic_is_that_of_the_network():
    """By hand: its convolutions of 3 x 3 on 16 x 16 pixels, to which a third is added at most."""
    case = Case("tiny", 1, 16, "float32", 1)
    # The head's two, the backbone's first and last, and two in each of five residual blocks: one on
    # the way down, two in the middle, and two on the way up that see 16 channels.
    pairs = [(3, 3), (3, 8), (8, 3), (3, 2), *[(8, 8)] * 6, *[(16, 8), (8, 8)] * 2]
    by_hand = 2 * 9 * 16**2 * sum(a * b for a, b in pairs)
    assert by_hand < reference.flop_per_image(case, "forward") < 1.35 * by_hand


def test_parameters_are_the_same_in_every_call_and_none_is_zero():
    problem, _ = Case("tiny", 1, 16, "float32", 1).problem()
    first, second = (reference.random_params(problem.model, 16) for _ in range(2))
    for one, other in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(one, other)
        assert np.all(one)
