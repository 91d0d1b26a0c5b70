"""State dicts of PyTorch, made by hand or damaged: nothing in them is run."""

import os
import pickle
import random
import tarfile
import zipfile

import numpy as np
import pytest
import torch_archives as archives
from hypothesis import example, given, settings
from hypothesis import strategies as st

from noise2map_jax.errors import UserError
from noise2map_jax.weights.torch_file import read_torch
from noise2map_jax.weights.torch_pickle import read_pickle

TENSOR = archives.tensor()
STATE = archives.mapping({"a.weight": TENSOR, "b": archives.tensor(shape=(6,), strides=(1,))})


def test_a_file_made_by_hand_is_read_without_torch(tmp_path):
    path = archives.save(tmp_path / "a.pth", STATE)
    tensors = read_torch(path)
    assert list(tensors) == ["a.weight", "b"]
    np.testing.assert_array_equal(tensors["a.weight"], np.arange(6, dtype=np.float32).reshape(2, 3))
    assert tensors["a.weight"].dtype == np.float32
    assert np.shares_memory(tensors["a.weight"], tensors["b"])
    with pytest.raises(ValueError, match="read-only"):
        tensors["b"][0] = 1


@pytest.mark.parametrize("container", ["state_dict", "model", "model_state_dict"])
def test_a_state_dict_one_level_below_is_found(tmp_path, container):
    content = {"epoch": archives.integer(3), container: STATE, "optimizer": archives.mapping({})}
    tensors = read_torch(archives.save(tmp_path / "a.pth", archives.mapping(content)))
    assert list(tensors) == ["a.weight", "b"]


def test_only_the_storages_that_are_needed_are_read(tmp_path):
    content = {"state_dict": STATE, "optimizer": archives.mapping({"m": archives.tensor("gone")})}
    assert len(read_torch(archives.save(tmp_path / "a.pth", archives.mapping(content)))) == 2


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(6))
def test_code_is_named_and_not_run(tmp_path, protocol):
    marker = tmp_path / "was_run"
    data = pickle.dumps({"a": Hostile(marker)}, protocol)
    path = archives.save(tmp_path / "a.pth", b"", **{"data.pkl": data})
    if protocol >= 2:
        with pytest.raises(UserError, match=rf"a\.pth: holds '{os.name}\.system', which is not"):
            read_torch(path)
    else:
        with pytest.raises(UserError, match=r"a\.pth: holds .*, which is not unpickled"):
            read_torch(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("opcodes", "words"),
    [
        (archives.name("builtins", "eval"), r"holds 'builtins\.eval'"),
        (archives.text("os") + archives.text("system") + b"\x93", r"holds 'os\.system'"),
        (archives.name("torch", "device"), r"holds 'torch\.device'"),
        (archives.name("torch", "FloatStorage") + b")R", r"holds 'torch\.FloatStorage' with other"),
        (archives.name("torch._utils", "_rebuild_tensor_v2") + b")R", "with other arguments"),
        (archives.name("torch._utils", "_rebuild_parameter") + b")R", "with other arguments"),
        (archives.name("torch._utils", "_rebuild_tensor_v3"), r"holds 'torch\._utils\._rebuild_t"),
        (b"(ios\nsystem\n", "holds the pickle opcode INST"),
        (b"))\x81", "holds the pickle opcode NEWOBJ"),
        (b"\x82\x01", "holds the pickle opcode EXT1"),
        (b"Pabc\n", "holds the pickle opcode PERSID"),
        (archives.sequence(archives.text("module")) + b"Q", "a reference to something other than"),
        (b"})K\x01s", "a dict with keys of type tuple"),
        (b")", "holds a tuple, expected a state dict"),
        (b"K\x01", "holds a int, expected a state dict"),
        (b"}", "no tensors among nothing"),
        (archives.mapping({"epoch": b"K\x01"}), "no tensors among 'epoch'; expected a state dict"),
        (archives.mapping({"model": STATE, "state_dict": STATE}), "2 state dicts among 'model', "),
        (archives.mapping({"a": TENSOR, "epoch": b"N"}), "values other than tensors: 'epoch'"),
        (b"}K\x01" + TENSOR + b"s", "its state dict has the key 1; expected names"),
        (archives.mapping({"a\nb": TENSOR}), r"its state dict has the key 'a\\nb'; expected names"),
        (b"R", "its pickle is damaged"),
        (b"(((", "its pickle is damaged"),
        (b"h\x07", "its pickle is damaged"),
        (b"\xff", "its pickle is damaged"),
    ],
)
def test_what_is_no_state_dict_is_named(tmp_path, opcodes, words):
    path = archives.save(tmp_path / "a.pth", opcodes)
    with pytest.raises(UserError, match=rf"a\.pth: .*{words}") as error:
        read_torch(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        ({"offset": 1}, "6 elements of float32 up to number 7, but its storage has 6"),
        ({"offset": -1}, "its shape or strides are impossible"),
        ({"offset": 2**70}, "its shape or strides are impossible"),
        ({"strides": (4, 1)}, "up to number 7, but its storage has 6"),
        ({"strides": (-3, 1)}, "its shape or strides are impossible"),
        ({"strides": (1,)}, "its shape or strides are impossible"),
        ({"shape": (2**39, 2**39), "strides": (0, 0)}, "but its storage has 6"),
        ({"shape": (7,), "strides": (0,)}, "7 elements of float32 up to number 1, but its"),
        ({"shape": (2**64,), "strides": (0,)}, "its shape or strides are impossible"),
        ({"shape": (-1,), "strides": (1,)}, "its shape or strides are impossible"),
        ({"shape": (1,) * 33, "strides": (1,) * 33}, "its shape or strides are impossible"),
        ({"shape": (0, 2**39, 2**39), "strides": (1,) * 3}, "a damaged PyTorch file"),
        ({"kind": "DoubleStorage"}, "6 elements of float64 up to number 6, but its storage has 3"),
        ({"key": "1"}, "lacks its storage 'archive/data/1'"),
        ({"key": "../data.pkl"}, "lacks its storage"),
    ],
)
def test_tensors_that_reach_outside_are_refused(tmp_path, tensor, words):
    state = archives.mapping({"conv": archives.tensor(**tensor)})
    path = archives.save(tmp_path / "a.pth", state)
    with pytest.raises(UserError, match=rf"a\.pth: .*{words}"):
        read_torch(path)


