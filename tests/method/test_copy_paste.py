import jax.numpy as jnp
import numpy as np

from noise2map_jax.method.copy_paste import copy_paste
from noise2map_jax.method.losses import IGNORE


def masks(*rows):
    return jnp.array(rows, jnp.uint8).reshape(len(rows), 1, -1, 1)


def test_the_next_records_foreground_lies_on_the_chosen():
    mask = masks([0, 0, 2, 0], [0, 1, 0, IGNORE], [3, 0, 0, 0])
    image = jnp.arange(12, dtype=jnp.uint8).reshape(3, 1, 4, 1)
    out = copy_paste({"image": image, "mask": mask}, jnp.array([True, False, True]))
    np.testing.assert_array_equal(out["mask"], masks([0, 1, 2, 0], [0, 1, 0, IGNORE], [3, 0, 2, 0]))
    np.testing.assert_array_equal(np.ravel(out["image"]), [0, 5, 2, 3, 4, 5, 6, 7, 8, 9, 2, 11])
    assert out["image"].dtype == jnp.uint8


def test_what_has_no_label_keeps_having_none():
    mask = masks([IGNORE, 0], [1, 1])
    out = copy_paste({"image": mask, "mask": mask}, jnp.array([True, False]))
    np.testing.assert_array_equal(out["mask"], masks([IGNORE, 1], [1, 1]))


def test_of_pairs_the_later_date_changes():
    mask = masks([0, 0], [1, 0])
    pre, post = jnp.full((2, 1, 2, 1), 10), jnp.array([20, 21, 30, 31]).reshape(2, 1, 2, 1)
    out = copy_paste({"pre": pre, "post": post, "mask": mask}, jnp.array([True, True]))
    np.testing.assert_array_equal(out["pre"], pre)
    np.testing.assert_array_equal(np.ravel(out["post"]), [30, 21, 30, 31])
    np.testing.assert_array_equal(out["mask"], masks([1, 0], [1, 0]))
