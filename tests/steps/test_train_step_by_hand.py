"""One update of a linear network, against the same worked in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from linear_problem import cross_entropy_by_hand, linear_params, linear_problem, pixels

from noise2map_jax.method.augment import Augmentation
from noise2map_jax.method.noise import clean_noise_process, create_noise_process
from noise2map_jax.steps.optimizer import create_optimizer
from noise2map_jax.steps.train_state import create_train_state
from noise2map_jax.steps.train_step import Stream, gradient_sums, network_inputs, train_step

KEY = jax.random.key(7)
CLEAN = clean_noise_process(10)
VALUES = [[0, 1], [2, 2], [1, 0], [2, 1], [0, 2], [2, 0]]
LABELS = [0, 1, 1, 255, 0, 1]
HEADS = {"ss": [[1.0, -1.0], [0.5, 0.25]], "cd": [[0.3, 0.1], [0.2, -0.4]]}


def update(problems=None, batches=None, tx=None, use_ema=False, at=0, params=None, **options):
    problems = problems or {"ss": linear_problem()}
    params = params or linear_params(**{name: HEADS[name] for name in problems})
    tx = tx or optax.sgd(0.5)
    state = create_train_state(params, tx, use_ema=use_ema).replace(step=jnp.int32(at))
    batches = batches or {"ss": pixels(VALUES, LABELS)}
    processes = dict.fromkeys(problems, CLEAN)
    return params, *train_step(state, batches, processes, KEY, problems=problems, tx=tx, **options)


def kernels(tree, task="ss"):
    return np.asarray(tree["unet"]["kernel"]), np.asarray(tree[f"{task}_output_conv"]["kernel"])


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


def norm(*arrays):
    return np.sqrt(sum(np.square(a).sum() for a in arrays))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_microbatches": 3},
        {"num_microbatches": 2, "unroll_microbatches": True},
        {"num_microbatches": 6},
    ],
)
def test_an_update_is_the_gradient_of_the_weighted_mean(options):
    before, state, metrics = update(**options)
    total, weight, gradients = cross_entropy_by_hand(VALUES, LABELS, *kernels(before))
    gradients = [g / weight for g in gradients]
    assert metrics.keys() == {"loss", "gradient_norm", "params_norm"}
    assert_close(metrics["loss"], total / weight)
    assert_close(metrics["gradient_norm"], norm(*gradients))
    after = [p - 0.5 * g for p, g in zip(kernels(before), gradients, strict=True)]
    for found, expected in zip(kernels(state.params), after, strict=True):
        assert_close(found, expected)
    assert_close(metrics["params_norm"], norm(*after))
    assert state.step == 1
    assert state.ema_params is None


def test_a_batch_of_little_weight_is_divided_by_it_all_the_same():
    problem = linear_problem(class_weights=(0.5, 0.25))
    before, _, metrics = update({"ss": problem}, {"ss": pixels([[0, 1], [2, 2]], [1, 255])})
    total, weight, _ = cross_entropy_by_hand([[0, 1]], [1], *kernels(before), (0.5, 0.25))
    assert weight == 0.25
    assert_close(metrics["loss"], total / weight)


def test_a_batch_without_labels_moves_nothing():
    before, state, metrics = update(batches={"ss": pixels(VALUES, [255] * 6)})
    assert metrics["loss"] == metrics["gradient_norm"] == 0
    for old, new in zip(kernels(before), kernels(state.params), strict=True):
        np.testing.assert_array_equal(old, new)


def test_tasks_add_their_weighted_gradients():
    cd = linear_problem("cd", weight=0.25)
    pre, post = np.array(VALUES)[:, :1], np.array(VALUES)[:, 1:]
    labels = [1, 0, 0, 1, 255, 255]
    one = {
        name: np.asarray(v, np.uint8)[:, None, None] for name, v in (("pre", pre), ("post", post))
    }
    one["mask"] = np.asarray(labels, np.uint8)[:, None, None, None]
    before, state, metrics = update(
        {"ss": linear_problem(), "cd": cd}, {"ss": pixels(VALUES, LABELS), "cd": one}
    )
    losses, backbone, heads = [], 0, {}
    for task, weight, these in (("ss", 1.0, LABELS), ("cd", 0.25, labels)):
        total, divisor, (unet, head) = cross_entropy_by_hand(VALUES, these, *kernels(before, task))
        losses.append(total / divisor)
        backbone = backbone + weight * unet / divisor
        heads[task] = weight * head / divisor
    assert_close(metrics["loss/ss"], losses[0])
    assert_close(metrics["loss/cd"], losses[1])
    assert_close(metrics["loss"], losses[0] + 0.25 * losses[1])
    assert_close(metrics["gradient_norm"], norm(backbone, *heads.values()))
    for task, head in heads.items():
        found = kernels(state.params, task)
        assert_close(found[0], kernels(before, task)[0] - 0.5 * backbone)
        assert_close(found[1], kernels(before, task)[1] - 0.5 * head)


def test_a_frozen_backbone_stays_with_its_average_and_has_no_norm():
    tx = create_optimizer("adam", lambda count: 0.1, backbone_learning_rate_factor=0.0)
    before, state, metrics = update(
        tx=tx, use_ema=True, ema_decay=0.5, backbone_learning_rate_factor=0.0
    )
    _, weight, (_, head) = cross_entropy_by_hand(VALUES, LABELS, *kernels(before))
    assert_close(metrics["gradient_norm"], norm(head / weight))
    for tree in (state.params, state.ema_params):
        np.testing.assert_array_equal(kernels(tree)[0], kernels(before)[0])
        assert np.all(kernels(tree)[1] != kernels(before)[1])


# The decay is min(ema_decay, (1 + step) / (10 + step)).
@pytest.mark.parametrize(("at", "decay"), [(0, 0.1), (8, 0.5), (998, 0.9)])
def test_the_average_moves_by_what_its_decay_leaves(at, decay):
    before, state, _ = update(use_ema=True, ema_decay=0.9, at=at)
    for average, old, new in zip(
        kernels(state.ema_params), kernels(before), kernels(state.params), strict=True
    ):
        assert_close(average, decay * old + (1 - decay) * new)
    assert state.step == at + 1


def test_without_a_decay_the_average_is_the_parameters():
    _, state, _ = update(use_ema=True, at=998)
    for average, new in zip(kernels(state.ema_params), kernels(state.params), strict=True):
        np.testing.assert_array_equal(average, new)


@pytest.mark.parametrize(("limit", "skipped"), [(1e-3, True), (1e3, False)])
def test_an_update_that_is_left_out_moves_nothing(limit, skipped):
    options = {"max_skipped_updates": 1}
    tx = create_optimizer("adam", lambda count: 0.1, skip_above_gradient_norm=limit, **options)
    before, state, metrics = update(tx=tx, use_ema=True, ema_decay=0.9, **options)
    assert metrics["skipped"] == skipped
    assert metrics["num_skipped"] == int(skipped)
    assert state.step == 1
    for tree in (state.params, state.ema_params):
        for old, new in zip(kernels(before), kernels(tree), strict=True):
            assert np.array_equal(old, new) == skipped


def test_a_micro_batch_takes_every_so_many_th_row():
    problem = linear_problem()
    inputs = {"ss": network_inputs(pixels(VALUES, LABELS), CLEAN, KEY, problem=problem)}
    problem.model.seen.clear()
    options = {"problems": {"ss": problem}, "num_microbatches": 2, "unroll": True}
    options |= {"backbone_learning_rate_factor": 1.0}
    gradient_sums(linear_params(), inputs, {"ss": CLEAN}, **options)
    rows = [np.asarray(x)[:, 0, 0] for x, *_ in problem.model.seen]
    np.testing.assert_array_equal(rows, [np.array(VALUES[i::2]) - 1 for i in range(2)])


def times_traced(rows=6, **options):
    """How often the network is written into the program of a step."""
    problem = linear_problem()
    update({"ss": problem}, {"ss": pixels(VALUES[:rows], LABELS[:rows])}, **options)
    return len(problem.model.seen)


def test_unless_it_is_unrolled_a_program_does_not_grow_with_the_number_of_micro_batches():
    assert times_traced(num_microbatches=1) == 1
    assert times_traced(num_microbatches=2) == times_traced(num_microbatches=6)
    for num in (1, 2, 6):
        assert times_traced(num_microbatches=num, unroll_microbatches=True) == num


def test_by_default_a_batch_is_not_divided():
    assert times_traced(rows=5) == 1


@pytest.mark.parametrize(("num", "dtype"), [(1, jnp.bfloat16), (2, jnp.float32)])
def test_gradients_of_several_micro_batches_are_added_in_float32(num, dtype):
    problem = linear_problem()
    inputs = {"ss": network_inputs(pixels(VALUES, LABELS), CLEAN, KEY, problem=problem)}
    params = jax.tree.map(lambda p: p.astype(jnp.bfloat16), linear_params())
    options = {"problems": {"ss": problem}, "num_microbatches": num, "unroll": True}
    options |= {"backbone_learning_rate_factor": 1.0}
    (_, gradient, _) = gradient_sums(params, inputs, {"ss": CLEAN}, **options)["ss"]
    assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype(dtype)}


def inputs_of(batch, task="ss", process=CLEAN, key=KEY, **augmentation):
    options = Augmentation(**{"flips_and_turns": False} | augmentation)
    problem = linear_problem(task, augmentation=options)
    return network_inputs(batch, process, key, problem=problem)


def test_the_contrast_is_about_the_pixels_that_have_data():
    values = np.full((4, 2, 2, 2), 1, np.uint8)
    mask = np.zeros((4, 2, 2, 1), np.uint8)
    values[:, 1], mask[:, 1] = 2, 255  # brighter, but there is no data
    x, *_ = inputs_of({"image": values, "mask": mask}, contrast=0.9)
    np.testing.assert_allclose(x[:, 0], np.zeros((4, 2, 2)), atol=1e-6)  # they are their mean
    assert np.abs(np.asarray(x)[:, 1] - 1).max() > 0.1


def test_each_date_gets_light_of_its_own():
    image = np.ones((4, 2, 2, 2), np.uint8)
    batch = {"pre": image, "post": image, "mask": np.zeros((4, 2, 2, 1), np.uint8)}
    x, *_ = inputs_of(batch, "cd", brightness=0.5)
    assert np.all(np.abs(x[..., :2] - x[..., 2:]) > 1e-4)


def test_the_noise_of_denoising_is_what_is_mixed_in_and_asked_for():
    process = create_noise_process(jnp.array([0.64, 0.36]), gaussian=1.0)
    x_t, t, targets, _ = inputs_of(pixels(VALUES, LABELS), "denoise", process)
    signal = np.array([0.8, 0.6])[np.asarray(t)][:, None, None, None]
    noise = np.array([0.6, 0.8])[np.asarray(t)][:, None, None, None]
    x = np.array(VALUES)[:, None, None] - 1
    np.testing.assert_allclose(x_t, signal * x + noise * targets.values, atol=1e-6)
    assert len(np.unique(targets.values)) == 12
    np.testing.assert_array_equal(targets.valid[:, 0, 0], np.array(LABELS) != 255)


def test_streams_of_random_numbers_are_those_of_earlier_runs():
    """A run that is gone on from must meet the numbers it would have met."""
    assert {stream.name: stream.value for stream in Stream} == {
        "GEOMETRY": 0,
        "LIGHT": 1,
        "TIMESTEPS": 2,
        "GAUSSIAN": 3,
        "NETWORK": 4,
    }
