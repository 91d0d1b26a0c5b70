import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_networks import Golden, count, random_variables, shapes

from noise2map_jax.errors import UserError
from noise2map_jax.networks.resnet import ResNet
from noise2map_jax.networks.rs3mamba import RS3Mamba
from noise2map_jax.networks.torch_names import to_torch

TINY = RS3Mamba(
    3,
    ResNet(widths=(4, 4, 4, 6, 6), blocks=(1, 1, 1, 1)),
    **{"stem_width": 2, "vssm_width": 4, "vssm_depths": (1, 1, 1, 1), "state_dim": 2},
    **{"fusion_heads": 2, "decoder_dim": 4, "decoder_heads": 2, "window_size": 2},
)
SHAPE = (1, 64, 32, 5)


@pytest.mark.usefixtures("highest_precision")
def test_output_and_names_are_those_of_the_authors_code():
    golden = Golden("rs3mamba")
    names = ("stem_width", "vssm_width", "vssm_depths", "state_dim", "fusion_heads", "decoder_dim")
    names += ("decoder_heads", "window_size")
    backbone = ResNet(**golden.fields("widths", "blocks"))
    network = RS3Mamba(2, backbone, **golden.fields(*names))
    golden.check(network, atol=1e-5)
    assert count(network, golden["x"].shape) == golden.config["parameters"]


def test_the_published_size_has_the_published_number_of_parameters():
    assert count(RS3Mamba(6), (1, 64, 64, 3)) == 43_324_894  # published: 43.32 million


def test_tensors_have_the_authors_names():
    tensors = to_torch(random_variables(TINY, SHAPE))
    assert {name.split(".")[0] for name in tensors} == {
        *("backbone", "stem", "vssm_encoder", "Fuse", "decoder")
    }
    expected = {
        "backbone.layer2.0.downsample.0.weight": (4, 4, 1, 1),
        "vssm_encoder.layers.1.blocks.0.ln_1.weight": (8,),
        "vssm_encoder.layers.1.blocks.0.self_attention.in_proj.weight": (32, 8),
        "vssm_encoder.downsamples.0.reduction.weight": (8, 16),
        "Fuse.3.attn.local1.0.weight": (6, 32, 3, 3),
        "Fuse.0.attn.relative_position_bias_table": (9, 2),
        "decoder.p1.ca.3.0.weight": (4, 1, 1, 1),
        "decoder.p2.weights": (2,),
        "decoder.segmentation_head.2.0.weight": (3, 4, 1, 1),
        "stem.1.weight": (2,),
    }
    assert {name: tensors[name].shape for name in expected} == expected


@pytest.mark.parametrize("stage", range(4))
def test_scans_of_every_stage_reach_the_map(stage):
    variables = random_variables(TINY, SHAPE)
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    apply = jax.jit(TINY.apply)
    before = apply(variables, x)
    kernel = variables["params"][f"Fuse_{stage}"]["attn"]["local2_0"]["kernel"]
    variables["params"][f"Fuse_{stage}"]["attn"]["local2_0"]["kernel"] = -kernel
    assert np.abs(apply(variables, x) - before).max() > 1e-4


def test_layers_see_what_was_made_of_the_one_before():
    encoder = ResNet(widths=(2, 2, 2), blocks=(1, 1))
    x = jnp.ones((1, 16, 16, 3))
    variables = encoder.init(jax.random.key(0), x)
    numbers = []

    def nothing(number, h):
        numbers.append(number)
        return jnp.zeros_like(h)

    *_, first, second = encoder.apply(variables, x, None, nothing)
    assert numbers == [0, 1]
    assert not first.any()
    assert not second.any()
    *_, second = encoder.apply(variables, x, None, lambda n, h: h if n else jnp.zeros_like(h))
    assert not second.any()  # without biases, nothing comes of nothing


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"vssm_depths": (1, 1)}, "vssm_depths has 2 numbers; give 4, one a stage"),
        ({"backbone": ResNet((4, 4), blocks=(1,))}, r"have strides \(4,\), its scans \(4, 8, 16, "),
        ({"backbone": ResNet(strides=(1, 2, 2, 1))}, r"strides \(4, 8, 16, 16\), its scans"),
        ({"fusion_heads": 3}, "^Fuse_0/attn: 4 channels cannot have 3 equal heads; take a number"),
        ({"window_size": 3}, "^Fuse_0/attn: window_size is 3; expected an even number"),
    ],
)
def test_what_does_not_fit_is_named(fields, words):
    with pytest.raises(UserError, match=words):
        shapes(TINY.clone(**fields), (1, 64, 64, 3))
