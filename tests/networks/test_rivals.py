import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import default, rivals_base
from noise2map_jax.cost.abstract_step import create_abstract_step
from noise2map_jax.devices.sharding import create_mesh
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.network.interface import init_params
from noise2map_jax.network.statistics import variables
from noise2map_jax.networks.rival import IMAGENET
from noise2map_jax.networks.rivals import RIVALS

SMALL = '{"decoder_channels":[8,8,8,8,8],"encoder":{"widths":[8,8,8,8,8],"blocks":[1,1,1,1]}}'


def config_of(name, task=None, **fields):
    config = default.get_config()
    config.task = task or RIVALS[name].tasks[0]
    config.data.tile_size = 64
    config.model.name = name
    config.train.num_steps = 2
    if config.task == "cd":
        config.data.classes = ("no_change", "change")
    for field, value in fields.items():
        config.model[field] = value
    return config


SHORT = ("dpt", "bit", "changeformer")  # others are traced by tests of their own
THIN = [n if n in SHORT else pytest.param(n, marks=pytest.mark.long) for n in rivals_base.THIN]


@pytest.mark.parametrize("name", THIN)
def test_every_thin_rival_can_be_trained(name):
    config = config_of(name)
    options = rivals_base.variant(name, thin=True).split("model.options=")[1]
    config.model.options = options
    step = create_abstract_step(config, create_mesh(1, jax.devices()[:1]))
    state, metrics = jax.eval_shape(step.step, *step.arguments)
    assert metrics["loss"].shape == ()
    assert jax.tree.structure(state) == jax.tree.structure(step.state)


def test_every_rival_has_a_thin_shape_or_is_like_one_that_has():
    assert set(RIVALS) - set(rivals_base.THIN) == {
        *("deeplabv3", "ddpmcd", "fc_ef_original", "fc_siam_conc_original", "fc_siam_diff_original")
    }


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("unett", {}, "unknown model.name 'unett'; expected one of noise2map, unet, unetplusplus"),
        ("unet", {"encoder": "vgg16"}, "model.encoder is 'vgg16'; unet has one of resnet18"),
        ("unetplusplus", {"encoder": "mit_b0"}, "unetplusplus has one of resnet18, resnet34, resn"),
        ("bit", {"encoder": "resnet50"}, "'bit' has an encoder of its own"),
        ("ddpmcd", {"encoder": "resnet18"}, "'ddpmcd' has an encoder of its own"),
        ("ddpmcd", {"options": '{"timesteps":[true]}'}, "expected some of 0 to 999"),
        ("ddpmcd", {"unet": {"in_channels": 4}}, "has 4 inputs and 3 outputs for 3 bands; set mo"),
        ("unet", {"options": "{"}, "not JSON"),
        ("unet", {"options": "[1]"}, "expected fields"),
        ("unet", {"options": '{"encoder":{},"encoder":{}}'}, "^model.options has encoder twice"),
        ("unet", {"options": '{"depth":3}'}, "unet has no depth; it has encoder, decoder_channels"),
        ("unet", {"options": '{"encoder":{"depth":3}}'}, "unet's encoder has no depth; it has wid"),
        ("unet", {"options": '{"encoder":3}'}, "unet's encoder is 3; expected fields"),
        ("fc_siam_diff", {"options": '{"fusion":"conc"}'}, "fc_siam_diff has no fusion"),
        ("unet", {"scaling": "half"}, "unknown model.scaling 'half'; expected one of plain"),
        ("unet", {"dtype": "float16"}, "unknown model.dtype 'float16'"),
    ],
)
def test_what_does_not_exist_is_named(name, fields, words):
    config = config_of(name if name in RIVALS else "unet")
    config.model.name = name
    config.model.update(fields)
    with pytest.raises(UserError, match=words.replace("(", r"\(")):
        create_model(config)


@pytest.mark.parametrize(
    ("field", "value"),
    [("encoder", "resnet18"), ("options", "{}"), ("scaling", "imagenet"), ("noised_input", True)],
)
def test_a_field_that_noise2map_does_not_have_is_refused(field, value):
    with pytest.raises(UserError, match=f"model.{field} is .*, which noise2map does not have"):
        create_model(config_of("noise2map", "ss", **{field: value}))


def test_statistics_that_noise2map_does_not_have_cannot_be_frozen():
    config = config_of("noise2map", "ss")
    config.train.frozen_statistics = True
    with pytest.raises(UserError, match="noise2map has no batch normalisation"):
        create_model(config)


def test_a_learning_rate_of_no_backbone_is_refused():
    config = config_of("fc_ef_original")
    config.train.backbone_learning_rate_factor = 0.1
    with pytest.raises(
        UserError, match=r"factor is 0\.1, but no part of model\.name 'fc_ef_original'"
    ):
        create_model(config)


