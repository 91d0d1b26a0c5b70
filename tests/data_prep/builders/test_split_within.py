"""One large image, or tiles of one mosaic, divided by strips with gaps between."""

import numpy as np
import pytest
from folder_builds import error, layout_plan, load, run, save
from rasterio import Affine

from data_prep.basics.errors import UserError


def test_one_large_image_is_divided_as_its_message_says(tmp_path, capsys):
    rng = np.random.default_rng(0)
    image, mask = rng.integers(1, 255, (512, 512, 3), np.uint8), np.zeros((512, 512), np.uint8)
    mask[:, ::2] = 255
    save(tmp_path / "s/images/scene.png", image)
    save(tmp_path / "s/masks/scene.png", mask)
    assert run(tmp_path / "s", "--tile_size=256") == 2
    (line,) = error(capsys)
    assert line == (
        "1 place(s) cannot be divided into train, val, test: at least 3 are needed (--split_within"
        " --tile_size=64 fits, which cuts each place into strips with gaps between;"
        " --splits=1,0,0 puts all in train)"
    )
    assert run(tmp_path / "s", "--split_within", "--tile_size=64", "--num_workers=1") == 0
    manifest, data = load(tmp_path / "s", "s")
    seen = {}
    for split, records in data.items():
        for record in records:
            scene, _, tile = record["id"].decode().removeprefix(f"{split}/").partition("/")
            row, column = (
                sum(int(part.split("_")[k][1:]) for part in (scene.removeprefix("scene_"), tile))
                for k in (0, 1)
            )
            np.testing.assert_array_equal(
                record["image"], image[row : row + 64, column : column + 64]
            )
            np.testing.assert_array_equal(
                record["mask"][..., 0], mask[row : row + 64, column : column + 64] // 255
            )
            seen.setdefault(split, set()).update(range(column, column + 64))
    assert {split: (min(s), max(s) + 1) for split, s in seen.items()} == {
        "train": (0, 256), "val": (320, 384), "test": (448, 512),
    }  # fmt: skip
    assert any(n.startswith("65536 of 262144 pixels (25.0 %) lie in") for n in manifest["notes"])
    assert {p for entry in manifest["splits"].values() for p in entry["places"]} == {"scene"}
    assert run(tmp_path / "s", "--splits=1,0,0", "--name=all") == 0


def test_tiles_of_one_mosaic_are_divided_on_its_grid(tmp_path):
    """No pixel of a split is nearer than the gap to one of another, across tiles too."""
    whole = np.random.default_rng(1).integers(1, 255, (96, 192, 3), np.uint8)
    for row in (0, 48):
        for column in (0, 64, 128):
            grid = {
                "crs": "EPSG:32633",
                "transform": Affine(0.5, 0, 1000 + column / 2, 0, -0.5, 9000 - row / 2),
            }
            part = whole[row : row + 48, column : column + 64]
            save(tmp_path / f"s/images/{row}_{column}.tif", part, grid)
            save(tmp_path / f"s/masks/{row}_{column}.tif", (part[..., 0] > 99).astype("u1"), grid)
    dataset = layout_plan(tmp_path / "s", "--split_within=24")
    columns = {"train": set(), "val": set(), "test": set()}
    for scene in dataset.scenes:
        row, column = map(int, scene.name.split("_r")[0].split("_"))
        top, left = row + scene.window[0], column + scene.window[1]
        pixels = dataset.load(scene)["image"]
        np.testing.assert_array_equal(
            pixels, whole[top : top + scene.height, left : left + scene.width]
        )
        columns[scene.split] |= set(range(left, left + scene.width))
    assert {s: (min(c), max(c) + 1, len(c)) for s, c in columns.items()} == {
        "train": (0, 96, 96), "val": (120, 136, 16), "test": (160, 192, 32),
    }  # fmt: skip
    assert len({scene.place for scene in dataset.scenes}) == 1


def test_strips_that_do_not_fit_and_splits_that_are_there(tmp_path):
    source = tmp_path / "s"
    for i in range(2):
        save(source / f"images/{i}.png", np.full((16, 16, 3), i, np.uint8))
        save(source / f"masks/{i}.png", np.eye(16, dtype=np.uint8))
    with pytest.raises(UserError, match=r"16 pixels cannot hold 3 strips .* 80 are needed"):
        layout_plan(source, "--split_within")
    (source / "train.txt").write_text("0\n1")
    with pytest.raises(UserError, match=r"--split_within: the lists train\.txt divide"):
        layout_plan(source, "--split_within")
