"""Files like those of torch.save, made by hand, so that they can also be malformed."""

import struct
import zipfile

import numpy as np


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def integer(value):
    data = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def sequence(*items):
    return b"(" + b"".join(items) + b"t"


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def mapping(items):
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def tensor(key="0", numel=6, offset=0, shape=(2, 3), strides=(3, 1), kind="FloatStorage"):
    """Return the opcodes that torch writes for a tensor."""
    storage = sequence(text("storage"), name("torch", kind), text(key), text("cpu"), integer(numel))
    arguments = sequence(
        storage + b"Q",
        integer(offset),
        sequence(*map(integer, shape)),
        sequence(*map(integer, strides)),
        b"\x89",
        name("collections", "OrderedDict") + b")R",
    )
    return name("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"


def save(path, opcodes, storages=None, *, compression=zipfile.ZIP_STORED, **more):
    """Write an archive, by default with one storage of six floats."""
    if storages is None:
        storages = {"0": np.arange(6, dtype=np.float32).tobytes()}
    entries = {"data.pkl": b"\x80\x02" + opcodes + b".", "byteorder": b"little"}
    entries |= {f"data/{key}": data for key, data in storages.items()} | more
    with zipfile.ZipFile(path, "w", compression) as archive:
        for entry, data in entries.items():
            archive.writestr(f"archive/{entry}", data)
    return path
