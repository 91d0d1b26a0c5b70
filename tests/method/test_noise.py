import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noise2map_jax.errors import UserError
from noise2map_jax.method import noise, schedules
from noise2map_jax.method.tasks import TASKS


def nhwc(array):
    return jnp.asarray(np.moveaxis(array, 1, -1))


def linear_process(**options):
    return noise.create_noise_process(schedules.linear(1000), **options)


def contrast_of(process):
    return np.asarray(noise.contrast(process.signal, process.noise))


def test_swapped_pair_equals_golden_values(golden):
    g = golden["schedules"]
    pair = jnp.concatenate([nhwc(g["add_noise_pre"]), nhwc(g["add_noise_post"])], axis=-1)
    x_t = noise.add_noise(
        linear_process(swap=1.0),
        pair,
        TASKS["cd"].swap(pair),
        jnp.zeros_like(pair),
        jnp.asarray(g["add_noise_timesteps"]),
    )
    np.testing.assert_allclose(x_t, nhwc(g["add_noise_cd"]), atol=1e-6)


def test_image_as_its_own_noise_equals_golden_values(golden):
    g = golden["schedules"]
    x = nhwc(g["add_noise_pre"])
    t = jnp.asarray(g["add_noise_timesteps"])
    x_t = noise.add_noise(linear_process(image=1.0), x, x, jnp.zeros_like(x), t)
    np.testing.assert_allclose(x_t, nhwc(g["add_noise_ss"]), atol=1e-6)


def test_contrast_of_the_papers_schedule():
    values = contrast_of(linear_process(swap=1.0))
    assert values.argmin() == 258
    np.testing.assert_allclose(values[500], 0.55, atol=5e-3)
    np.testing.assert_allclose(values[999], 0.987, atol=5e-4)
    np.testing.assert_allclose(np.mean(values < 0.2), 0.15, atol=5e-3)


def test_gain_of_segmentation_noise_lies_between_1_and_root_2():
    process = linear_process(image=1.0)
    gain = np.asarray(process.signal + process.noise)
    np.testing.assert_allclose([gain.min(), gain.max()], [1.006, 1.414], atol=1e-3)


def test_gaussian_mix_keeps_the_variance():
    x = jax.random.normal(jax.random.key(0), (4, 64, 64, 3))
    eps = jax.random.normal(jax.random.key(1), x.shape)
    t = jnp.array([0, 300, 600, 999])
    x_t = noise.add_noise(linear_process(gaussian=1.0), x, x, eps, t)
    np.testing.assert_allclose(jnp.var(x_t, axis=(1, 2, 3)), np.ones(4), atol=0.05)
    np.testing.assert_allclose(x_t[3], eps[3], atol=0.05)  # nothing but noise at the end


def test_clean_process_does_not_touch_the_input():
    process = noise.clean_noise_process(1000)
    x = jax.random.normal(jax.random.key(0), (3, 4, 4, 6))
    x_t = noise.add_noise(process, x, x[..., ::-1], x + 1, jnp.array([0, 258, 999]))
    np.testing.assert_array_equal(x_t, x)
    assert not process.use_timestep
    np.testing.assert_array_equal(process.inference_timesteps, [999])
    told = noise.clean_noise_process(10, use_timestep=True, inference_timesteps=(3, -2))
    assert told.use_timestep
    np.testing.assert_array_equal(told.inference_timesteps, [3, 8])


def test_without_a_source_of_noise_the_input_is_only_scaled():
    process = noise.create_noise_process(jnp.array([0.64, 0.36]))
    assert process.use_timestep
    x = jnp.ones((2, 1, 1, 2))
    x_t = noise.add_noise(process, x, x + 1, x + 2, jnp.array([0, 1]))
    np.testing.assert_allclose(x_t[:, 0, 0], [[0.8, 0.8], [0.6, 0.6]], rtol=1e-6)


@pytest.mark.parametrize("weight", [-1.0, 0.0, 0.1, 1.0])
def test_draws_are_as_many_as_there_is_noise_to_draw(weight):
    process = linear_process(image=1.0, gaussian=weight)
    assert noise.has_gaussian(process) == (weight != 0)
    assert noise.noise_draws(process, 3).tolist() == ([0, 1, 2] if weight else [0])


def test_a_contrast_just_reached_is_enough():
    # Without noise the contrast is exactly 1.
    process = noise.create_noise_process(jnp.ones(4), min_contrast=1.0)
    np.testing.assert_array_equal(process.timestep_weights, np.ones(4))


@settings(deadline=None, max_examples=30)
@given(first=st.integers(0, 98), length=st.integers(1, 100), seed=st.integers(0, 10))
def test_timesteps_stay_in_their_range(first, length, seed):
    last = min(first + length, 100)
    process = noise.create_noise_process(schedules.linear(100), timestep_range=(first, last))
    t = np.asarray(noise.sample_timesteps(process, jax.random.key(seed), 64))
    assert t.dtype == np.int32
    assert np.all((t >= first) & (t < last))


def test_timesteps_are_uniform_over_the_range():
    process = noise.create_noise_process(schedules.linear(20), timestep_range=(5, 15))
    t = np.asarray(noise.sample_timesteps(process, jax.random.key(0), 20_000))
    counts = np.bincount(t, minlength=20)
    np.testing.assert_allclose(counts[5:15], np.full(10, 2000), rtol=0.1)
    assert counts[:5].sum() + counts[15:].sum() == 0


