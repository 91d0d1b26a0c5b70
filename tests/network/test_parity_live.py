"""Random configurations, random weights: the same output and gradient as diffusers itself."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from noise2map_jax.network.unet import UNetConfig
from noise2map_jax.weights import WEIGHTS_FILE, load_diffusers, to_diffusers

pytestmark = [
    pytest.mark.usefixtures("highest_precision"),
    pytest.mark.filterwarnings("ignore"),  # those of torch and diffusers are not ours
]


@pytest.fixture
def diffusers():
    """Imported where it is used: that takes seconds of every process that collects tests."""
    return pytest.importorskip("diffusers", reason="needs diffusers (the extra 'parity')")


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="needs torch (the extra 'parity')")


def random_config(rng):
    """Draw a small network; every choice of the config is drawn."""
    levels = int(rng.integers(1, 4))
    groups = int(rng.choice([1, 2, 4]))
    channels = tuple(int(4 * rng.integers(1, 6)) for _ in range(levels))
    attention = rng.random((2, levels)) < 0.4
    return {
        "in_channels": int(rng.integers(1, 7)),
        "out_channels": int(rng.integers(1, 5)),
        "block_out_channels": channels,
        "down_block_types": tuple(
            np.where(attention[0], "AttnDownBlock2D", "DownBlock2D").tolist()
        ),
        "up_block_types": tuple(np.where(attention[1], "AttnUpBlock2D", "UpBlock2D").tolist()),
        "layers_per_block": int(rng.integers(1, 3)),
        "attention_head_dim": [None, 1, 2, 3, 4][rng.integers(5)],
        "norm_num_groups": groups,
        "attn_norm_num_groups": [None, 1, 4][rng.integers(3)],
        "norm_eps": float(rng.choice([1e-3, 1e-5, 1e-6])),
        "downsample_padding": int(rng.integers(2)),
        "flip_sin_to_cos": bool(rng.integers(2)),
        "freq_shift": int(rng.integers(2)),
        "time_embedding_dim": [None, 24][rng.integers(2)],
        "time_embedding_type": ["positional", "fourier"][rng.integers(2)],
        "mid_block_scale_factor": float(rng.choice([1, 2**0.5])),
        "add_attention": bool(rng.integers(2)),
        "resnet_time_scale_shift": ["default", "scale_shift"][rng.integers(2)],
        "center_input_sample": bool(rng.integers(2)),
    }


# Seeds whose draws together hold every choice, see the next test.
SEEDS = (196, 228, 333, 385)


def test_the_drawn_configs_hold_every_choice():
    configs = [random_config(np.random.default_rng(seed)) for seed in SEEDS]
    for field in (
        "downsample_padding",
        "flip_sin_to_cos",
        "freq_shift",
        "time_embedding_type",
        "mid_block_scale_factor",
        "add_attention",
        "resnet_time_scale_shift",
        "center_input_sample",
        "layers_per_block",
    ):
        assert len({config[field] for config in configs}) == 2, field
    assert len({len(config["block_out_channels"]) for config in configs}) >= 3
    assert any(
        config["add_attention"]
        and config["resnet_time_scale_shift"] == "scale_shift"
        and config["attn_norm_num_groups"] is None
        for config in configs
    )
    for field in ("attention_head_dim", "time_embedding_dim"):
        assert {config[field] is None for config in configs} == {True, False}
    assert {config["norm_num_groups"] for config in configs} == {1, 2, 4}
    assert {config["attn_norm_num_groups"] for config in configs} == {None, 1, 4}
    for way in ("down", "up"):
        types = {name for config in configs for name in config[f"{way}_block_types"]}
        assert len(types) == 2
    # Channels that the heads do not divide.
    assert any(
        config["add_attention"]
        and config["attention_head_dim"]
        and config["block_out_channels"][-1] % config["attention_head_dim"]
        for config in configs
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_output_and_gradient_are_those_of_diffusers(diffusers, torch, tmp_path, seed):
    rng = np.random.default_rng(seed)
    config = random_config(rng)
    torch.manual_seed(seed)
    theirs = diffusers.UNet2DModel(**config).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    theirs.save_pretrained(tmp_path)
    assert (tmp_path / WEIGHTS_FILE).is_file()
    ours, params = load_diffusers(tmp_path)

    side = 2 ** (len(config["block_out_channels"]) - 1) * 2
    x = rng.normal(size=(3, side, 2 * side, config["in_channels"])).astype(np.float32)
    # Fractional steps too; none at 0, where diffusers' Fourier embedding divides by it.
    timesteps = np.array([1, 37.5, 999], np.float32)
    weight = rng.normal(size=(3, side, 2 * side, config["out_channels"])).astype(np.float32)

    x_torch = torch.tensor(np.moveaxis(x, -1, 1).copy(), requires_grad=True)
    y_torch = theirs(x_torch, torch.tensor(timesteps)).sample
    (y_torch * torch.tensor(np.moveaxis(weight, -1, 1).copy())).sum().backward()
    expected = np.moveaxis(y_torch.detach().numpy(), 1, -1)
    gradient = np.moveaxis(x_torch.grad.numpy(), 1, -1)
    kernel_gradients = {n: p.grad.numpy() for n, p in theirs.named_parameters() if p.requires_grad}

    def loss(params, x):
        y = ours.apply({"params": params}, x, timesteps)
        return jnp.sum(y * weight), y

    # Compiling costs more than running here.
    options = {"xla_backend_optimization_level": 0}
    step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True), compiler_options=options)
    (_, y), (dparams, dx) = step(params, x)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-4)
    scale = np.abs(gradient).max()
    np.testing.assert_allclose(dx, gradient, rtol=0, atol=1e-3 * scale)
    largest = max(np.abs(g).max() for g in kernel_gradients.values())
    dtensors = to_diffusers(dparams)
    for name, expected_gradient in kernel_gradients.items():
        np.testing.assert_allclose(
            dtensors[name], expected_gradient, rtol=0, atol=1e-3 * largest, err_msg=name
        )


def test_defaults_are_those_of_diffusers(diffusers):
    theirs = inspect.signature(diffusers.UNet2DModel.__init__).parameters
    for field in UNetConfig.__dataclass_fields__.values():
        assert theirs[field.name].default == field.default, field.name
