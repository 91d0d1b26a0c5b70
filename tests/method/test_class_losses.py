import jax.numpy as jnp
import numpy as np
import pytest

from noise2map_jax.errors import UserError
from noise2map_jax.method.class_losses import CLASS_LOSSES, sum_of_losses


def arguments():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (2, 4, 4)).astype(np.uint8)
    labels[0, 0] = 255
    return jnp.asarray(rng.normal(size=(2, 4, 4, 3)), jnp.float32), jnp.asarray(labels)


def test_a_sum_is_the_sum_of_its_losses():
    weights = jnp.array([1.0, 2.0, 3.0])
    parts = [loss(*arguments(), weights) for loss in CLASS_LOSSES.values()]
    total, weight = sum_of_losses(tuple(CLASS_LOSSES))(*arguments(), weights)
    np.testing.assert_allclose(total, sum(part.total for part in parts), rtol=1e-6)
    for part in parts:  # so each may be divided by it after the sum
        np.testing.assert_allclose(part.weight, weight, rtol=1e-6)
    assert len({float(part.total) for part in parts}) == len(parts)


def test_the_same_names_are_the_same_function():
    assert sum_of_losses(("focal", "dice")) is sum_of_losses(("focal", "dice"))
    assert sum_of_losses(("dice",)) is CLASS_LOSSES["dice"]


@pytest.mark.parametrize("names", [(), ("jaccard",), ("dice", "dice")])
def test_what_is_no_sum_of_losses_is_refused(names):
    with pytest.raises(UserError, match=r"expected one or more of cross_entropy, focal, dice"):
        sum_of_losses(names)
