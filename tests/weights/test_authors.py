"""The authors' full model: the same names, the same outputs."""

import jax
import numpy as np
import pytest
from flax import traverse_util
from problems import TWO_LEVELS
from safetensors.numpy import load_file, save_file

from noise2map_jax.errors import UserError
from noise2map_jax.network.interface import Head, init_params
from noise2map_jax.network.model import Noise2Map
from noise2map_jax.weights import config_text, load_authors, to_authors

CHANNELS = {"ss": 3, "cd": 6}
PROJECTIONS = {
    "input_conv": "input_conv",
    "output_conv": "output_conv",
    "input_upscaling": "input_upscaling.1",
    "output_downscaling": "output_downscaling.1",
}


def model_of(task="ss", sample_size=0):
    return Noise2Map(
        unet=TWO_LEVELS, heads=(Head(task, CHANNELS[task], 2),), sample_size=sample_size
    )


def params_of(model, size):
    shapes = jax.eval_shape(lambda key: init_params(model, key, size), jax.random.key(0))
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda s: rng.normal(size=s.shape).astype(np.float32) * 0.2, shapes)


def save(path, tensors, prefix=""):
    save_file({prefix + name: tensor for name, tensor in tensors.items()}, path)
    return path


def assert_same(actual, expected):
    actual, expected = map(traverse_util.flatten_dict, (actual, expected))
    assert actual.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(actual[path], value, err_msg=str(path))


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(("task", "size"), [("ss", 16), ("cd", 32)])
def test_round_trip(tmp_path, task, size, prefix):
    model = model_of(task, sample_size=16)
    params = params_of(model, size)
    tensors = to_authors(params, task)
    assert ("input_upscaling.1.weight" in tensors) == (size == 32)
    kernel = params[f"{task}_input_conv"]["kernel"]
    assert tensors["input_conv.weight"].shape == (3, CHANNELS[task], 3, 3)
    assert tensors["input_conv.weight"][1, 2, 0, 2] == kernel[0, 2, 2, 1]
    path = save(tmp_path / "a.safetensors", tensors, prefix)
    assert_same(load_authors(path, model, task), params)


def test_one_of_several_heads(tmp_path):
    model = Noise2Map(unet=TWO_LEVELS, heads=(Head("ss", 3, 4), Head("cd", 6, 2)))
    params = params_of(model, 16)
    for task, channels in (("ss", 4), ("cd", 2)):
        tensors = to_authors(params, task)
        assert tensors["output_conv.bias"].shape == (channels,)
        read = load_authors(save(tmp_path / f"{task}.safetensors", tensors), model, task)
        names = {"unet", f"{task}_input_conv", f"{task}_output_conv"}
        assert read.keys() == names
        assert_same(read, {name: params[name] for name in names})
    words = "the parameters have no projections of task 'denoise', only of cd, ss"
    with pytest.raises(UserError, match=words):
        to_authors(params, "denoise")
    with pytest.raises(UserError, match="no head for task 'denoise'; it has ss, cd"):
        load_authors(tmp_path / "ss.safetensors", model, "denoise")


def test_every_tensor_that_does_not_fit_is_named(tmp_path):
    model = model_of("ss", sample_size=16)
    tensors = to_authors(params_of(model, 32), "ss")
    del tensors["output_downscaling.1.bias"]
    del tensors["unet.conv_in.weight"]
    tensors["decoder.weight"] = np.zeros(3, np.float32)
    tensors["input_conv.weight"] = np.zeros((3, 6, 3, 3), np.float32)
    path = save(tmp_path / "a.safetensors", tensors)
    with pytest.raises(UserError) as error:
        load_authors(path, model, "ss")
    assert str(error.value) == (
        f"{path}: tensors do not fit the config: "
        "2 missing: output_downscaling.1.bias, unet.conv_in.weight; "
        "1 left over: decoder.weight; "
        "1 of another shape: input_conv.weight [3, 6, 3, 3] instead of [3, 3, 3, 3]"
    )


