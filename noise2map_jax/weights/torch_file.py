"""State dicts that PyTorch saved (.pth, .pt, .bin), read without torch and without unpickling."""

import math
import os
import pathlib
import re
import zipfile
from typing import Any

import ml_dtypes
import numpy as np

from noise2map_jax.errors import UserError
from noise2map_jax.weights.torch_pickle import STORAGES, Tensor, read_pickle

CONTAINERS = ("state_dict", "model", "model_state_dict")
DTYPES: dict[str, Any] = {
    "torch FloatStorage": np.float32,
    "torch HalfStorage": np.float16,
    "torch BFloat16Storage": ml_dtypes.bfloat16,
    "torch DoubleStorage": np.float64,
    "torch LongStorage": np.int64,
    "torch IntStorage": np.int32,
    "torch ShortStorage": np.int16,
    "torch CharStorage": np.int8,
    "torch ByteStorage": np.uint8,
    "torch BoolStorage": np.bool_,
}
assert DTYPES.keys() == STORAGES
# No real weights exceed these; NumPy's own limit is rank 64.
MAX_RANK, MAX_SIDE = 32, 2**40
RESAVE = "load it with a current torch and save it again: torch.save(state_dict, ...)"


def read_torch(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read a state dict.

    Args:
        path: a file of `torch.save` since version 1.6; it holds a state dict, or a dict with one
            under "state_dict", "model" or "model_state_dict".

    Returns:
        Arrays by name, as stored, read-only; views of a storage share its memory.

    Raises:
        UserError: the file does not exist, has another format, is damaged, or holds something other
            than tensors, which the message names. Nothing in the file is imported or called.
    """
    path = pathlib.Path(path)
    _check_format(path)
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_archive(archive, path)
    # BadZipFile includes wrong checksums. NotImplementedError and RuntimeError: compression or
    # encryption that zipfile does not support. The others: offsets outside the file.
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise UserError(f"{path}: not a complete PyTorch file ({error}); copy it again") from error
    except (ValueError, OverflowError, MemoryError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path}: a damaged PyTorch file ({error}); copy it again") from error


def _check_format(path: pathlib.Path) -> None:
    """Raise if a file is not a zip archive, and say what it is."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    if head[257:262] == b"ustar" or head.startswith(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."):
        raise UserError(f"{path}: in the format of PyTorch before 1.6, not a zip; {RESAVE}")
    if not head.startswith(b"PK\x03\x04"):
        raise UserError(f"{path}: not a file of torch.save; expected a zip archive with data.pkl")


def _read_archive(archive: zipfile.ZipFile, path: pathlib.Path) -> dict[str, np.ndarray]:
    entries = {entry.filename: entry for entry in archive.infolist()}
    pickles = [name for name in entries if re.fullmatch(r"[^/]+/data\.pkl", name)]
    if len(pickles) != 1:
        raise UserError(f"{path}: not a file of torch.save: it has {len(pickles)} NAME/data.pkl")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in entries:
        raise UserError(f"{path}: a TorchScript program, not weights; save its state_dict()")
    # torch never compresses, so the entries together cannot be larger than the file.
    total = 0
    for name, entry in entries.items():
        total += entry.file_size
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise UserError(f"{path}: {name!r} is compressed, but torch.save never does; {RESAVE}")
    if total > path.stat().st_size:
        raise UserError(f"{path}: its entries are larger than the file; copy it again")
    order = archive.read(f"{folder}byteorder") if f"{folder}byteorder" in entries else b"little"
    if order != b"little":
        raise UserError(
            f"{path}: byte order is {order.decode(errors='replace')[:20]!r}, expected 'little'; "
            "load and save the file again with torch on a little-endian machine"
        )
    state = _state_dict(read_pickle(archive.read(entries[pickles[0]]), str(path)), path)
    stored: dict[str, bytes] = {}
    tensors = {}
    for name, tensor in state.items():
        key = f"{folder}data/{tensor.storage.key}"
        if key not in entries:
            raise UserError(f"{path}: tensor {name}: the file lacks its storage {key!r}")
        if key not in stored:
            stored[key] = archive.read(entries[key])
        tensors[name] = _view(tensor, stored[key], f"{path}: tensor {name}")
    return tensors


def _state_dict(content: Any, path: pathlib.Path) -> dict[str, Tensor]:
    """Find the dict of tensors at the top level or one level below."""
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds a {type(content).__name__}, expected a state dict")
    if not any(isinstance(value, Tensor) for value in content.values()):
        found = [name for name in CONTAINERS if isinstance(content.get(name), dict)]
        if len(found) != 1:
            known = ", ".join(CONTAINERS)
            keys = ", ".join(repr(key)[:40] for key in list(content)[:20]) or "nothing"
            what = f"{len(found)} state dicts" if found else "no tensors"
            raise UserError(
                f"{path}: {what} among {keys}; expected a state dict, or one under one of {known}"
            )
        content = content[found[0]]
    others = [repr(key)[:80] for key, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise UserError(
            f"{path}: its state dict has values other than tensors: {', '.join(others)}; remove "
            "them"
        )
    strange = [key for key in content if not isinstance(key, str) or not key.isprintable()]
    if strange:
        raise UserError(f"{path}: its state dict has the key {strange[0]!r}; expected names")
    return content


def _view(tensor: Tensor, stored: bytes, source: str) -> np.ndarray:
    """Return a tensor's view of its storage, after checking that the view stays inside."""
    dtype = np.dtype(DTYPES[tensor.storage.kind])
    available = len(stored) // dtype.itemsize
    shape, strides, offset = tensor.shape, tensor.strides, tensor.offset
    sane = all(0 <= size < MAX_SIDE for size in (offset, *shape, *strides))
    if not sane or not len(shape) == len(strides) <= MAX_RANK:
        raise UserError(f"{source}: its shape or strides are impossible; copy it again")
    numel = math.prod(shape)
    end = offset + 1 + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    # More elements than are stored would be a broadcast view: small on disk, huge in memory.
    if numel and (end > available or numel > available):
        raise UserError(
            f"{source}: {numel} elements of {dtype} up to number {end}, "
            f"but its storage has {available}; copy it again"
        )
    if not numel:
        view = np.zeros(shape, dtype)
    else:
        steps = tuple(stride * dtype.itemsize for stride in strides)
        view = np.ndarray(shape, dtype, stored, offset * dtype.itemsize, steps)
    view.flags.writeable = False
    return view
