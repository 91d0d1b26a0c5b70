import numpy as np
from linear_problem import linear_params, linear_problem, pixels

from noise2map_jax.method.noise import create_noise_process
from noise2map_jax.method.schedules import linear
from noise2map_jax.steps.eval_step import predict_step
from noise2map_jax.steps.histogram_step import NUM_BINS, histogram_step


def test_pixels_are_counted_by_label_and_probability():
    batch = pixels([[0, 1], [2, 2], [1, 0], [2, 1], [0, 2]], [0, 1, 1, 255, 0]) | {
        "valid": np.array([True, False, True, True, True]),
        "scene": np.zeros(5, np.uint32),
        "row": np.zeros(5, np.int32),
        "column": np.zeros(5, np.int32),
    }
    process = create_noise_process(linear(10), inference_timesteps=(0, 5))
    arguments = linear_params(), batch, process, np.zeros(1, np.int32)
    counts = histogram_step(*arguments, problem=linear_problem())
    predicted = predict_step(*arguments, problem=linear_problem()).probabilities
    foreground = np.asarray(predicted)[:, 0, 0, 1]
    assert len(set(np.round(foreground, 3))) > 3
    expected = np.zeros((2, NUM_BINS), int)
    for i, label in ((0, 0), (2, 1), (4, 0)):  # tile 1 only fills the batch, tile 3 is ignored
        expected[label, int(foreground[i] * NUM_BINS)] += 1
    np.testing.assert_array_equal(counts, expected)
