import json
import shutil

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import programs
import pytest
import safetensors.numpy
from flax import traverse_util

from noise2map_jax.errors import UserError
from noise2map_jax.network.unet import UNet, UNetConfig
from noise2map_jax.weights import (
    INDEX_FILE,
    WEIGHTS_FILE,
    from_diffusers,
    load_diffusers,
    read_config,
    to_diffusers,
)

GOLDEN = programs.ROOT / "tests" / "golden"
CONFIG = {
    "_class_name": "UNet2DModel",
    "_diffusers_version": "0.42.1",
    "block_out_channels": [4, 8],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "attention_head_dim": None,
    "time_embedding_type": "fourier",
    "sample_size": [8, 8],
}
CONV = "down_blocks.0.resnets.0.conv1.weight"
ATTENTION = "mid_block.attentions.0"


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "config.json"
    path.write_text(json.dumps(CONFIG))
    unet = UNet(read_config(path))
    shapes = jax.eval_shape(unet.init, jax.random.key(0), jnp.zeros((1, 2, 2, 3)), jnp.ones(1))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda s: rng.normal(size=s.shape).astype(np.float32), shapes["params"])
    return unet, params


@pytest.fixture
def tensors(network):
    return to_diffusers(network[1])


def save(folder, tensors, config=CONFIG):
    (folder / "config.json").write_text(json.dumps(config))
    safetensors.numpy.save_file(tensors, folder / WEIGHTS_FILE)
    return folder


def assert_same(actual, expected):
    actual, expected = map(traverse_util.flatten_dict, (actual, expected))
    assert actual.keys() == expected.keys()
    for path, value in expected.items():
        assert actual[path].dtype == np.float32
        np.testing.assert_array_equal(actual[path], value, err_msg=str(path))


@pytest.mark.parametrize("family", ["church_thin", "default_thin"])
def test_names_and_layouts_are_those_of_diffusers(family):
    stored = safetensors.numpy.load_file(GOLDEN / family / WEIGHTS_FILE)
    unet, params = load_diffusers(GOLDEN / family, dtype=jnp.bfloat16)
    assert unet.dtype == jnp.bfloat16
    kernel = params["down_blocks_0"]["resnets_0"]["conv1"]["kernel"]
    expected = stored["down_blocks.0.resnets.0.conv1.weight"]
    np.testing.assert_array_equal(kernel[0, 2, :, 3], expected[3, :, 0, 2])
    written = to_diffusers(params)
    assert written.keys() == stored.keys()
    for name, tensor in stored.items():
        np.testing.assert_array_equal(written[name], tensor, err_msg=name)


def test_round_trip(tmp_path, network, tensors):
    unet, params = load_diffusers(save(tmp_path, tensors))
    assert unet == network[0]
    assert_same(params, network[1])


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_stored_types_become_float32(tmp_path, network, tensors, dtype):
    save(tmp_path, {name: tensor.astype(dtype) for name, tensor in tensors.items()})
    expected = jax.tree.map(lambda x: x.astype(dtype).astype(np.float32), network[1])
    assert_same(load_diffusers(tmp_path)[1], expected)


def test_legacy_attention_names(tmp_path, network, tensors):
    legacy = {
        name.replace("to_q", "query")
        .replace("to_k", "key")
        .replace("to_v", "value")
        .replace("to_out.0", "proj_attn"): tensor
        for name, tensor in tensors.items()
    }
    assert legacy.keys() != tensors.keys()
    assert_same(load_diffusers(save(tmp_path, legacy))[1], network[1])
    legacy[f"{ATTENTION}.to_q.weight"] = legacy[f"{ATTENTION}.query.weight"]
    with pytest.raises(UserError, match=r"to_q.weight is stored twice, as its old and new name"):
        load_diffusers(save(tmp_path, legacy))


def save_sharded(folder, tensors):
    save(folder, {})
    (folder / WEIGHTS_FILE).unlink()
    names = sorted(tensors)
    shards = {f"part-{i}.safetensors": names[i::3] for i in range(3)}
    for file, part in shards.items():
        safetensors.numpy.save_file({name: tensors[name] for name in part}, folder / file)
    weight_map = {name: file for file, part in shards.items() for name in part}
    (folder / INDEX_FILE).write_text(json.dumps({"weight_map": weight_map}))


def test_sharded_weights(tmp_path, network, tensors):
    save_sharded(tmp_path, tensors)
    assert_same(load_diffusers(tmp_path)[1], network[1])

    shutil.copy(tmp_path / "part-0.safetensors", tmp_path / "part-1.safetensors")
    with pytest.raises(UserError, match=r"part-1.safetensors: tensor .* is stored twice"):
        load_diffusers(tmp_path)
    (tmp_path / "part-1.safetensors").unlink()
    with pytest.raises(UserError, match=r"part-1.safetensors: no such file, but .*index.json"):
        load_diffusers(tmp_path)


