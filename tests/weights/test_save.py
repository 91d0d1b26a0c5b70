"""What is written is what was read, bit for bit, and what diffusers reads."""

import json
import os
import stat

import jax
import jax.numpy as jnp
import numpy as np
import programs
import pytest
from flax import traverse_util
from safetensors.numpy import load_file

from configs import default
from noise2map_jax import weights
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.network.unet import UNet, UNetConfig
from noise2map_jax.weights import INDEX_FILE, WEIGHTS_FILE, load_diffusers, save_diffusers

GOLDEN = programs.ROOT / "tests" / "golden"
FAMILIES = ("church_thin", "default_thin")


def random_params(config, seed=0):
    unet = UNet(config)
    side = 2 ** (len(config.block_out_channels) - 1)
    image = jax.ShapeDtypeStruct((1, side, side, config.in_channels), jnp.float32)
    time = jax.ShapeDtypeStruct((1,), jnp.float32)
    shapes = jax.eval_shape(unet.init, jax.random.key(0), image, time)["params"]
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda s: rng.standard_normal(s.shape, np.float32), shapes)


def assert_identical(actual, expected):
    actual, expected = map(traverse_util.flatten_dict, (actual, expected))
    assert actual.keys() == expected.keys()
    for path, value in expected.items():
        assert actual[path].dtype == value.dtype == np.float32
        # As integers: equal floats may differ in their bits.
        np.testing.assert_array_equal(
            actual[path].view(np.int32), value.view(np.int32), err_msg=str(path)
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_files_are_those_that_diffusers_wrote_byte_for_byte(tmp_path, family):
    unet, params = load_diffusers(GOLDEN / family)
    save_diffusers(tmp_path / "new" / "folder", unet.config, params)
    names = sorted(path.name for path in (tmp_path / "new" / "folder").iterdir())
    assert names == ["config.json", WEIGHTS_FILE]
    for name in names:
        written = (tmp_path / "new" / "folder" / name).read_bytes()
        assert written == (GOLDEN / family / name).read_bytes()


@pytest.mark.parametrize("family", FAMILIES)
def test_shards_hold_the_same_bits(tmp_path, family):
    unet, params = load_diffusers(GOLDEN / family)
    largest = max(leaf.nbytes for leaf in jax.tree.leaves(params))
    limit = largest - 1  # that one has a file of its own
    save_diffusers(tmp_path, unet.config, params, max_shard_size=limit)
    index = json.loads((tmp_path / INDEX_FILE).read_text())
    files = sorted(set(index["weight_map"].values()))
    assert len(files) > 3
    assert files[0] == f"diffusion_pytorch_model-00001-of-{len(files):05}.safetensors"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*files, INDEX_FILE, "config.json"]
    )
    sizes = {file: [t.nbytes for t in load_file(tmp_path / file).values()] for file in files}
    assert all(sum(size) <= limit or len(size) == 1 for size in sizes.values())
    assert sum(map(sum, sizes.values())) == index["metadata"]["total_size"]
    again, read = load_diffusers(tmp_path)
    assert again == unet
    assert_identical(read, params)


def test_a_folder_is_written_over(tmp_path):
    unet, params = load_diffusers(GOLDEN / "church_thin")
    (tmp_path / "README.md").write_text("kept")
    config = UNetConfig(block_out_channels=(32,) * 4)
    other = random_params(config)
    for size in (None, 25_000, 100_000, None):
        save_diffusers(tmp_path, config, other)
        save_diffusers(tmp_path, unet.config, params, max_shard_size=size)
        assert_identical(load_diffusers(tmp_path)[1], params)
        many = size is not None
        assert (tmp_path / INDEX_FILE).exists() == many
        assert (tmp_path / WEIGHTS_FILE).exists() != many
    assert len(list(tmp_path.iterdir())) == 3
    assert (tmp_path / "README.md").read_text() == "kept"


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_those_may_read_the_files_whom_the_umask_lets(mask, tmp_path):
    unet, params = load_diffusers(GOLDEN / "church_thin")
    before = os.umask(mask)
    try:
        save_diffusers(tmp_path, unet.config, params)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == dict.fromkeys(modes, 0o666 & ~mask)
    assert WEIGHTS_FILE in modes


