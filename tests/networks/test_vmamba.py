import golden_networks
import jax
import jax.numpy as jnp
import pytest

from noise2map_jax.errors import UserError
from noise2map_jax.networks.torch_names import to_torch
from noise2map_jax.networks.vmamba import VMamba


def test_features_have_strides_4_to_32_and_the_authors_names():
    encoder = VMamba((4, 8, 12, 16), (1, 2, 1, 1))
    assert encoder.stride == 32
    variables = encoder.init(jax.random.key(0), jnp.zeros((1, 64, 32, 3)))
    features = encoder.apply(variables, jnp.zeros((1, 64, 32, 3)))
    assert [f.shape[1:] for f in features] == [(16, 8, 4), (8, 4, 8), (4, 2, 12), (2, 1, 16)]
    tensors = to_torch(variables)
    assert tensors["layers.1.blocks.1.op.x_proj_weight"].shape == (4, 1 + 2, 16)
    assert tensors["layers.0.downsample.1.weight"].shape == (8, 4, 3, 3)
    assert tensors["patch_embed.5.weight"].shape == (4, 2, 3, 3)
    assert tensors["layers.3.blocks.0.op.conv2d.weight"].shape == (32, 1, 3, 3)
    assert tensors["layers.2.blocks.0.mlp.fc1.weight"].shape == (48, 12)
    assert "layers.3.downsample.1.weight" not in tensors


def test_the_published_size_has_29_million_parameters():
    # That of VMamba-T (0229flex) for ImageNet: a last LayerNorm and 1,000 classes, no others.
    head, other_norms = 768 * 1000 + 1000, 2 * (96 + 192 + 384)
    number = golden_networks.count(VMamba(), (1, 32, 32, 3)) - other_norms + head
    assert number == 28_761_640


@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        (VMamba((4, 8), (1,)), "has 2 embed_dims, but 1 depths; give one number for each"),
        (VMamba((1, 8), (1, 1)), "begins with 1 embed_dims; take 2 or more"),
        (VMamba((4, 8), (1, 1), mlp_ratio=0.1), "an MLP of 0.1 x 4 channels has none; take a la"),
        (VMamba((4, 8), (1, 1), ssm_ratio=0.1), "a scan of 0.1 x 4 channels has none; take a la"),
    ],
)
def test_what_does_not_fit_is_named(encoder, words):
    with pytest.raises(UserError, match=words):
        encoder.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
