"""The steps of evaluation and prediction with a linear network, against the same in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from linear_problem import linear_params, linear_problem, pixels

from noise2map_jax.method.augment import Augmentation
from noise2map_jax.method.noise import create_noise_process
from noise2map_jax.method.noise_field import noise_field
from noise2map_jax.steps.eval_step import (
    denoising_eval_step,
    eval_step,
    predict_step,
    prediction_noise,
)

ONE_DRAW = np.zeros(1, np.int32)
VALUES = [[0, 1], [2, 2], [1, 0], [2, 1], [0, 2]]
LABELS = [0, 1, 1, 255, 0]
SIGNAL, NOISE = np.array([0.8, 0.6]), np.array([0.6, 0.8])


def process(timesteps=(0, 1), **mix):
    table = jnp.asarray(SIGNAL**2, jnp.float32)
    return create_noise_process(table, inference_timesteps=timesteps, **mix)


def tiles(valid=(True,) * 5):
    return pixels(VALUES, LABELS) | {
        "valid": np.array(valid),
        "scene": np.arange(3, 8, dtype=np.uint32),
        "row": np.arange(5, dtype=np.int32) - 1,
        "column": np.arange(5, dtype=np.int32) * 2,
    }


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


def by_hand(inputs):
    """[..., 2] inputs of the network -> [..., 2] probabilities."""
    params = jax.tree.map(np.asarray, linear_params())
    return softmax(inputs @ params["unet"]["kernel"] @ params["ss_output_conv"]["kernel"])


# Without noise the network is given the images times the signal.
OF_EACH_TIMESTEP = by_hand((np.array(VALUES) - 1)[:, None] * SIGNAL[:, None])  # [B, T, K]


@pytest.mark.parametrize("valid", [(True,) * 5, (True, False, True, True, True)])
def test_scores_are_those_of_the_mean_over_timesteps(valid):
    out = eval_step(linear_params(), tiles(valid), process(), ONE_DRAW, problem=linear_problem())
    probabilities = OF_EACH_TIMESTEP.mean(axis=1)
    confusion = np.zeros((5, 2, 2), int)
    total = weight = 0
    for i, (label, counts) in enumerate(zip(LABELS, valid, strict=True)):
        if counts and label != 255:
            confusion[i, label, probabilities[i].argmax()] = 1
            total -= (1, 3)[label] * np.log(probabilities[i, label])
            weight += (1, 3)[label]
    assert out["confusion"].dtype == jnp.int32
    np.testing.assert_array_equal(out["confusion"], confusion)
    np.testing.assert_allclose(out["loss_total"], total, rtol=1e-5)
    np.testing.assert_allclose(out["loss_weight"], weight)


def test_probabilities_and_their_deviation_over_timesteps():
    problem = linear_problem()
    found = predict_step(linear_params(), tiles(), process(), ONE_DRAW, problem=problem)
    np.testing.assert_allclose(
        found.probabilities[:, 0, 0], OF_EACH_TIMESTEP.mean(axis=1), rtol=1e-5
    )
    np.testing.assert_allclose(
        found.uncertainty[:, 0, 0], OF_EACH_TIMESTEP[..., 1].std(axis=1), atol=1e-6
    )
    ((_, timesteps, use_timestep),) = problem.model.seen
    np.testing.assert_array_equal(timesteps, [0, 1] * 5)
    assert use_timestep


def test_the_deviation_is_that_of_everything_but_class_0():
    head = np.array([[1.0, -1.0, 0.3], [0.5, 0.25, -2.0]])
    problem = linear_problem(class_weights=(1.0, 3.0, 2.0))
    params = linear_params(ss=head)
    found = predict_step(params, tiles(), process(), ONE_DRAW, problem=problem)
    inputs = (np.array(VALUES) - 1)[:, None] * SIGNAL[:, None]
    of_each = softmax(inputs @ np.asarray(params["unet"]["kernel"]) @ head)
    deviation = (1 - of_each[..., 0]).std(axis=1)
    np.testing.assert_allclose(found.uncertainty[:, 0, 0], deviation, atol=1e-6)


def test_a_prediction_is_the_mean_over_draws_at_the_place_of_each_tile():
    batch, draws = tiles(), np.array([0, 4, 2], np.int32)
    gaussian = process(gaussian=1.0)
    found = predict_step(linear_params(), batch, gaussian, draws, problem=linear_problem())
    for i in range(5):
        place = [batch[name][i] for name in ("scene", "row", "column")]
        eps = np.stack([noise_field(draw, *place, (1, 1, 2))[0, 0] for draw in draws])
        x = np.array(VALUES[i]) - 1
        inputs = SIGNAL[:, None] * x + NOISE[:, None] * eps[:, None]  # [D, T, 2]
        of_each = by_hand(inputs).reshape(6, 2)
        np.testing.assert_allclose(found.probabilities[i, 0, 0], of_each.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(found.uncertainty[i, 0, 0], of_each[:, 1].std(), atol=1e-6)


def test_without_a_gaussian_part_no_noise_is_drawn():
    draws = np.arange(2, dtype=np.int32)
    none = prediction_noise(process(image=1.0), draws, tiles(), (2, 3, 4))
    np.testing.assert_array_equal(none, np.zeros((5, 2, 2, 3, 4)))
    some = prediction_noise(process(gaussian=-1.0), draws, tiles(), (2, 3, 4))
    assert some.shape == none.shape
    assert len(np.unique(some)) == some.size


def squares(num, size=1):
    """Images to denoise, the first row of which has no data; `index` counts them."""
    rng = np.random.default_rng(0)
    mask = np.zeros((num, size, size, 1), np.uint8)
    mask[:, 0, 1:] = 255
    return {
        "image": rng.integers(0, 3, (num, size, size, 2)).astype(np.uint8),
        "mask": mask,
        "index": np.arange(num, dtype=np.int32),
    }


def denoise(batch, first=0, last=2, crop_size=0):
    """What the network is given, at which timesteps, and what is measured: it predicts x_t."""
    problem = linear_problem(
        "denoise", augmentation=Augmentation(flips_and_turns=False, crop_size=crop_size)
    )
    params = linear_params(denoise=0.5 * np.eye(2))
    band = np.int32(first), np.int32(last)
    out = denoising_eval_step(params, batch, process(gaussian=1.0), *band, problem=problem)
    ((x_t, t, _),) = problem.model.seen
    return np.asarray(x_t), np.asarray(t), {k: np.asarray(v) for k, v in out.items()}


def noise_of(x_t, t, images):
    signal, noise = (table[t][:, None, None, None] for table in (SIGNAL, NOISE))
    return (x_t - signal * (images.astype(float) - 1)) / noise


@pytest.mark.parametrize("crop_size", [0, 2])
def test_errors_of_denoising_are_sums_over_the_pixels_that_have_data(crop_size):
    batch = squares(6, 4)
    x_t, t, out = denoise(batch, crop_size=crop_size)
    middle = slice(1, 3) if crop_size else slice(None)
    images, mask = (batch[name][:, middle, middle] for name in ("image", "mask"))
    eps, valid = noise_of(x_t, t, images), mask == 0
    for found, errors in ((out["error"], x_t - eps), (out["power"], eps)):
        expected = np.sum(np.square(errors) * valid, axis=(1, 2, 3))
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_array_equal(out["num_values"], np.full(6, 8 if crop_size else 2 * 13))


def test_timesteps_are_of_the_band():
    batch = squares(40)
    for first, last, expected in ((0, 2, {0, 1}), (0, 1, {0}), (1, 2, {1})):
        assert set(denoise(batch, first, last)[1].tolist()) == expected


def test_what_is_asked_of_a_record_follows_from_its_index_and_the_band():
    batch = squares(8)
    x_t, t, _ = denoise(batch)
    eps = noise_of(x_t, t, batch["image"])
    assert len(np.unique(eps)) == eps.size
    backwards = {name: value[::-1] for name, value in batch.items()}
    x_t, again, _ = denoise(backwards)
    np.testing.assert_array_equal(again, t[::-1])
    np.testing.assert_array_equal(noise_of(x_t, again, backwards["image"]), eps[::-1])
    x_t, other, _ = denoise(batch, 1)
    assert np.all(noise_of(x_t, other, batch["image"]) != eps)


def test_every_evaluation_asks_what_earlier_ones_asked():
    """If these move, the losses that earlier versions wrote no longer compare."""
    batch = squares(4)
    x_t, t, _ = denoise(batch)
    np.testing.assert_array_equal(t, GOLDEN_TIMESTEPS)
    eps = noise_of(x_t, t, batch["image"])[:, 0, 0, 0]
    np.testing.assert_allclose(eps, GOLDEN_NOISE, atol=1e-5)


GOLDEN_TIMESTEPS = [1, 0, 1, 1]
GOLDEN_NOISE = [-1.387768, 0.557317, 0.980758, -1.668984]
