"""What holds for every network for pairs."""

import functools

import golden_networks
import jax
import jax.numpy as jnp
import numpy as np
import pair_networks
import pytest
from flax import traverse_util

from noise2map_jax.errors import UserError
from noise2map_jax.networks import fc_original, fc_siam
from noise2map_jax.networks.bit import BIT
from noise2map_jax.networks.changeformer import ChangeFormer
from noise2map_jax.networks.changemamba import ChangeMamba
from noise2map_jax.networks.elgcnet import ELGCNet
from noise2map_jax.networks.fc_original import FCOriginal
from noise2map_jax.networks.fc_siam import FCSiam
from noise2map_jax.networks.mit import MITS
from noise2map_jax.networks.resnet import RESNETS, ResNet
from noise2map_jax.networks.torch_names import to_torch
from noise2map_jax.networks.training import Training
from noise2map_jax.networks.unet import UNet

NAMES = (
    *("fcef_resnet", "fcsiamconc_resnet", "fcsiamdiff_resnet", "fcsiamdiff_original"),
    *("bit", "elgcnet", "changemamba"),  # ChangeFormer is in a file of its own
)
TINY = {
    "fc_original": FCOriginal(2, "conc", widths=(4, 6), convolutions=(1, 2), dropout_rate=0.5),
    "fc_siam": FCSiam(2, "conc", ResNet((4, 4), blocks=(1,)), decoder_channels=(6, 4)),
    "bit": BIT(
        2,
        ResNet((4, 4), blocks=(1,)),
        **{"dim": 8, "tokens": 2, "heads": 2, "encoder_head_dim": 4, "mlp_dim": 8},
        **{"decoder_depth": 1, "decoder_head_dim": 2},
    ),
    "changeformer": ChangeFormer(
        2,
        **{"depths": (1,), "embed_dims": (4,), "num_heads": (2,), "mlp_ratios": (2,)},
        **{"sr_ratios": (2,), "patch_sizes": (7,), "decoder_dim": 4},
    ),
    "changemamba": ChangeMamba(2, (4, 6), (1, 1), mlp_ratio=1.0, decoder_dim=4),
    "elgcnet": ELGCNet(2, depths=(1,), enc_channels=(8,), dec_embed_dim=4),
}
LONG = functools.partial(pytest.param, marks=pytest.mark.long)
# A loss on the last output does not reach ChangeFormer's side outputs.
UNREACHED = "TDec_x2/make_pred_"


def draw(network, batch):
    """Parameters and statistics, and a batch of pairs of nearly the smallest size."""
    x = jax.random.normal(jax.random.key(1), (batch, 2 * network.stride, network.stride, 6))
    shapes = golden_networks.shapes(network, x.shape)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda s: rng.uniform(0.1, 0.4, s.shape).astype(np.float32), shapes)
    signs = jax.tree.map(lambda s: rng.choice([-1, 1], s.shape).astype(np.float32), shapes)
    variables["params"] = jax.tree.map(jnp.multiply, variables["params"], signs["params"])
    return variables, x


