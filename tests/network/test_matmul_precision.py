"""The precision that a config asks for is that of every product of every step."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import thin_config
from jax.extend import core
from problems import ONE_DRAW, tiny_problem, tiny_process, tiny_tiles

from noise2map_jax.cost.abstract_step import create_abstract_step
from noise2map_jax.devices.sharding import create_mesh
from noise2map_jax.errors import UserError
from noise2map_jax.evaluation.features import features
from noise2map_jax.evaluation.sweep import sweep_step
from noise2map_jax.experiment.components import abstract_params
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.network.convolution import conv_general_dilated
from noise2map_jax.network.layers import Conv, Upsample
from noise2map_jax.network.matmul_precision import describe_precision
from noise2map_jax.steps.eval_step import denoising_eval_step, eval_step, predict_step
from noise2map_jax.training import samples

PRODUCTS = ("dot_general", "conv_general_dilated")


def products(jaxpr):
    """Precisions of all products in a traced function, whichever platform they are for."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name in PRODUCTS:
            precision = equation.params["precision"]
            found.append(precision[0].name if precision else "none")
        for value in jax.tree.leaves(
            equation.params, is_leaf=lambda v: isinstance(v, core.Jaxpr | core.ClosedJaxpr)
        ):
            if isinstance(value, core.ClosedJaxpr):
                found += products(value.jaxpr)
            elif isinstance(value, core.Jaxpr):
                found += products(value)
    return found


def traced(function, *arguments):
    return products(jax.make_jaxpr(function)(*arguments).jaxpr)


def config(precision, **model):
    """A network with everything in it: attention, resampling, both kinds of moved kernels."""
    config = thin_config.get_config()
    config.data.data_dir = "nowhere"
    config.train.num_microbatches = 2
    config.train.batch_size = 16
    config.model.unet.attention_levels = (1,)
    config.model.sample_size = 16
    config.model.matmul_precision = precision
    config.model.unet.block_out_channels = (16, 64)  # enough for the quick gradient of kernels
    config.model.update(model)
    return config


@pytest.mark.parametrize(
    ("remat", "num_devices"), [("none", 1), ("convolutions", 8), ("blocks", 1)]
)
def test_all_products_of_training_are_as_precise_as_asked(remat, num_devices):
    asked = config("highest")
    asked.train.remat = remat
    step = create_abstract_step(asked, create_mesh(devices=jax.devices()[:num_devices]))
    found = products(step.step.trace(*step.arguments).jaxpr.jaxpr)
    assert len(found) > 100
    assert set(found) == {"HIGHEST"}


@functools.cache
def traced_step(precision):
    # Resampling is of the highest precision whatever is asked for: here there is none.
    step = create_abstract_step(
        config(precision, sample_size=0), create_mesh(devices=jax.devices()[:1])
    )
    return step.step.trace(*step.arguments)


@pytest.mark.parametrize("platform", ["cpu", "tpu", "cuda"])
@pytest.mark.parametrize(
    ("precision", "lowered"), [("highest", "HIGHEST"), ("high", "HIGH"), ("default", "DEFAULT")]
)
def test_what_each_platform_is_given_says_so(precision, lowered, platform):
    # What the config says holds, not what JAX is set to.
    with jax.default_matmul_precision("highest" if precision == "default" else None):
        text = traced_step(precision).lower(lowering_platforms=(platform,)).as_text()
    lines = [line for line in text.splitlines() if re.search(r"stablehlo\.(dot_g|conv)\w+\W", line)]
    lines = [line for line in lines if "stablehlo.convert" not in line]
    assert len(lines) > 50
    found = [set(re.findall(r"\b(DEFAULT|HIGH|HIGHEST)\b", line)) for line in lines]
    assert all(precisions == {lowered} for precisions in found), lines[0]


def test_all_products_of_evaluation_and_prediction_are_as_precise_as_asked():
    problem, process = tiny_problem(matmul_precision="highest"), tiny_process()
    params = abstract_params(problem.model, {"ss": 16})
    batch = tiny_tiles() | {"index": np.arange(8)}
    denoising = tiny_problem("denoise", matmul_precision="highest")
    of_denoising = abstract_params(denoising.model, {"denoise": 16})
    x, t = jnp.zeros((2, 16, 16, 3)), jnp.zeros(2, jnp.int32)
    found = {
        "eval": traced(
            functools.partial(eval_step, problem=problem), params, batch, process, ONE_DRAW
        ),
        "predict": traced(
            functools.partial(predict_step, problem=problem), params, batch, process, ONE_DRAW
        ),
        "sweep": traced(
            functools.partial(sweep_step, problem=problem),
            params,
            batch,
            process,
            ONE_DRAW,
            jnp.arange(3),
        ),
        "denoise": traced(
            functools.partial(denoising_eval_step, problem=denoising),
            *(of_denoising, batch),
            *(tiny_process("denoise"), jnp.int32(0), jnp.int32(9)),
        ),
        "sample": traced(
            functools.partial(samples._denoise, problem=denoising),
            *(of_denoising, tiny_process("denoise"), x, t),
        ),
        "features": traced(
            lambda params, x: features(problem.model, params, x, t, ["unet/mid_block"], task="ss"),
            *(params, x),
        ),
    }
    for name, precisions in found.items():
        assert len(precisions) > 10, name
        assert set(precisions) == {"HIGHEST"}, name


@pytest.mark.parametrize("layer", [Conv(32, (3, 3), padding=1), Upsample()])
def test_a_gradient_is_as_precise_as_what_it_is_of(layer):
    x = jnp.ones((1, 8, 8, 32))
    params = layer.init(jax.random.key(0), x)

    def loss(params, x):
        with jax.default_matmul_precision("highest"):
            return layer.apply(params, x).sum()

    # The backward pass is traced when the forward pass, and what it was asked for, is over.
    assert set(traced(jax.grad(loss, argnums=(0, 1)), params, x)) == {"HIGHEST"}
    # Also where the function was traced, as a whole, before its gradient was asked for.
    assert set(traced(jax.grad(jax.jit(loss), argnums=(0, 1)), params, x)) == {"HIGHEST"}
    assert "HIGHEST" not in traced(jax.grad(lambda p: layer.apply(p, x).sum()), params)


def test_a_precision_of_a_convolution_of_its_own_holds():
    layer = Conv(32, (3, 3), padding=1, precision="high")
    x = jnp.ones((1, 8, 8, 32))
    params = layer.init(jax.random.key(0), x)
    assert layer.conv_general_dilated is conv_general_dilated
    assert set(traced(jax.grad(lambda p: layer.apply(p, x).sum()), params)) == {"HIGH"}


def test_an_unknown_precision_is_named():
    with pytest.raises(UserError, match="'float32'; expected one of default, high, highest"):
        create_model(config("float32"))


@pytest.mark.parametrize(
    ("platform", "precision", "words"),
    [
        ("cpu", "default", "multiplied in float32 ("),
        ("gpu", "default", "multiplied in TF32"),
        ("gpu", "high", "multiplied in TF32"),
        ("gpu", "highest", "multiplied in float32 ("),
        ("tpu", "default", "multiplied in bfloat16 ("),
        ("tpu", "high", "multiplied in three products of bfloat16 ("),
        ("tpu", "highest", "multiplied in float32, as six"),
    ],
)
def test_it_is_said_what_products_truly_are(platform, precision, words):
    said = describe_precision("float32", precision, platform)
    assert words in said
    assert said.endswith(f"(model.matmul_precision={precision})")
