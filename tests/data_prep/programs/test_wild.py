"""A tour through the wild: files with the options of GDAL's drivers, built, verified and mapped.

Each file is read as people see it, or refused with a reason; there is nothing between.
"""

import collections

import folder_builds
import numpy as np
import pytest
import wild_files
from rasterio.windows import Window

from data_prep.__main__ import main
from noise2map_jax.mapping import scene

SIZE = 64  # of a tile, which holds each picture whole


def draw_scenes(source, seed, count, **fixed):
    """Write scenes; return number -> (path, pixels, valid, tolerance, classes)."""
    rng = np.random.default_rng(seed)
    drawn = {}
    for role in ("images", "masks"):
        (source / role).mkdir(parents=True)
    while len(drawn) < count:
        number = len(drawn)
        options = wild_files.draw(rng, **fixed)
        path = source / f"images/{number}"
        path, pixels, valid, tolerance = wild_files.write(path, options, number)
        kind = wild_files.MASKS[rng.integers(len(wild_files.MASKS))]
        mask = source / f"masks/{number}"
        _, classes = wild_files.write_mask(mask, kind, options, number, valid.shape)
        drawn[number] = (path, pixels, valid, tolerance, classes)
    return drawn


def rejected(manifest):
    return {entry["path"]: entry["reason"] for entry in manifest["rejected"]}


def check_record(record, pixels, valid, tolerance, classes):
    height, width = valid.shape
    image = record["image"][:height, :width].astype(int)
    assert record["image"].shape[-1] == pixels.shape[-1]
    assert np.abs(image - pixels)[valid].max() <= tolerance
    np.testing.assert_array_equal(record["mask"][:height, :width, 0], np.where(valid, classes, 255))


def check_map(path, pixels, valid, tolerance, dtype):
    with scene.open_image(str(path)) as image:
        scene.check_images([image], pixels.shape[-1], dtype)
        tile, seen = scene.read_block(image, Window(0, 0, *valid.shape[::-1]))
    assert np.abs(tile.astype(int) - pixels)[valid].max() <= tolerance
    np.testing.assert_array_equal(seen, valid)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("dtype", "bands", "seed"),
    [
        ("uint8", 3, 0),
        ("uint16", 4, 1),
        *(
            pytest.param(dtype, bands, seed, marks=pytest.mark.long)
            for seed in range(2, 7)
            for dtype in ("uint8", "uint16", "int16", "float32")
            for bands in (1, 3, 4, 5)
        ),
    ],
)
def test_files_are_read_as_seen_or_refused(tmp_path, dtype, bands, seed, capsys):
    source = tmp_path / "wild"
    drawn = draw_scenes(source, seed, 24, dtype=dtype, bands=bands)
    is_read = dtype in ("uint8", "uint16")
    built = folder_builds.run(
        source,
        f"--tile_size={SIZE}",
        f"--dtype={dtype if is_read else 'uint8'}",
        "--mask_encoding=index",
        "--on_error=skip",
    )
    output = capsys.readouterr()
    if not is_read:
        assert built == 2
        assert f"has pixels of type {dtype}; expected uint8 or uint16 (gdal_translate" in output.err
        return
    assert built == 0, output.err
    manifest, data = folder_builds.load(source, "wild")
    refused = rejected(manifest)
    records = {r["id"].decode().split("/")[1]: r for split in data.values() for r in split}
    outcomes = collections.Counter()
    for number, (path, pixels, valid, tolerance, classes) in drawn.items():
        name = path.relative_to(source).as_posix()
        if name in refused:
            assert len(refused[name]) > 20
            outcomes["refused"] += 1
            continue
        check_record(records[str(number)], pixels, valid, tolerance, classes)
        check_map(path, pixels, valid, tolerance, dtype)
        outcomes["right"] += 1
    assert sum(outcomes.values()) == len(drawn)
    assert outcomes["right"] >= len(drawn) // 2
    assert main(["verify", str(tmp_path / "shards/wild")]) == 0
