"""Features of other networks than Noise2Map."""

import functools

import jax
import numpy as np
import pytest
import thin_rivals
from finished_runs import random_params
from thin_rivals import config_of

from noise2map_jax.errors import UserError
from noise2map_jax.evaluation.features import features, layer_names
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.network.statistics import variables

OPTIONS = {"xla_backend_optimization_level": 0}
T = np.zeros(2, np.int32)


def network(name):
    model = create_model(config_of(name))
    params = random_params(model, 64)
    positive = jax.tree.map(np.abs, params["batch_stats"])  # variances are
    return model, params | {"batch_stats": positive}


def image(bands=3):
    return np.random.default_rng(0).normal(size=(2, 64, 64, bands)).astype(np.float32)


def compute(model, params, x, layers, **options):
    call = functools.partial(features, model, layers=layers, task=model.heads[0].task, **options)
    return jax.jit(call, compiler_options=OPTIONS)(params, x, T)


def test_statistics_are_used_and_the_deepest_map_stands_for_the_encoder():
    model, params = network("unet")
    layers = ("encoder/bn1", "encoder/conv1", "encoder", "encoder/layer4_0", "segmentation_head_0")
    found = compute(model, params, image(), layers, pooled=False)
    norm, statistics = params["encoder"]["bn1"], params["batch_stats"]["encoder"]["bn1"]
    before = np.asarray(found["encoder/conv1"])
    expected = (before - statistics["mean"]) / np.sqrt(statistics["var"] + 1e-5)
    expected = expected * norm["scale"] + norm["bias"]
    np.testing.assert_allclose(found["encoder/bn1"], expected, atol=1e-4)
    assert found["encoder"].shape == (2, 2, 2, 24)
    np.testing.assert_array_equal(found["encoder"], found["encoder/layer4_0"])
    apply = jax.jit(functools.partial(model.apply, task="ss"), compiler_options=OPTIONS)
    logits = apply(variables(params), image(), T)
    np.testing.assert_allclose(found["segmentation_head_0"], logits, atol=1e-5)


SHORT = ("rs3mamba", "changemamba", "dpt")


@pytest.mark.parametrize(
    "name",
    [n if n in SHORT else pytest.param(n, marks=pytest.mark.long) for n in thin_rivals.OPTIONS],
)
def test_layers_of_every_network_have_the_rows_of_the_images(name):
    config = config_of(name)
    config.model.unet.block_out_channels = (8, 8)  # the denoiser of ddpmcd
    model = create_model(config)
    (head,) = model.heads
    x = np.zeros((3, 64, 64, head.num_inputs), np.float32)
    names = layer_names(model, x.shape, task=head.task)
    assert len(names) > 10
    call = functools.partial(features, model, layers=names, task=head.task, pooled=False)
    found = jax.eval_shape(call, random_params(model, 64), x, np.zeros(3, np.int32))
    rows = {name: array.shape[0] for name, array in found.items()}
    # Of pairs, dates (and timesteps of a denoiser) follow one another.
    wrong = {name for name, n in rows.items() if (n % 3 if head.task == "cd" else n != 3)}
    assert wrong == set()


def test_names_are_those_of_the_parameters():
    model, params = network("unet")
    names = layer_names(model, (2, 64, 64, 3), task="ss")
    paths = {"/".join(p[:-1]) for p in _paths({k: v for k, v in params.items() if "_s" not in k})}
    assert paths | {"segmentation_head_0", "encoder"} <= set(names) | {"batch_stats"}
    with pytest.raises(UserError, match="no layer 'encoder/layer5_0'; did you mean encoder/layer"):
        compute(model, params, image(), ("encoder/layer5_0",))


def _paths(tree, prefix=()):
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _paths(value, (*prefix, name))
        else:
            yield (*prefix, name)


def test_a_transformer_gives_its_map_without_the_class_token():
    model, params = network("dpt")
    found = compute(model, params, image(), ("encoder/model", "encoder/model/blocks_3"))
    assert found["encoder/model"].shape == (2, 24)
    pooled = compute(model, params, image(), ("encoder/model/blocks_3",), pooled=False)
    tokens = pooled["encoder/model/blocks_3"]
    assert tokens.shape == (2, 1 + 16, 24)
    np.testing.assert_allclose(found["encoder/model"], tokens[:, 1:].mean(1), atol=1e-5)


def test_layers_that_see_dates_apart_have_rows_of_both():
    model, params = network("fc_siam_diff")
    x = image(6)
    found = compute(model, params, x, ("encoder",))["encoder"]
    assert found.shape == (4, 24)
    swapped = np.concatenate([x[..., 3:], x[..., :3]], -1)
    again = compute(model, params, swapped, ("encoder",))["encoder"]
    np.testing.assert_allclose(again, np.concatenate([found[2:], found[:2]]), rtol=1e-4, atol=1e-4)


def test_layers_that_are_called_date_by_date_have_rows_of_both():
    model, params = network("changeformer")
    layers = ("Tenc_x2", "TDec_x2/linear_c4")  # one call, and two
    call = functools.partial(features, model, layers=layers, task="cd")
    found = jax.eval_shape(call, params, image(6), T)
    assert {name: value.shape for name, value in found.items()} == {
        "Tenc_x2": (4, 32),
        "TDec_x2/linear_c4": (4, 12),
    }
