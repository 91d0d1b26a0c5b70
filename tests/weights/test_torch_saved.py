"""Files that torch itself saved are read as it reads them."""

import numpy as np
import programs
import pytest

from noise2map_jax import weights
from noise2map_jax.errors import UserError
from noise2map_jax.weights.torch_file import read_torch


@pytest.fixture
def torch():
    """Imported where it is used: that takes a second of every process that collects tests."""
    return pytest.importorskip("torch", reason="needs torch (the extra 'parity')")


CHURCH = programs.ROOT / "tests" / "golden" / "church_thin"


def test_types_views_and_parameters(torch, tmp_path):
    torch.manual_seed(0)
    base = torch.randn(4, 6, 5)
    floats = ("float32", "float16", "bfloat16", "float64")
    integers = ("int64", "int32", "int16", "int8", "uint8", "bool")
    tensors = {name: (100 * base).to(getattr(torch, name)) for name in (*floats, *integers)}
    tensors |= {
        "transposed": base.permute(2, 0, 1),
        "slice": base[1:3, ::2, 2],
        "row": base[-1, -1],
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(base[0]),
        "last": base.to(memory_format=torch.preserve_format)[..., None].contiguous(),
        "channels": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }
    torch.save(tensors, tmp_path / "a.pt")
    read = read_torch(tmp_path / "a.pt")
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        tensor = tensor.detach()
        assert str(tensor.dtype) == f"torch.{read[name].dtype.name}"
        assert tuple(tensor.shape) == read[name].shape
        expected = tensor.to(torch.float64).numpy()
        np.testing.assert_array_equal(read[name].astype(np.float64), expected, err_msg=name)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_checkpoint_of_a_module_and_its_optimizer(torch, tmp_path, protocol):
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.randn(2, 3, 5, 5)).sum().backward()
    optimizer.step()
    checkpoint = {
        "epoch": 7,
        "best": 0.5,
        "model": module.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    torch.save(checkpoint, tmp_path / "a.pth", pickle_protocol=protocol)
    read = read_torch(tmp_path / "a.pth")
    assert list(read) == list(module.state_dict())
    for name, tensor in module.state_dict().items():
        np.testing.assert_array_equal(read[name], tensor.numpy())


def test_whole_modules_and_old_formats_are_refused(torch, tmp_path):
    torch.save(torch.nn.Linear(2, 3), tmp_path / "module.pth")
    words = r"holds 'torch\.nn\.modules\.linear\.Linear', which is not unpickled .*state_dict"
    with pytest.raises(UserError, match=words):
        read_torch(tmp_path / "module.pth")
    state = torch.nn.Linear(2, 3).state_dict()
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(UserError, match=r"PyTorch before 1\.6"):
        read_torch(tmp_path / "old.pth")


def test_a_diffusers_folder_with_a_bin_file(torch, tmp_path):
    stored = weights.read_tensors(CHURCH)
    (tmp_path / "config.json").write_text((CHURCH / "config.json").read_text())
    state = {name: torch.tensor(tensor) for name, tensor in stored.items()}
    torch.save(state, tmp_path / "diffusion_pytorch_model.bin")
    written = weights.to_diffusers(weights.load_diffusers(tmp_path)[1])
    assert written.keys() == stored.keys()
    for name, tensor in stored.items():
        np.testing.assert_array_equal(written[name], tensor)
