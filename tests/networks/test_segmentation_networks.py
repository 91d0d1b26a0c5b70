"""What all networks for single images have in common, with thin ones."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from golden_networks import random_variables, shapes
from jax.sharding import Mesh, PartitionSpec

from noise2map_jax.errors import UserError
from noise2map_jax.networks.deeplabv3 import DeepLabV3
from noise2map_jax.networks.deeplabv3plus import DeepLabV3Plus
from noise2map_jax.networks.dpt import DPT
from noise2map_jax.networks.mit import MiT
from noise2map_jax.networks.pspnet import PSPNet
from noise2map_jax.networks.resnet import ResNet
from noise2map_jax.networks.rs3mamba import RS3Mamba
from noise2map_jax.networks.segformer import SegFormer
from noise2map_jax.networks.training import Training
from noise2map_jax.networks.unet import UNet
from noise2map_jax.networks.unetplusplus import UNetPlusPlus
from noise2map_jax.networks.upernet import UPerNet
from noise2map_jax.networks.vit import ViT, ViTEncoder

# Two layers or stages: what is compared with other code has all.
RESNET = ResNet(widths=(4, 8, 16), blocks=(1, 1), bottleneck=True)
MIT = MiT(embed_dims=(4, 8), depths=(1, 1), num_heads=(1, 2))
VIT = ViT(embed_dim=6, depth=2, num_heads=2, img_size=(32, 32), output_indices=(0, 1))
CHANNELS = (8, 6, 4)
NETWORKS = {
    "unet": UNet(3, RESNET, CHANNELS),
    "unetplusplus": UNetPlusPlus(3, RESNET, CHANNELS),
    "deeplabv3": DeepLabV3(3, RESNET, 4),
    "deeplabv3plus": DeepLabV3Plus(3, RESNET, 4, 4),
    "pspnet": PSPNet(3, RESNET, 8, sizes=(1, 2)),
    "upernet": UPerNet(3, RESNET, 4),
    "segformer": SegFormer(3, MIT, 4),
    "dpt": DPT(3, ViTEncoder(VIT), intermediate_channels=(4, 4), fusion_channels=4),
    "rs3mamba": RS3Mamba(
        3,
        ResNet(widths=(4, 4, 4, 6, 6), blocks=(1, 1, 1, 1)),
        **{"stem_width": 2, "vssm_width": 4, "vssm_depths": (1, 1, 1, 1), "state_dim": 2},
        **{"fusion_heads": 2, "decoder_dim": 48, "decoder_heads": 2, "window_size": 2},
    ),
}
OTHERS = {  # encoders under decoders that were published with others
    "unet_mit": UNet(3, MIT, CHANNELS),
    "unetplusplus_mit": UNetPlusPlus(3, MIT, CHANNELS),
    "deeplabv3plus_mit": DeepLabV3Plus(3, MIT, 4, 4),
    "pspnet_mit": PSPNet(3, MIT, 8),
    "upernet_mit": UPerNet(3, MIT, 4),
    "segformer_resnet": SegFormer(3, RESNET, 4),
}
ALL = NETWORKS | OTHERS
SHAPE = (2, 64, 32, 5)  # five bands, not square


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


def training(rows, **fields):
    return Training(jax.random.split(jax.random.key(7), rows), **fields)


@pytest.mark.parametrize("name", ALL)
def test_shapes(name):
    network = ALL[name]
    variables = shapes(network, SHAPE)
    apply = functools.partial(network.apply, mutable=["batch_stats"])
    images = jax.ShapeDtypeStruct(SHAPE, np.float32)
    y, stats = jax.eval_shape(apply, variables, images, training(2))
    assert (y.shape, y.dtype) == ((2, 64, 32, 3), np.float32)
    assert stats["batch_stats"] == variables["batch_stats"]
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("name", ALL)
def test_outputs_change_the_last_layers_alone(name):
    network = ALL[name]
    one, other = (
        flatten_dict(shapes(network.clone(num_classes=n), SHAPE)["params"], sep="/") for n in (3, 7)
    )
    changed = {path for path in one if one[path] != other[path]}
    assert len({path.rpartition("/")[0] for path in changed}) == 1
    assert all("segmentation_head" in path for path in changed)


@pytest.mark.parametrize("name", ALL)
def test_wrong_sizes(name):
    network = ALL[name]
    size = network.stride + 2
    message = f"multiples of {network.stride} pixels, not 64 x {size}: use .* columns"
    with pytest.raises(UserError, match=message):
        shapes(network, (2, 64, size, 5))


@pytest.mark.parametrize("name", ["unet", "unetplusplus"])
def test_decoders_have_a_block_for_each_feature(name):
    network = NETWORKS[name].clone(decoder_channels=(8, 6))
    message = "decoder_channels has 2 numbers and the encoder 3 features"
    with pytest.raises(UserError, match=message):
        shapes(network, SHAPE)


def check_training_step(network, x):
    """Gradients of all parameters, finite; statistics move."""
    variables = random_variables(network, x.shape)

    @jax.jit
    def step(variables):
        def loss(params):
            both = {"params": params, "batch_stats": variables["batch_stats"]}
            y, changed = network.apply(both, x, training(2), mutable=["batch_stats"])
            return (y * jnp.asarray(x[..., :3])).mean(), (y, changed["batch_stats"])

        return jax.grad(loss, has_aux=True)(variables["params"])

    gradients, (y, stats) = step(variables)
    assert y.dtype == np.float32
    assert np.isfinite(y).all()
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.isfinite(gradient).all(), jax.tree_util.keystr(path)
        assert np.any(gradient != 0), jax.tree_util.keystr(path)
    moved = jax.tree.map(lambda a, b: np.any(a != b), variables["batch_stats"], stats)
    assert all(jax.tree.leaves(moved)), moved


@pytest.mark.parametrize("name", ["deeplabv3plus", "segformer", "dpt"])
def test_a_training_step(name, x):
    check_training_step(NETWORKS[name], x)


@pytest.mark.long
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_training_step_of_all(name, dtype, x):
    check_training_step(NETWORKS[name].clone(dtype=jnp.dtype(dtype)), x)


def test_bfloat16_is_near_float32(x):
    network = NETWORKS["deeplabv3"]
    variables = random_variables(network, x.shape)
    logits = [
        jax.jit(network.clone(dtype=dtype).apply)(variables, x)
        for dtype in (jnp.float32, jnp.bfloat16)
    ]
    assert logits[1].dtype == np.float32
    difference = np.abs(logits[0] - logits[1])
    assert 0 < difference.mean() < 0.05 * np.std(logits[0])


def test_eight_devices_give_the_numbers_of_one():
    """With batch normalisation and dropout."""
    network = PSPNet(3, RESNET.cut(2), 8)
    x = np.random.default_rng(1).normal(size=(8, 32, 32, 3)).astype(np.float32)
    variables = random_variables(network, x.shape)

    def step(x, row_keys, params, *, axes):
        def loss(params):
            both = {"params": params, "batch_stats": variables["batch_stats"]}
            context = Training(row_keys, axes=axes)
            y, changed = network.apply(both, x, context, mutable=["batch_stats"])
            return (y * jnp.asarray(x)).sum() / 8, (y, changed["batch_stats"])

        gradients, (y, stats) = jax.grad(loss, has_aux=True)(params)
        return y, stats, jax.lax.psum(gradients, axes) if axes else gradients

    keys = jax.random.split(jax.random.key(1), 8)
    one = jax.jit(functools.partial(step, axes=()))(x, keys, variables["params"])
    axes = ("data", "fsdp")
    rows, everywhere = PartitionSpec(axes), PartitionSpec()
    spread = jax.shard_map(
        functools.partial(step, axes=axes),
        mesh=Mesh(np.array(jax.devices()[:8]).reshape(4, 2), axes),
        in_specs=(rows, rows, everywhere),
        out_specs=(rows, everywhere, everywhere),
        check_vma=False,
    )
    eight = jax.jit(spread)(x, keys, variables["params"])
    for ours, expected in zip(eight[:2], one[:2], strict=True):
        jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-5), ours, expected)
    # Some gradients are differences of large sums, so the largest sets the scale.
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(one))
    largest = max(np.abs(leaf).max() for leaf in jax.tree.leaves(one[2]))
    close = functools.partial(np.testing.assert_allclose, atol=1e-5 * largest)
    jax.tree.map(close, eight[2], one[2])


@pytest.mark.parametrize("name", ["deeplabv3plus", "upernet"])
def test_one_image_has_no_statistics_of_its_mean(name):
    network = NETWORKS[name]
    variables = shapes(network, (1, 64, 64, 3))
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), np.float32)
    apply = functools.partial(network.apply, mutable=["batch_stats"])
    with pytest.raises(UserError, match=r"batch norm decoder/.*: the batch has 1 value"):
        jax.eval_shape(apply, variables, images, training(1))
    jax.eval_shape(apply, variables, images, training(1, frozen_statistics=True))
