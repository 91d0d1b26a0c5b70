import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from noise2map_jax.errors import UserError
from noise2map_jax.method.tasks import TASKS, Noised, get_task

MASK = jnp.array([[[0], [1]], [[0], [255]]], jnp.uint8)[None]


def test_change_detection_stacks_the_dates_and_swaps_them():
    pre, post = jnp.zeros((2, 4, 4, 3)), jnp.ones((2, 4, 4, 3))
    task = get_task("cd")
    x = task.inputs({"pre": pre, "post": post})
    assert x.shape == (2, 4, 4, 6)
    np.testing.assert_array_equal(task.swap(x), task.inputs({"pre": post, "post": pre}))
    np.testing.assert_array_equal(task.swap(task.swap(x)), x)


def test_sizes_follow_from_bands_and_classes():
    assert TASKS["ss"].num_outputs(num_bands=4, num_classes=5) == 5
    assert TASKS["cd"].num_outputs(num_bands=4, num_classes=2) == 2
    assert TASKS["denoise"].num_outputs(num_bands=4, num_classes=2) == 4
    pairs = dataclasses.replace(TASKS["denoise"], image_keys=("pre", "post"))
    assert pairs.num_outputs(num_bands=4, num_classes=2) == 8


def test_a_step_takes_the_images_and_the_mask():
    assert TASKS["ss"].record_keys == TASKS["denoise"].record_keys == ("image", "mask")
    assert TASKS["cd"].record_keys == ("pre", "post", "mask")


def test_tasks_can_be_keys_of_what_was_compiled():
    assert {get_task("ss"): 1}[TASKS["ss"]] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        TASKS["ss"].name = "cd"


def test_denoising_is_scored_against_the_noise():
    x, eps = jnp.zeros((1, 2, 2, 3)), jnp.full((1, 2, 2, 3), 2.0)
    task = TASKS["denoise"]
    half = jnp.full((1, 1, 1, 1), 0.5)
    targets = task.targets({"mask": MASK}, Noised(x, x, eps, half, half))
    total, weight = task.loss(jnp.zeros_like(x), targets, jnp.zeros(0))
    assert total / weight == 4


def test_every_task_has_a_stream_of_random_numbers_of_its_own():
    streams = {name: task.stream for name, task in TASKS.items()}
    assert len(set(streams.values())) == len(TASKS)
    assert streams["ss"] == 0x8CC7184C  # the CRC-32 of its name: the same in every run


def test_segmentation_is_scored_against_the_mask():
    mask = jnp.ones((1, 2, 2, 1), jnp.uint8)
    x = jnp.zeros((1, 2, 2, 3))
    half = jnp.full((1, 1, 1, 1), 0.5)
    noised = Noised(x, x, x, half, half)
    np.testing.assert_array_equal(TASKS["ss"].targets({"mask": mask}, noised), mask[..., 0])


@pytest.mark.parametrize(
    ("prediction_type", "value"), [("epsilon", 2.0), ("sample", 1.0), ("v_prediction", 0.4)]
)
def test_a_denoiser_predicts_what_it_is_asked_for(prediction_type, value):
    ones = jnp.ones((1, 2, 2, 3))
    signal, noise = jnp.full((1, 1, 1, 1), 0.6), jnp.full((1, 1, 1, 1), 0.8)
    task = get_task("denoise", prediction_type)
    values, valid = task.targets({"mask": MASK}, Noised(ones, ones, 2 * ones, signal, noise))
    np.testing.assert_allclose(values, np.full((1, 2, 2, 3), value), rtol=1e-6)
    np.testing.assert_array_equal(valid, [[[True, True], [True, False]]])


def test_unknown_prediction_type_lists_the_known_ones():
    with pytest.raises(UserError, match=r"'eps'.*epsilon, sample, v_prediction"):
        get_task("denoise", "eps")


def test_unknown_task_lists_the_known_ones():
    with pytest.raises(UserError, match=r"'sss'.*ss, cd, denoise"):
        get_task("sss")