def test_processes_stack_and_vmap():
    processes = [linear_process(swap=w, image=1 - w) for w in (0.0, 0.5, 1.0)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *processes)
    x = jax.random.normal(jax.random.key(0), (2, 4, 4, 6))
    args = (x, TASKS["cd"].swap(x), jnp.zeros_like(x), jnp.array([10, 700]))
    assert stacked.num_train_timesteps == processes[0].num_train_timesteps == 1000
    together = jax.vmap(lambda p: noise.add_noise(p, *args))(stacked)
    for i, process in enumerate(processes):
        np.testing.assert_allclose(together[i], noise.add_noise(process, *args), rtol=1e-6)


def test_inference_timestep_counts_from_the_end():
    np.testing.assert_array_equal(linear_process().inference_timesteps, [999])
    process = linear_process(inference_timesteps=(-1000, 500, -1))
    np.testing.assert_array_equal(process.inference_timesteps, [0, 500, 999])


def test_the_zone_of_low_contrast_can_be_left_out():
    process = linear_process(min_contrast=0.2)
    left = np.flatnonzero(np.asarray(process.timestep_weights))
    np.testing.assert_array_equal(left, np.flatnonzero(contrast_of(process) >= 0.2))
    assert 840 < len(left) < 860  # DESIGN: 15 % of uniformly drawn t lie in it
    t = np.asarray(noise.sample_timesteps(process, jax.random.key(0), 5000))
    assert contrast_of(process)[t].min() >= 0.2


def test_timesteps_are_drawn_as_often_as_their_contrast():
    process = linear_process(contrast_power=2.0)
    t = np.asarray(noise.sample_timesteps(process, jax.random.key(0), 10_000))
    expected = contrast_of(process) ** 2
    expected /= expected.sum()
    found, _ = np.histogram(t, bins=10, range=(0, 1000), density=False)
    np.testing.assert_allclose(found / len(t), expected.reshape(10, 100).sum(axis=1), atol=0.01)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 1, 1]),
        ({"contrast_power": 1.0}, [1 / 7, 1 / 7, 1]),
        ({"contrast_power": 0.5}, [7**-0.5, 7**-0.5, 1]),
        ({"contrast_power": 1.0, "timestep_range": (1, 3)}, [0, 1 / 7, 1]),
        ({"contrast_power": 1.0, "timestep_range": (0, 1)}, [1 / 7, 0, 0]),
    ],
)
def test_weights_of_timesteps_worked_by_hand(options, expected):
    # signal 0.8, 0.6, 1 and noise 0.6, 0.8, 0: contrast 1/7, 1/7, 1
    process = noise.create_noise_process(jnp.array([0.64, 0.36, 1.0]), **options)
    np.testing.assert_allclose(process.timestep_weights, expected, rtol=1e-5)


def test_a_table_can_be_traced():
    create = lambda table: noise.create_noise_process(table, min_contrast=0.5)  # noqa: E731
    weights = jax.vmap(create)(jnp.array([[0.64, 1.0], [0.36, 0.5]])).timestep_weights
    # Whether any timestep is left cannot be seen there: the second table has none.
    np.testing.assert_array_equal(weights, [[0, 1], [0, 0]])


def test_a_range_of_one_is_a_fixed_timestep():
    process = linear_process(timestep_range=(700, 701))
    t = noise.sample_timesteps(process, jax.random.key(0), 50)
    np.testing.assert_array_equal(t, np.full(50, 700))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"inference_timesteps": (1000,)}, ["1000", "inference_timesteps"]),
        ({"inference_timesteps": (-1001,)}, ["-1001", "T = 1000"]),
        ({"min_contrast": -0.1}, ["min_contrast is -0.1"]),
        ({"inference_timesteps": ()}, ["inference_timesteps", "one or more"]),
        (
            {"min_contrast": 0.9, "timestep_range": (200, 300)},
            ["min_contrast is 0.9", "[200, 300)", "largest contrast there is 0.16,"],
        ),
        ({"min_contrast": 2.0}, ["min_contrast is 2"]),
        ({"contrast_power": -1.0}, ["contrast_power -1"]),
        ({"timestep_range": (5, 5)}, ["timestep_range is [5, 5)"]),
        ({"timestep_range": (0, 1001)}, ["1001", "1000"]),
        ({"timestep_range": (-1, 10)}, ["-1"]),
    ],
)
def test_timesteps_outside_of_the_table_are_refused(options, words):
    with pytest.raises(UserError) as error:
        linear_process(**options)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    ("swapped", "gaussian", "timesteps"),
    [((1, 4, 4, 3), (2, 4, 4, 3), 2), ((2, 4, 4, 3), (4, 4, 3), 2), ((2, 4, 4, 3),) * 2 + (1,)],
)
def test_one_noise_or_timestep_for_several_images_is_refused(swapped, gaussian, timesteps):
    process = noise.create_noise_process(jnp.linspace(0.9, 0.1, 10), gaussian=1.0)
    shapes = ((2, 4, 4, 3), swapped, gaussian)
    arrays = [jnp.zeros(shape) for shape in shapes]
    with pytest.raises(AssertionError, match="shape"):
        noise.add_noise(process, *arrays, jnp.zeros(timesteps, int))