def test_views_of_no_elements_and_of_one(tmp_path):
    state = {
        "none": archives.tensor(shape=(0, 3), strides=(3, 1)),
        "one": archives.tensor(offset=5, shape=(), strides=()),
        "column": archives.tensor(offset=1, shape=(2, 1), strides=(3, 7)),
    }
    tensors = read_torch(archives.save(tmp_path / "a.pth", archives.mapping(state)))
    assert tensors["none"].shape == (0, 3)
    assert tensors["one"] == 5
    np.testing.assert_array_equal(tensors["column"], [[1], [4]])


def test_other_formats_are_named(tmp_path):
    path = tmp_path / "a.pth"
    with pytest.raises(UserError, match=r"a\.pth: cannot be read \(No such file"):
        read_torch(path)
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        read_torch(tmp_path)
    for content in (b"", b"{}", pickle.dumps({}), b"\x89HDF\r\n"):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"a\.pth: not a file of torch\.save; expected a zip"):
            read_torch(path)
    path.write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C, 2) + b"more")
    with pytest.raises(UserError, match=r"PyTorch before 1\.6, .*load it with a current torch"):
        read_torch(path)
    with tarfile.open(path, "w") as tar:
        tar.add(__file__, "storages")
    with pytest.raises(UserError, match=r"PyTorch before 1\.6, .*load it with a current torch"):
        read_torch(path)
    archives.save(path, STATE, byteorder=b"big")
    with pytest.raises(UserError, match="byte order is 'big', expected 'little'"):
        read_torch(path)
    archives.save(path, STATE, **{"constants.pkl": b"", "code/a.py": b""})
    with pytest.raises(UserError, match=r"a TorchScript program, not weights; save its state_dict"):
        read_torch(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "")
    with pytest.raises(UserError, match=r"not a file of torch\.save: it has 0 NAME/data\.pkl"):
        read_torch(path)


def test_a_compressed_bomb_is_not_unpacked(tmp_path):
    bomb = {"0": bytes(50_000_000)}
    path = archives.save(tmp_path / "a.pth", STATE, bomb, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(UserError, match=r"'archive/data\.pkl' is compressed, but torch\.save"):
        read_torch(path)


def test_a_pickle_of_many_objects_is_refused(tmp_path):
    path = archives.save(tmp_path / "a.pth", b"}" * (16 * 2**20))
    with pytest.raises(UserError, match="its pickle has 16777219 bytes, expected at most 16777216"):
        read_torch(path)


def test_truncated_files_are_refused(tmp_path):
    path = archives.save(tmp_path / "a.pth", STATE)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"a\.pth: ") as error:
            read_torch(path)
        assert "\n" not in str(error.value)


def read_or_refuse(read, *arguments):
    """Read, which may fail only as a user's mistake may."""
    try:
        return read(*arguments)
    except UserError as error:
        message = str(error)
    assert "\n" not in message
    return None


def test_flipped_bits_never_do_worse_than_a_refusal(tmp_path):
    rng = random.Random(0)
    path = archives.save(tmp_path / "a.pth", STATE)
    whole = path.read_bytes()
    read = 0
    for _ in range(2000):
        damaged = bytearray(whole)
        for _ in range(rng.choice((1, 1, 2, 8))):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        tensors = read_or_refuse(read_torch, path)
        read += tensors is not None
        assert sum(tensor.nbytes for tensor in (tensors or {}).values()) <= 100
    assert 0 < read < 1500  # dates and the like do not matter


def test_flipped_bits_in_a_pickle_never_do_worse_than_a_refusal(tmp_path):
    rng = random.Random(1)
    whole = b"\x80\x02" + STATE + b"."
    read = 0
    for _ in range(2000):  # the checksum is right each time
        damaged = bytearray(whole)
        for _ in range(rng.choice((1, 1, 2, 8))):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        path = archives.save(tmp_path / "a.pth", b"", **{"data.pkl": bytes(damaged)})
        read += read_or_refuse(read_torch, path) is not None
    assert 0 < read < 1500


PARTS = st.sampled_from(
    [bytes([code]) for code in b"})](tsuaeQRb0N\x85\x86\x87\x88\x89\x94\x93.q\x00h\x00K\x01"]
    + [TENSOR, STATE, archives.text("a"), archives.integer(-5), b"q\x00", b"h\x00", b"K\x01"]
    + [archives.name("collections", "OrderedDict"), archives.name("torch", "FloatStorage")]
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=60), st.lists(PARTS, max_size=25).map(b"".join)))
@example(b"\x80\x02]q\x00h\x00a.")  # a list that holds itself
@example(b"}q\x00X\x01\x00\x00\x00ah\x00s.")  # so does a dict
def test_any_bytes_are_read_or_refused(data):
    read_or_refuse(read_pickle, data, "here")