def test_a_save_that_is_cut_off_leaves_no_folder_that_loads(tmp_path, monkeypatch):
    unet, params = load_diffusers(GOLDEN / "church_thin")
    save_diffusers(tmp_path, unet.config, params)

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr(weights.diffusers, "write_safetensors", fail)
    with pytest.raises(OSError, match="no space left"):
        save_diffusers(tmp_path, unet.config, params, max_shard_size=50_000)
    with pytest.raises(UserError, match=r"config.json: no such file"):
        load_diffusers(tmp_path)


def test_parameters_of_another_network_are_refused_and_nothing_is_written(tmp_path):
    unet, params = load_diffusers(GOLDEN / "church_thin")
    params = {**params, "extra": {"bias": np.zeros(3, np.float32)}}
    del params["conv_in"]
    params["conv_out"] = {"bias": np.zeros(4, np.float32), "kernel": params["conv_out"]["kernel"]}
    with pytest.raises(UserError) as error:
        save_diffusers(tmp_path / "new", unet.config, params)
    message = str(error.value)
    for words in (
        "the parameters to save: ",
        "2 missing: conv_in.bias, conv_in.weight",
        "1 left over: extra.bias",
        "conv_out.bias [4] instead of [3]",
    ):
        assert words in message
    assert not (tmp_path / "new").exists()
    with pytest.raises(UserError, match="max_shard_size is 0; expected 1 byte or more"):
        save_diffusers(tmp_path / "new", unet.config, params, max_shard_size=0)


@pytest.fixture(scope="module")
def full_size():
    config = create_model(default.get_config()).unet
    return config, random_params(config)


@pytest.mark.parametrize("max_shard_size", [None, 100_000_000])
def test_full_size_backbone(tmp_path, full_size, max_shard_size):
    config, params = full_size
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 113_673_219
    save_diffusers(tmp_path, config, params, max_shard_size=max_shard_size)
    assert len(list(tmp_path.glob("*.safetensors"))) == (5 if max_shard_size else 1)
    unet, read = load_diffusers(tmp_path)
    assert unet.config == config
    assert_identical(read, params)
    if max_shard_size is None:
        diffusers = pytest.importorskip("diffusers", reason="needs diffusers (extra 'parity')")
        theirs = diffusers.UNet2DModel.from_pretrained(tmp_path)
        assert sum(p.numel() for p in theirs.parameters()) == 113_673_219
    for path in tmp_path.iterdir():
        path.unlink()  # pytest keeps folders of the last three runs


@pytest.mark.filterwarnings("ignore")  # those of torch and diffusers are not ours
@pytest.mark.parametrize("family", FAMILIES)
def test_diffusers_reads_it_with_the_same_outputs(tmp_path, family):
    diffusers = pytest.importorskip("diffusers", reason="needs diffusers (extra 'parity')")
    torch = pytest.importorskip("torch", reason="needs torch (extra 'parity')")
    config = load_diffusers(GOLDEN / family)[0].config
    params = jax.tree.map(lambda leaf: leaf * np.float32(0.05), random_params(config))
    networks = []
    for size in (None, 50_000):
        save_diffusers(tmp_path, config, params, max_shard_size=size)
        network, info = diffusers.UNet2DModel.from_pretrained(tmp_path, output_loading_info=True)
        assert not any(info.values()), info
        networks.append(network.eval())
    for single, sharded in zip(*(n.parameters() for n in networks), strict=True):
        assert torch.equal(single, sharded)
    x = np.random.default_rng(1).normal(size=(2, 32, 64, 3)).astype(np.float32)
    timesteps = np.array([3, 999])
    with torch.no_grad():
        y = networks[1](torch.tensor(np.moveaxis(x, -1, 1).copy()), torch.tensor(timesteps))
    options = {"xla_backend_optimization_level": 0}  # compiling costs more than running here
    ours = jax.jit(UNet(config).apply, compiler_options=options)({"params": params}, x, timesteps)
    np.testing.assert_allclose(ours, np.moveaxis(y.sample.numpy(), 1, -1), rtol=0, atol=1e-4)
    assert np.abs(ours).max() > 0.01


def test_legacy_names_are_written_as_those_of_today(tmp_path):
    unet, params = load_diffusers(GOLDEN / "church_thin")
    save_diffusers(tmp_path, unet.config, params)
    names = load_file(tmp_path / WEIGHTS_FILE).keys()
    attention = {n for n in names if n.startswith("mid_block.attentions.0.")}
    layers = ("group_norm", "to_q", "to_k", "to_v", "to_out.0")
    expected = {f"mid_block.attentions.0.{n}.{p}" for n in layers for p in ("weight", "bias")}
    assert attention == expected