def test_resampling_that_the_model_does_not_do_is_left_over(tmp_path):
    tensors = to_authors(params_of(model_of("ss", sample_size=16), 32), "ss")
    path = save(tmp_path / "a.safetensors", tensors)
    with pytest.raises(UserError, match=r"4 left over: input_upscaling\.1\.bias, input_upscaling"):
        load_authors(path, model_of("ss"), "ss")


def test_broken_files_are_named(tmp_path):
    model = model_of()
    path = save(tmp_path / "a.safetensors", to_authors(params_of(model, 16), "ss"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"a\.safetensors: not a complete safetensors file"):
        load_authors(path, model, "ss")
    with pytest.raises(UserError, match=r"b\.pth: no such file; expected weights, \.safetensors"):
        load_authors(tmp_path / "b.pth", model, "ss")
    path = path.rename(tmp_path / "c.pth")
    with pytest.raises(UserError, match=r"c\.pth: not a file of torch\.save; expected a zip"):
        load_authors(path, model, "ss")


def authors_model(torch, unet, num_inputs, sample_size, tile_size):
    """What the authors train, from their description of it."""
    nn = torch.nn

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.unet = unet
            self.input_conv = nn.Conv2d(num_inputs, 3, 3, padding=1)
            self.output_conv = nn.Conv2d(3, 2, 3, padding=1)
            if sample_size != tile_size:
                self.input_upscaling = resampling(sample_size)
                self.output_downscaling = resampling(tile_size)

        def forward(self, x, timesteps):
            x = self.input_conv(x)
            if sample_size != tile_size:
                x = self.input_upscaling(x)
            x = self.unet(x, timesteps).sample
            if sample_size != tile_size:
                x = self.output_downscaling(x)
            return self.output_conv(x)

    def resampling(size):
        up = nn.Upsample(size=(size, size), mode="bilinear", align_corners=True)
        return nn.Sequential(up, nn.Conv2d(3, 3, 3, padding=1))

    return Model()


@pytest.mark.filterwarnings("ignore")  # those of torch and diffusers are not ours
@pytest.mark.parametrize(
    ("task", "tile_size", "parallel"), [("ss", 16, True), ("cd", 16, False), ("cd", 24, True)]
)
def test_outputs_are_those_of_torch_and_files_go_both_ways(tmp_path, task, tile_size, parallel):
    torch = pytest.importorskip("torch", reason="needs torch (extra 'parity')")
    diffusers = pytest.importorskip("diffusers", reason="needs diffusers (extra 'parity')")
    torch.manual_seed(0)
    (tmp_path / "config.json").write_text(config_text(TWO_LEVELS))
    config = diffusers.UNet2DModel.load_config(tmp_path)
    unet = diffusers.UNet2DModel.from_config(config)
    theirs = authors_model(torch, unet, CHANNELS[task], 16, tile_size).eval()
    saved = torch.nn.DataParallel(theirs) if parallel else theirs
    torch.save(saved.state_dict(), tmp_path / "a.pth")

    model = model_of(task, sample_size=16)
    params = load_authors(tmp_path / "a.pth", model, task)
    x = np.random.default_rng(0).normal(size=(2, tile_size, tile_size, CHANNELS[task]))
    x, timesteps = x.astype(np.float32), np.array([5, 999])
    with torch.no_grad():
        y = theirs(torch.tensor(np.moveaxis(x, -1, 1).copy()), torch.tensor(timesteps)).numpy()
    options = {"xla_backend_optimization_level": 0}  # compiling costs more than running here
    apply = jax.jit(model.apply, static_argnames="task", compiler_options=options)
    ours = apply({"params": params}, x, timesteps, task=task)
    np.testing.assert_allclose(ours, np.moveaxis(y, 1, -1), rtol=0, atol=1e-4)

    save(tmp_path / "b.safetensors", to_authors(params, task))
    back = {name: torch.tensor(t) for name, t in load_file(tmp_path / "b.safetensors").items()}
    assert back.keys() == theirs.state_dict().keys()
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(back[name], tensor), name
    theirs.load_state_dict(back)
