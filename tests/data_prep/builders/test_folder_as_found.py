"""`data_prep folder` on files as people have them: masks lie on their images, or are refused."""

import numpy as np
import pytest
import rasterio
from folder_builds import error, grid_of, load, picture, run, save, square
from PIL import Image

from data_prep.imagery.turn import ALL

COUNT = 5


def mask_of(i):
    mask = np.zeros((32, 32), np.uint8)
    mask[3 : 12 + i, 5:25] = 1
    return mask


def images(source):
    for i in range(COUNT):
        save(source / f"images/{i}.tif", picture(i, 32, 32))


def check(source, expected=mask_of, name="mine"):
    """Compare every record with its image and mask as seen; return the manifest."""
    manifest, data = load(source, name)
    records = [record for split in data.values() for record in split]
    assert len(records) == COUNT
    for record in records:
        i = int(record["id"].decode().split("/")[1])
        np.testing.assert_array_equal(record["image"], picture(i, 32, 32))
        np.testing.assert_array_equal(record["mask"][..., 0], expected(i))
    return manifest


@pytest.mark.parametrize("turn", ALL)
def test_masks_that_lie_on_their_image_turned_are_turned_back(tmp_path, turn):
    source = tmp_path / "mine"
    images(source)
    back = next(other for other in ALL if _undoes(other, turn))
    for i in range(COUNT):
        grid = grid_of(str(i))
        turned = grid | {"transform": grid["transform"] * turn.to_stored(32, 32)}
        save(source / f"masks/{i}.tif", turn.apply(mask_of(i)), turned)
    assert run(source) == 0
    notes = " ".join(check(source)["notes"])
    assert ("5 files are turned onto the grid of their image" in notes) == bool(turn)
    assert not turn or back.in_words() in notes


def _undoes(other, turn):
    pixels = np.arange(6).reshape(2, 3)
    return np.array_equal(other.apply(turn.apply(pixels)), pixels)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (rasterio.Affine.translation(1, 0), "first pixel +1.00 columns and +0.00 rows away"),
        (rasterio.Affine.scale(2), "pixels of 2 x 2 pixels"),
        (rasterio.Affine.rotation(10), "turned by 10 degrees (python -m data_prep warp"),
        (rasterio.Affine.translation(900, 0), "no common ground"),
    ],
)
@pytest.mark.parametrize("role", ["mask", "post"])
def test_what_lies_elsewhere_is_refused_with_the_difference(tmp_path, capsys, role, change, words):
    source = tmp_path / "mine"
    names = ("images", "masks") if role == "mask" else ("A", "label", "B")
    for i in range(COUNT):
        grid = grid_of(str(i))
        elsewhere = grid | {"transform": grid["transform"] * change}
        for name in names:
            pixels = mask_of(i) if name in ("masks", "label") else picture(i, 32, 32)
            save(source / f"{name}/{i}.tif", pixels, elsewhere if name == names[-1] else grid)
    assert run(source) == 2
    assert words in " ".join(error(capsys))


def test_a_mask_in_another_crs_on_the_same_ground_is_on_the_same_grid(tmp_path):
    source = tmp_path / "mine"
    images(source)
    for i in range(COUNT):
        save(source / f"masks/{i}.tif", mask_of(i), grid_of(str(i)) | {"crs": "EPSG:26916"})
    assert run(source) == 0
    check(source)


def test_masks_without_a_georeference_lie_on_their_images(tmp_path):
    source = tmp_path / "mine"
    images(source)
    for i in range(COUNT):
        save(source / f"masks/{i}.png", mask_of(i))
    assert run(source) == 0
    check(source)


@pytest.mark.parametrize("tag", [3, 6, 8])
def test_masks_lie_on_photographs_as_seen(tmp_path, tag, capsys):
    source = tmp_path / "mine"
    (source / "images").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = tag
    stored = {3: 2, 6: 1, 8: 3}[tag]
    for i in range(COUNT):
        pixels = np.rot90(picture(i, 32, 32), stored)
        Image.fromarray(pixels).save(source / f"images/{i}.png", exif=exif)
        save(source / f"masks/{i}.png", mask_of(i))
    assert run(source) == 0
    check(source)
    assert "as its orientation tag says" in capsys.readouterr().out


def nan_masks(source):
    images(source)
    for i in range(COUNT):
        values = np.where(mask_of(i) > 0, np.float32(1), np.float32("nan"))
        save(source / f"masks/{i}.tif", values, grid_of(str(i)) | {"nodata": float("nan")})


def test_nan_is_ignored_or_the_class_that_is_asked_for(tmp_path, capsys):
    source = tmp_path / "mine"
    nan_masks(source)
    assert run(source) == 0
    check(source, lambda i: np.where(mask_of(i) > 0, 1, 255))
    assert "hold pixels of NaN or no-data, which are ignored; --mask_nodata=0" in (
        capsys.readouterr().out
    )
    assert run(source, "--mask_nodata=0", "--overwrite") == 0
    assert check(source)["options"]["mask_nodata"] == 0
    assert run(source, "--mask_nodata=2", "--overwrite") == 2
    assert "--mask_nodata=2: expected a class from 0 to 1, or 255" in error(capsys)[0]


