import jax
import pytest

from noise2map_jax.cost.accelerators import ACCELERATORS, accelerator_of


@pytest.mark.parametrize("kind", [kind for kind in ACCELERATORS if kind.startswith("TPU")])
def test_matrix_units_give_the_peak_at_the_clock(kind):
    accelerator = ACCELERATORS[kind]
    units = {"TPU v4": 8, "TPU v5 lite": 4, "TPU v5": 8}.get(kind, 16)  # of 128 x 128 products
    assert accelerator.clock * units * 2 * 128**2 == pytest.approx(accelerator.flops, rel=0.01)


def test_of_a_cpu_no_limit_is_known():
    assert accelerator_of(jax.devices()[0]) is None
