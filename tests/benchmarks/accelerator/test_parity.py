import math

import numpy as np
import pytest

from benchmarks.accelerator import parity
from benchmarks.accelerator.sizes import SIZES


def test_errors_are_told_in_their_unit_and_as_shares():
    found = parity.errors(np.array([1.0, 2.5, -4.0]), np.array([1.0, 2.0, -4.0]))
    assert found["largest_error"] == 0.5
    assert found["largest_error_of_largest"] == 0.125
    np.testing.assert_allclose(found["typical_error_of_typical"], math.sqrt(0.25 / 21))


@pytest.mark.long
@pytest.mark.parametrize("name", SIZES["full"].golden)
def test_golden_values_are_met(name):
    output, expected = parity._golden(name, "float32", "highest")
    assert parity.errors(output, expected)["largest_error"] < 2e-5