def test_declared_no_data_that_is_no_class_is_ignored(tmp_path):
    source = tmp_path / "mine"
    images(source)
    for i in range(COUNT):
        values = mask_of(i)
        values[30:] = 99
        save(source / f"masks/{i}.tif", values, grid_of(str(i)) | {"nodata": 99})
    assert run(source) == 0
    rows = np.arange(32)[:, None]
    check(source, lambda i: np.where(rows >= 30, 255, mask_of(i)))


def test_grey_images_become_three_bands_if_asked_for(tmp_path):
    source = tmp_path / "mine"
    for i in range(COUNT):
        save(source / f"images/{i}.png", picture(i, 32, 32)[..., 0])
        save(source / f"masks/{i}.png", mask_of(i))
    assert run(source, "--bands=1,1,1") == 0
    manifest, data = load(source, "mine")
    record = data["train"][0]
    i = int(record["id"].decode().split("/")[1])
    np.testing.assert_array_equal(record["image"], picture(i, 32, 32)[..., [0, 0, 0]])
    assert (manifest["num_bands"], manifest["options"]["bands"]) == (3, [1, 1, 1])


def test_a_fourth_band_that_is_flagged_as_alpha_is_kept_if_asked_for(tmp_path, capsys):
    source = tmp_path / "mine"
    for i in range(COUNT):
        save(source / f"images/{i}.tif", picture(i, 32, 32, 4))
        save(source / f"masks/{i}.tif", square(32, 32))
    assert run(source) == 0
    assert "--alpha=band reads it" in capsys.readouterr().out
    assert run(source, "--alpha=band", "--overwrite") == 0
    _, data = load(source, "mine")
    record = data["train"][0]
    i = int(record["id"].decode().split("/")[1])
    np.testing.assert_array_equal(record["image"], picture(i, 32, 32, 4))


def test_black_that_no_file_declares_is_told_and_ignored_if_asked_for(tmp_path, capsys):
    source = tmp_path / "mine"
    for i in range(COUNT):
        pixels = np.maximum(picture(i, 32, 32), 1)
        pixels[:4] = 0
        pixels[10, 10] = (0, 0, 5)
        save(source / f"images/{i}.{'png' if i % 2 else 'tif'}", pixels)
        save(source / f"masks/{i}.png", mask_of(i))
    assert run(source) == 0
    assert "5 images hold much black that counts as data" in capsys.readouterr().out
    assert run(source, "--nodata=0", "--overwrite") == 0
    assert "much black" not in capsys.readouterr().out
    manifest, data = load(source, "mine")
    assert manifest["options"]["nodata"] == 0
    for record in (record for split in data.values() for record in split):
        i = int(record["id"].decode().split("/")[1])
        expected = mask_of(i)
        expected[:4] = 255
        np.testing.assert_array_equal(record["mask"][..., 0], expected)


def test_masks_of_0_and_1_beside_masks_of_0_and_255_are_refused_or_all_foreground(tmp_path, capsys):
    source = tmp_path / "mine"
    images(source)
    for i in range(COUNT):
        save(source / f"masks/{i}.png", mask_of(i) * (255 if i % 2 else 1))
    assert run(source) == 2
    assert (
        "3 masks (such as masks/0.png) hold 0 and 1, and 2 (such as masks/1.png)"
        in (error(capsys)[0])
    )
    assert run(source, "--mask_encoding=nonzero") == 0
    check(source)


def test_masks_among_images_that_no_name_tells_apart_are_refused(tmp_path, capsys):
    source = tmp_path / "mine"
    for i in range(COUNT):
        save(source / f"{i}.tif", picture(i, 32, 32))
    save(source / "roofs of 3.tif", mask_of(3))
    assert run(source, "--bands=1") == 2
    assert "1 of 6 files hold few values, as masks do (roofs of 3.tif)" in error(capsys)[0]
    assert run(source, "--bands=1", "--task=denoise") == 0


@pytest.mark.parametrize("placed", [True, False])
def test_masks_that_do_not_say_where_they_lie_beside_images_stored_bottom_up(tmp_path, placed):
    source = tmp_path / "mine"
    for i in range(COUNT):
        north = grid_of(str(i))["transform"]
        turned = {"crs": "EPSG:32616", "transform": north @ rasterio.Affine(1, 0, 0, 0, -1, 32)}
        save(source / f"images/{i}.tif", picture(i, 32, 32), turned)
        save(source / f"masks/{i}{'.tif' if placed else '.png'}", mask_of(i), turned)
    assert run(source) == 0
    told = "5 images (such as 0.tif) are stored bottom up, and their masks/0.png does not say"
    assert (told in " ".join(check(source)["notes"])) is not placed
