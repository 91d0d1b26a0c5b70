"""Ways to damage a file, by its kind: functions of its bytes, a generator and another file."""

import json
import struct
import zlib

NONSENSE = [None, 5, -1, 1e308, "x", "", [], {}, [[]], [None], {"a": [1]}, True, "2019-99"]
WKT = [
    "POLYGON",
    "POLYGON ((",
    "POLYGON ((0 0, 1 1))",
    "POLYGON ((0 0, 1e308 1e308, nan 3, 0 0))",
    "POLYGON ((0 0, 10 10, 10 0, 0 10, 0 0))",
    "POINT (1 2)",
    "GEOMETRYCOLLECTION EMPTY",
    "MULTIPOLYGON (((0 0, 9 0, 9 9, 0 0)), ((x y)))",
    "\x00\x01",
    "POLYGON ((" + "1 1, " * 2000 + "1 1))",
]


def cut(data, rng, _other):
    return data[: rng.randrange(1, len(data))]


def flip(data, rng, _other):
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 4, 20))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def flip_head(data, rng, _other):
    damaged = bytearray(data)
    for _ in range(4):
        damaged[rng.randrange(min(len(damaged), 64))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def blank(data, rng, _other):
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.choice((4, 64, 1024)))
    return data[:start] + bytes(stop - start) + data[stop:]


def empty(_data, _rng, _other):
    return b""


def swap(_data, _rng, other):
    return other


def noise(data, rng, _other):
    return rng.randbytes(min(len(data), 4096))


def huge_png(data, rng, _other):
    """State an enormous size in the header, with the right checksum."""
    sizes = rng.choice(((2**31 - 1, 2**31 - 1), (60000, 60000), (2**31 - 1, 1), (1, 2**20)))
    head = b"IHDR" + struct.pack(">II", *sizes) + data[24:29]
    return data[:12] + head + struct.pack(">I", zlib.crc32(head)) + data[33:]


def huge_jpeg(data, rng, _other):
    damaged = bytearray(data)
    start = next(i for i in range(len(data) - 9) if data[i] == 0xFF and data[i + 1] in (0xC0, 0xC2))
    damaged[start + 5 : start + 9] = struct.pack(">HH", *rng.choice(((65535, 65535), (65500, 8))))
    return bytes(damaged)


def huge_tiff(data, rng, _other):
    """Change values in some of the first tags: size, bits, compression, offsets, counts."""
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    (number,) = struct.unpack_from(order + "H", data, start)
    damaged = bytearray(data)
    wanted = rng.choice(((256, 257), (257,), (277,), (258,), (278,), (273,), (279,), (256, 277)))
    for i in range(number):
        at = start + 2 + 12 * i
        tag, kind, count = struct.unpack_from(order + "HHI", data, at)
        if tag in wanted and count * {3: 2, 4: 4}.get(kind, 9) <= 4:
            value = rng.choice((0, 65535) if kind == 3 else (0, 65536, 2**31 - 1, 2**32 - 1))
            struct.pack_into(order + ("H" if kind == 3 else "I"), damaged, at + 8, value)
        elif tag in wanted:
            struct.pack_into(order + "I", damaged, at + 4, rng.choice((0, 1, 2**31)))
    return bytes(damaged)


def _nodes(value, path=()):
    yield path
    children = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        children = enumerate(value)
    for key, child in children:
        yield from _nodes(child, (*path, key))


def wrong_json(data, rng, _other):
    """Give one node another type."""
    return _replaced(data, rng, lambda path, old: True, NONSENSE)


def wrong_wkt(data, rng, _other):
    """Replace one WKT, or any text if there is none, by nonsense."""
    return _replaced(data, rng, lambda path, old: isinstance(old, str), WKT)


def wrong_number(data, rng, _other):
    """Make one coordinate enormous, or no number at all."""
    numbers = [1e308, -1e9, 0, "NaN", None, [1, 2]]
    return _replaced(data, rng, lambda path, old: isinstance(old, int | float), numbers)


def _replaced(data, rng, chosen, values):
    tree = {"root": json.loads(data)}

    def at(path):
        node = tree
        for key in path:
            node = node[key]
        return node

    paths = [path for path in _nodes(tree) if path and chosen(path, at(path))]
    if not paths:
        return b"[]"
    # The depth is drawn first, because most nodes are coordinates.
    depth = rng.choice(sorted({len(path) for path in paths}))
    path = rng.choice([path for path in paths if len(path) == depth])
    at(path[:-1])[path[-1]] = rng.choice(values)
    return json.dumps(tree["root"]).encode()


GENERAL = (cut, flip, flip_head, blank, empty, swap, noise)
OF_KIND = {
    ".png": (huge_png,),
    ".jpg": (huge_jpeg,),
    ".tif": (huge_tiff, huge_tiff),
    ".json": (wrong_json, wrong_wkt, wrong_number),
    ".geojson": (wrong_json, wrong_number, wrong_number),
}


def ways(suffix):
    """Return every way to damage a file with this suffix."""
    return (*GENERAL, *OF_KIND.get(suffix, ()))
