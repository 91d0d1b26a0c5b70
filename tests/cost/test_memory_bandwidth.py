import itertools

import jax
import pytest

from noise2map_jax.cost import matmul_peak, memory_bandwidth


@pytest.fixture
def ticking(monkeypatch):
    """A clock by which everything takes a second, but the first of all."""
    for module in (memory_bandwidth, matmul_peak):
        ticks = itertools.chain([-100.0], itertools.count())
        monkeypatch.setattr(module.time, "perf_counter", ticks.__next__)


def test_bytes_are_read_and_written(ticking):
    found = memory_bandwidth.memory_bandwidth(repeats=2, size=4096)
    assert found == 2 * 4096 * memory_bandwidth.CALLS


def test_a_product_of_matrices_has_two_flop_for_each_multiplication(ticking):
    with jax.default_matmul_precision("highest"):
        assert matmul_peak.matmul_peak("float32", repeats=3, side=8) == 2 * 8**3
