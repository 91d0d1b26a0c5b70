import dataclasses

import flax.linen as nn
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import programs
import pytest
from hypothesis import strategies as st

from noise2map_jax.errors import UserError
from noise2map_jax.network.layers import GroupNorm
from noise2map_jax.network.normalization import group_norm
from noise2map_jax.network.unet import UNet, UNetConfig, block_types, timestep_embedding
from noise2map_jax.weights import load_diffusers

GOLDEN = programs.ROOT / "tests" / "golden"
pytestmark = pytest.mark.usefixtures("highest_precision")  # golden values are of float32
FAMILIES = ("church_thin", "default_thin")
TINY = UNetConfig(
    block_out_channels=(8, 16),
    down_block_types=("DownBlock2D", "AttnDownBlock2D"),
    up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    layers_per_block=1,
    norm_num_groups=4,
)


def nhwc(x):
    return np.moveaxis(x, 1, -1)


def relative(actual, expected):
    return np.abs(np.asarray(actual) - expected).max() / np.abs(expected).max()


def quick_jit(function):
    """Compile with little optimisation: compiling costs more than running here."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def randomised(unet, key=0, size=16):
    """Every parameter away from its initial value, so that no term is hidden by a zero."""
    image = jnp.zeros((1, size, size, unet.config.in_channels))
    shapes = jax.eval_shape(unet.init, jax.random.key(0), image, jnp.ones(1))["params"]
    rng = np.random.default_rng(key)
    return jax.tree.map(lambda s: rng.normal(0, 0.2, s.shape).astype(np.float32), shapes)


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    folder = GOLDEN / request.param
    forward, gradient = np.load(folder / "forward.npz"), np.load(folder / "gradient.npz")
    return *load_diffusers(folder), dict(forward), dict(gradient)


def test_output_and_gradients_are_those_of_diffusers(family):
    unet, params, forward, gradient = family

    def loss(params, x):
        y = unet.apply({"params": params}, x, forward["timesteps"])
        return jnp.square(y).mean(), y

    step = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    (_, y), (dparams, dx) = quick_jit(step)(params, nhwc(forward["x"]))
    np.testing.assert_allclose(y, nhwc(forward["y"]), rtol=0, atol=2e-5)  # norm_eps shows in 9e-5
    assert relative(dx, nhwc(gradient["dx"])) < 1e-3
    dconv_in = np.transpose(dparams["conv_in"]["kernel"], (3, 2, 0, 1))
    assert relative(dconv_in, gradient["dconv_in"]) < 1e-3
    assert relative(dparams["time_embedding"]["linear_1"]["kernel"].T, gradient["dtime"]) < 1e-3


def test_bfloat16_output_is_float32_and_close():
    unet, params = load_diffusers(GOLDEN / "default_thin")
    forward = np.load(GOLDEN / "default_thin" / "forward.npz")
    x, timesteps = nhwc(forward["x"]), forward["timesteps"]
    half = UNet(unet.config, dtype=jnp.bfloat16)
    y = quick_jit(half.apply)({"params": params}, x, timesteps)
    assert y.dtype == jnp.float32
    reference = nhwc(forward["y"])
    # 8 significant bits through some 50 layers: per cent of the signal, not more.
    error = np.sqrt(np.mean(np.square(y - reference)) / np.mean(np.square(reference)))
    assert 1e-5 < error < 0.03


def test_full_backbone_has_the_parameters_of_ddpm_church_256():
    channels = (128, 128, 256, 256, 512, 512)
    down, up = block_types(channels, [4])
    assert down.index("AttnDownBlock2D") == 4
    assert up.index("AttnUpBlock2D") == 1
    config = UNetConfig(
        block_out_channels=channels,
        down_block_types=down,
        up_block_types=up,
        attention_head_dim=None,
    )
    variables = jax.eval_shape(
        UNet(config).init, jax.random.key(0), jnp.zeros((1, 32, 32, 3)), jnp.zeros(1)
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == 113_673_219


def test_parameters_have_their_own_type():
    unet = UNet(TINY, dtype=jnp.float32, param_dtype=jnp.bfloat16)
    variables = jax.eval_shape(unet.init, jax.random.key(0), jnp.zeros((1, 4, 4, 3)), jnp.ones(1))
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.bfloat16)}


def test_center_input_sample_maps_0_to_1_onto_minus_1_to_1():
    unet = UNet(TINY)
    apply = quick_jit(unet.apply)
    params = {"params": randomised(unet)}
    x = np.random.default_rng(0).uniform(size=(2, 8, 8, 3)).astype(np.float32)
    centred = UNet(dataclasses.replace(TINY, center_input_sample=True))
    t = np.array([3, 5])
    expected = np.asarray(apply(params, 2 * x - 1, t))
    np.testing.assert_allclose(quick_jit(centred.apply)(params, x, t), expected, atol=1e-4)
    assert relative(apply(params, x, t), expected) > 0.01


def test_fourier_frequencies_are_not_trained():
    unet = UNet(dataclasses.replace(TINY, time_embedding_type="fourier"))
    params = randomised(unet)
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)

    def loss(params):
        return jnp.square(unet.apply({"params": params}, x, jnp.array([0.5, 3.0]))).mean()

    gradient = quick_jit(jax.grad(loss))(params)
    assert not np.any(gradient["time_proj"]["weight"])
    assert np.any(gradient["time_embedding"]["linear_1"]["kernel"])


def test_each_timestep_belongs_to_its_image():
    unet = UNet(TINY)
    apply = quick_jit(unet.apply)
    params = {"params": randomised(unet)}
    x = np.random.default_rng(1).normal(size=(3, 8, 8, 3)).astype(np.float32)
    t = np.array([0, 500, 999])
    together = apply(params, x, t)
    for i in (0, 2):
        order = np.array([i, 1, 2 - i])
        np.testing.assert_allclose(apply(params, x[order], t[order])[0], together[i], atol=1e-4)
    assert relative(apply(params, x, t[::-1]), np.asarray(together)) > 0.01


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block_out_channels": (8, 18)}, r"block_out_channels=\(8, 18\).*norm_num_groups=4"),
        ({"block_out_channels": ()}, "block_out_channels"),
        ({"block_out_channels": (8, 16, 16)}, r"down_block_types.*3 names, one a level, got 2"),
        ({"up_block_types": ("UpBlock2D",)}, "up_block_types.*2 names, one a level, got 1"),
        ({"down_block_types": ("DownBlock2D", "SkipDownBlock2D")}, "only DownBlock2D and Attn"),
        ({"up_block_types": ("UpBlock2D", "DownBlock2D")}, "only UpBlock2D and AttnUpBlock2D"),
        ({"layers_per_block": 0}, "layers_per_block=0"),
        ({"norm_num_groups": 0}, "norm_num_groups=0"),
        ({"attn_norm_num_groups": 5}, "attn_norm_num_groups=5.*divisor.*16"),
        ({"attn_norm_num_groups": 0}, "attn_norm_num_groups=0"),
        ({"downsample_padding": 2}, "downsample_padding=2.*0 or 1"),
        ({"time_embedding_type": "learned"}, "time_embedding_type='learned'.*'fourier'"),
        ({"resnet_time_scale_shift": "spatial"}, "resnet_time_scale_shift='spatial'"),
        ({"freq_shift": 4}, "freq_shift=4.*less than.*4"),
        ({"attention_head_dim": 17}, "attention_head_dim=17.*1 to 16"),
        ({"mid_block_scale_factor": 0}, "mid_block_scale_factor=0"),
        ({"time_embedding_dim": 0}, "time_embedding_dim=0"),
    ],
)
def test_impossible_configs_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(TINY, **changes)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 9, 8, 3), "9 x 8 pixels.*2 levels.*divisible by 2"),
        ((1, 8, 9, 3), "8 x 9 pixels.*2 levels.*divisible by 2"),
        ((1, 8, 8, 4), "4 channels, expected 3"),
    ],
)
def test_images_that_do_not_fit_are_refused(shape, message):
    with pytest.raises(UserError, match=message):
        jax.eval_shape(UNet(TINY).init, jax.random.key(0), jnp.zeros(shape), jnp.zeros(1))


def test_one_timestep_for_several_images_is_refused():
    unet = UNet(TINY)
    with pytest.raises(AssertionError, match="shape"):
        jax.eval_shape(unet.init, jax.random.key(0), jnp.zeros((2, 8, 8, 3)), jnp.zeros(1))


def test_block_types_refuses_a_level_that_does_not_exist():
    assert block_types((8, 8), []) == (("DownBlock2D",) * 2, ("UpBlock2D",) * 2)
    with pytest.raises(UserError, match=r"level 2 does not exist.*levels 0 to 1"):
        block_types((8, 8), [2])


def test_statistics_are_taken_of_skips_by_themselves(monkeypatch):
    numbers = []

    def recorded(x, scale, bias, parts, *options):
        numbers.append(len(parts))
        return group_norm(x, scale, bias, parts, *options)

    monkeypatch.setattr("noise2map_jax.network.layers.group_norm", recorded)
    jax.eval_shape(UNet(TINY).init, jax.random.key(0), jnp.zeros((1, 16, 16, 3)), jnp.zeros(1))
    blocks = (TINY.layers_per_block + 1) * len(TINY.block_out_channels)
    assert numbers.count(2) == blocks
    assert set(numbers) == {1, 2}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_group_norm_is_exact_far_from_zero(dtype):
    rng = np.random.default_rng(0)
    # Groups of two channels, each with its own mean, up to 100 standard deviations.
    means = np.array([100, 100, -30, 50, 0, 0, 0, 1])
    x = jnp.asarray(rng.normal(means, 1, (2, 32, 32, 8)), dtype)
    params = {"scale": np.linspace(0.5, 2, 8), "bias": np.linspace(-1, 1, 8)}
    y = GroupNorm(num_groups=4, epsilon=1e-5, dtype=dtype).apply({"params": params}, x)
    grouped = np.asarray(x, np.float64).reshape(2, 32 * 32, 4, 2)
    centred = grouped - grouped.mean((1, 3), keepdims=True)
    variance = np.square(centred).mean((1, 3), keepdims=True)
    expected = (centred / np.sqrt(variance + 1e-5)).reshape(x.shape)
    expected = expected * params["scale"][None, None, None] + params["bias"][None, None, None]
    assert y.dtype == dtype
    tolerance = {"rtol": 0, "atol": 5e-5} if dtype == jnp.float32 else {"rtol": 4e-3, "atol": 1e-4}
    np.testing.assert_allclose(np.asarray(y, np.float64), expected, **tolerance)


def test_group_norm_gradient_is_that_of_flax():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(2, 1, (2, 6, 6, 8)), jnp.float32)
    weight = jnp.asarray(rng.normal(size=x.shape), jnp.float32)
    ours, theirs = GroupNorm(4, 1e-3), nn.GroupNorm(4, epsilon=1e-3, use_fast_variance=False)
    params = {"scale": jnp.linspace(0.5, 2, 8), "bias": jnp.linspace(-1, 1, 8)}

    def gradient(norm, rank_promotion):
        with jax.numpy_rank_promotion(rank_promotion):
            loss = lambda p, x: jnp.sum(norm.apply({"params": p}, x) * weight)  # noqa: E731
            return quick_jit(jax.grad(loss, argnums=(0, 1)))(params, x)

    for a, b in zip(
        jax.tree.leaves(gradient(ours, "raise")),
        jax.tree.leaves(gradient(theirs, "allow")),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=2e-4)


@hypothesis.settings(deadline=None, max_examples=15)
@hypothesis.given(
    timesteps=st.lists(st.floats(0, 1000, width=32), min_size=1, max_size=4),
    dim=st.sampled_from([4, 7, 16, 65]),
    flip=st.booleans(),
    freq_shift=st.sampled_from([0, 1]),
)
def test_timestep_embedding_is_sines_and_cosines(timesteps, dim, flip, freq_shift):
    half = dim // 2
    frequencies = 10000.0 ** (-np.arange(half) / (half - freq_shift))
    angles = np.asarray(timesteps)[:, None] * frequencies[None, :]
    first, second = (np.cos, np.sin) if flip else (np.sin, np.cos)
    expected = np.zeros((len(timesteps), dim))
    expected[:, :half] = first(angles)
    expected[:, half : 2 * half] = second(angles)
    actual = timestep_embedding(
        jnp.asarray(timesteps), dim, flip_sin_to_cos=flip, freq_shift=freq_shift
    )
    assert actual.dtype == jnp.float32
    # An angle of 1000 has an error of 6e-5 in float32, and its frequency about as much again.
    np.testing.assert_allclose(actual, expected, atol=5e-4)