def test_weight_decay_does_not_reach_a_frozen_denoiser():
    config = config_of("ddpmcd")
    config.train.optimizer, config.train.weight_decay = "adamw", 0.01
    with pytest.raises(UserError, match=r"weight_decay is 0\.01, which would shrink the frozen"):
        create_model(config)
    config.train.backbone_learning_rate_factor = 0.0
    assert create_model(config).stride == 32


def test_a_rival_computes_nothing_again():
    config = config_of("unet")
    config.train.remat = "blocks"
    with pytest.raises(UserError, match=r"train\.remat is 'blocks', but model\.name 'unet'"):
        create_model(config)


@pytest.mark.parametrize(("name", "task"), [("unet", "cd"), ("bit", "ss"), ("bit", "denoise")])
def test_a_network_of_another_task_is_refused_with_those_that_fit(name, task):
    fitting = "noise2map, fc_ef" if task == "cd" else "noise2map, unet"
    with pytest.raises(UserError, match=f"not '{task}'; for that there are {fitting}"):
        create_model(config_of(name, task))


@pytest.mark.parametrize("bands", [4, 6])  # six are two dates of three only in a pair
def test_scaling_of_imagenet_is_for_three_bands(bands):
    config = config_of("unet", scaling="imagenet")
    config.data.num_bands = bands
    with pytest.raises(UserError, match=f"is of three bands, but an image has {bands}; use plain"):
        create_model(config)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        (
            "unet",
            '{"encoder":{"blocks":[1,1,1,1,1],"widths":[4,4,4,4,4,4]}}',
            "has 4 strides; give",
        ),
        (
            "unet",
            '{"encoder":{"blocks":[1,1,1,1],"strides":[1,2,2,1]}}',
            "have 32, 16, 8, 4, 4 rows",
        ),
        (
            "pspnet",
            '{"encoder":{"blocks":[1,1],"widths":[2,2,2]}}',
            "last 2 channels among 4 sizes",
        ),
        ("dpt", '{"encoder":{"model":{"depth":2}}}', "outputs of blocks -1, 0, 0, 1 of 2, from 0"),
        ("segformer", '{"encoder":{"embed_dims":[8,8]}}', "a MiT has 2 embed_dims, but 4 depths"),
        ("changeformer", '{"depths":[1,1,1]}', "a MiT has 4 embed_dims, but 3 depths"),
        ("elgcnet", '{"depths":[1]}', "depths has 1 numbers and enc_channels 4"),
        ("fc_ef_original", '{"widths":[4]}', "widths has 1 numbers and convolutions 4"),
    ],
)
def test_numbers_that_do_not_fit_together_are_named(name, options, words):
    model = create_model(config_of(name, options=options))
    with pytest.raises(UserError, match=words):
        jax.eval_shape(lambda key: init_params(model, key, 64), jax.random.key(0))


def test_an_encoder_is_cut_to_the_layers_that_the_network_uses():
    network = create_model(config_of("pspnet", encoder="mit_b0")).network
    # Keys of the first stage are reduced by eight, at stride four.
    assert (network.encoder.embed_dims, network.stride) == ((32, 64), 32)


@pytest.mark.parametrize("name", ["unet", "fc_ef"])
def test_scaling_of_imagenet_is_inside(name):
    plain, scaled = (
        create_model(config_of(name, options=SMALL, scaling=scaling))
        for scaling in ("plain", "imagenet")
    )
    params = jax.jit(init_params, static_argnums=(0, 2))(plain, jax.random.key(0), 32)
    bands = plain.heads[0].num_inputs
    x = jax.random.uniform(jax.random.key(1), (2, 32, 32, bands), minval=-1)
    call = {"timesteps": jnp.zeros(2, jnp.int32), "task": plain.heads[0].task}
    mean, deviation = (np.tile(row, (1, 1, 1, bands // 3)) for row in IMAGENET)
    outside = plain.apply(variables(params), ((x + 1) / 2 - mean) / deviation, **call)
    inside = scaled.apply(variables(params), x, **call)
    np.testing.assert_allclose(inside, outside, rtol=1e-5, atol=1e-5)


def test_a_tile_that_does_not_fit_is_refused_with_the_sizes_that_do():
    model = create_model(config_of("unet", options=SMALL))
    with pytest.raises(UserError, match="not 40 x 64: use 32 or 64 rows"):
        jax.eval_shape(
            lambda x: model.init(jax.random.key(0), x, jnp.zeros(1, jnp.int32), task="ss"),
            jax.ShapeDtypeStruct((1, 40, 64, 3), jnp.float32),
        )