def step(network, variables, x, training):
    """The loss of a batch, the gradients of the mean, and the new statistics."""

    def loss(params):
        given = variables | {"params": params}
        y, new = network.apply(given, x, training, mutable=["batch_stats"])
        # Sums over rows can be added over devices; a mean of means would hide other weights.
        return jnp.square(y - jnp.roll(x[..., :2], 1, axis=1)).mean((1, 2, 3)).sum(), new

    (value, new), gradient = jax.value_and_grad(loss, has_aux=True)(variables["params"])
    return value, gradient, new["batch_stats"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("highest_precision")
def test_output_and_names_are_those_of_the_published_code(name):
    golden = golden_networks.Golden(name)
    network = getattr(pair_networks, name)(golden)
    variables = golden.variables(network)
    y = jax.jit(network.apply)(variables, golden["x"])
    np.testing.assert_allclose(y, golden["y"], rtol=0, atol=1e-4)
    for path, tensor in to_torch(variables).items():
        np.testing.assert_array_equal(tensor, golden.tensors[path], err_msg=path)
    assert golden_networks.count(network, golden["x"].shape) == golden.config["parameters"]


@pytest.mark.parametrize(
    ("network", "number"),
    [
        (UNet(2, RESNETS["resnet18"]), 14_337_762),
        (UNet(2, RESNETS["resnet50"]), 32_530_658),
        (FCSiam(2, "conc", RESNETS["resnet18"]), 16_300_578),
        (FCSiam(2, "conc", RESNETS["resnet34"]), 26_408_738),
        (FCSiam(2, "conc", RESNETS["resnet50"]), 40_354_850),
        (FCSiam(2, "diff", RESNETS["resnet18"]), 14_328_354),
        (FCSiam(2, "diff", RESNETS["resnet50"]), 32_521_250),
        (FCOriginal(2, "early"), 1_350_578),
        (FCOriginal(2, "conc"), 1_545_986),
        (FCOriginal(2, "diff"), 1_350_146),
        (BIT(2), 3_495_778),
        (BIT(2, decoder_depth=1), 3_006_562),
        (ChangeFormer(2), 41_026_674),
        (ELGCNet(2), 10_574_338),
    ],
)
def test_published_sizes_have_the_published_numbers_of_parameters(network, number):
    assert golden_networks.count(network, (1, 64, 64, 6)) == number


@functools.cache
def one_step(name):
    """A step of eight rows on one device."""
    variables, x = draw(TINY[name], 8)
    keys = jax.random.split(jax.random.key(2), 8)
    take = functools.partial(step, TINY[name])
    return variables, x, keys, jax.jit(take)(variables, x, Training(keys))


@pytest.mark.parametrize("name", TINY)
def test_a_training_step_reaches_every_layer(name):
    variables, *_, (value, gradient, statistics) = one_step(name)
    assert np.isfinite(value)
    for path, leaf in traverse_util.flatten_dict(gradient, sep="/").items():
        assert np.isfinite(leaf).all(), path
        if not path.endswith("bias"):  # before batch normalisation, a bias changes nothing
            assert bool(np.any(leaf)) != path.startswith(UNREACHED), path
    moved = jax.tree.map(lambda a, b: np.all(a != b), statistics, variables["batch_stats"])
    assert all(jax.tree.leaves(moved))


@pytest.mark.parametrize("name", ["fc_original", "changemamba", LONG("changeformer")])
def test_eight_devices_give_what_one_gives(name):
    variables, x, keys, expected = one_step(name)
    take = functools.partial(step, TINY[name])

    def on_device(variables, x, keys):
        value, gradient, statistics = take(variables, x, Training(keys, axes=("data",)))
        return *jax.lax.psum((value, gradient), "data"), statistics

    P = jax.sharding.PartitionSpec
    on_devices = jax.shard_map(
        on_device,
        mesh=jax.sharding.Mesh(jax.devices(), ("data",)),
        in_specs=(P(), P("data"), P("data")),
        out_specs=P(),
        check_vma=False,
    )
    actual = jax.jit(on_devices)(variables, x, keys)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * max(np.abs(b).max(), 1))


@pytest.mark.parametrize(
    "name",
    ["fc_original", "bit", "changemamba", LONG("elgcnet"), LONG("fc_siam"), LONG("changeformer")],
)
def test_bfloat16_output_is_float32_and_close(name):
    network = TINY[name]
    variables, x = draw(network, 1)
    expected = jax.jit(network.apply)(variables, x)
    y = jax.jit(network.clone(dtype=jnp.bfloat16).apply)(variables, x)
    assert y.dtype == jnp.float32
    # 8 significant bits: per cent of the signal through all layers.
    error = np.sqrt(np.mean(np.square(y - expected)) / np.mean(np.square(expected)))
    assert 1e-4 < error < 0.05


@pytest.mark.parametrize("name", TINY)
def test_tiles_of_a_wrong_size_and_single_images_are_refused(name):
    network = TINY[name]
    side = network.stride
    with pytest.raises(UserError, match=f"not {2 * side} x {side + 2}: use {side} or {2 * side} c"):
        golden_networks.shapes(network, (1, 2 * side, side + 2, 6))
    with pytest.raises(UserError, match="got 3 channels; expected the bands of two dates"):
        golden_networks.shapes(network, (1, side, side, 3))


def test_other_numbers_of_bands_and_classes_and_other_encoders_fit():
    encoder = MITS["mit_b0"].clone(depths=(1, 1, 1, 1))
    network = FCSiam(5, "conc", encoder)
    x = jax.ShapeDtypeStruct((1, 64, 32, 8), np.float32)
    y, variables = jax.eval_shape(network.init_with_output, jax.random.key(0), x)
    assert y.shape == (1, 64, 32, 5)
    assert variables["params"]["encoder"]["patch_embed1"]["proj"]["kernel"].shape == (7, 7, 4, 32)


def test_unknown_options_are_refused():
    for network in (FCSiam(2, "sum"), FCOriginal(2, "sum")):
        with pytest.raises(UserError, match=r"fusion is 'sum'; expected one of .*'conc', 'diff'"):
            golden_networks.shapes(network, (1, 64, 64, 6))
    with pytest.raises(UserError, match="enc_channels has 6; expected multiples of 4"):
        golden_networks.shapes(ELGCNet(2, enc_channels=(4, 6, 8, 8)), (1, 64, 64, 6))
    with pytest.raises(UserError, match="heads is 3; expected 4 or more"):
        golden_networks.shapes(ELGCNet(2, heads=3), (1, 64, 64, 6))


def test_the_original_concatenates_the_earlier_date_first_and_torchgeo_the_later():
    pre, post = jnp.zeros((1, 2, 2, 1)), jnp.ones((1, 2, 2, 1))
    np.testing.assert_array_equal(fc_original.FUSIONS["conc"](pre, post)[0, 0, 0], [0, 1])
    np.testing.assert_array_equal(fc_siam.FUSIONS["conc"](pre, post)[0, 0, 0], [1, 0])