@pytest.mark.parametrize("index", [{}, {"weight_map": ["a"]}, {"weight_map": {"a": "../b"}}])
def test_broken_index_is_refused(tmp_path, tensors, index):
    save_sharded(tmp_path, tensors)
    (tmp_path / INDEX_FILE).write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"index.json: expected 'weight_map'"):
        load_diffusers(tmp_path)


def test_every_tensor_that_does_not_fit_is_named(network, tensors):
    lost = [name for name in tensors if name.startswith("up_blocks.1")]
    left = {name: tensor for name, tensor in tensors.items() if name not in lost}
    left["class_embedding.weight"] = left["down_blocks.7.conv.weight"] = np.zeros(3, np.float32)
    left[CONV] = np.zeros((3, 3, 4, 4), np.float32)
    left["conv_in.bias"] = np.zeros((4, 1, 1), np.float32)
    with pytest.raises(UserError) as error:
        from_diffusers(left, network[0], source="here")
    message = str(error.value)
    assert "\n" not in message
    missing, left_over, misshaped = message.split("; ")
    assert missing.startswith("here: ")
    assert f"{len(lost)} missing: " in missing
    assert len(lost) > 10
    assert all(name in missing for name in lost)
    assert left_over == "2 left over: class_embedding.weight, down_blocks.7.conv.weight"
    assert misshaped.startswith("2 of another shape: ")
    assert f"{CONV} [3, 3, 4, 4] instead of [4, 4, 3, 3]" in misshaped
    assert "conv_in.bias [4, 1, 1] instead of [4]" in misshaped


def test_missing_and_broken_files_are_named(tmp_path, tensors):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        load_diffusers(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"config.json: no such file"):
        load_diffusers(tmp_path)
    save(tmp_path, tensors)

    weights = tmp_path / WEIGHTS_FILE
    whole = weights.read_bytes()
    for broken in (whole[:-1], whole[:100], b"", b"PK\x03\x04" * 20):
        weights.write_bytes(broken)
        with pytest.raises(UserError, match=r"pytorch_model.safetensors: not a complete"):
            load_diffusers(tmp_path)

    weights.rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"neither .*safetensors nor .*, only pytorch_model\.bin"):
        load_diffusers(tmp_path)
    for broken in (b"{", b"\xff\xfe", b""):
        (tmp_path / "config.json").write_bytes(broken)
        with pytest.raises(UserError, match=r"config.json: not JSON"):
            load_diffusers(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(UserError, match=r"config.json: expected a JSON object, got list"):
        load_diffusers(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "supported"),
    [
        ("_class_name", "UNet2DConditionModel", "'UNet2DModel'"),
        ("act_fn", "gelu", "'silu' or 'swish'"),
        ("class_embed_type", "timestep", "None"),
        ("num_class_embeds", 10, "None"),
        ("dropout", 0.1, "0.0"),
        ("downsample_type", "resnet", "'conv'"),
        ("upsample_type", "resnet", "'conv'"),
        ("mid_block_type", None, "'UNetMidBlock2D'"),
        ("down_block_types", ["DownBlock2D", "KDownBlock2D"], "DownBlock2D and AttnDownBlock2D"),
        ("time_embedding_type", "learned", "'positional' or 'fourier'"),
        ("resnet_time_scale_shift", "spatial", "'default' or 'scale_shift'"),
        ("downsample_padding", 3, "0 or 1"),
        ("layers_per_block", [1, 2], "int"),
        ("layers_per_block", True, "int"),
        ("norm_eps", "1e-5", "float"),
        ("add_attention", 1, "bool"),
        ("attention_head_dim", "8", r"int \| None"),
        ("block_out_channels", [4.0, 8], r"tuple\[int"),
        ("block_out_channels", 4, r"tuple\[int"),
        ("block_out_channels", [4, 9], "norm_num_groups=2"),
        ("cross_attention_dim", 64, "not a field of a supported UNet2DModel"),
    ],
)
def test_unsupported_config_fields_are_named(tmp_path, field, value, supported):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**CONFIG, field: value}))
    with pytest.raises(UserError, match=rf"config.json: .*{field}.*{supported}"):
        read_config(path)


def test_config_fields_that_are_absent_have_the_defaults_of_diffusers(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"num_train_timesteps": 1000, "act_fn": "swish", "dropout": 0}))
    assert read_config(path) == UNetConfig()
    path.write_text(json.dumps(CONFIG))
    config = read_config(path)
    assert config.block_out_channels == (4, 8)
    assert config.attention_head_dim is None
    assert hash(config) == hash(read_config(path))
