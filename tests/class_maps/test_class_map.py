import numpy as np
import pytest
import rasterio
from class_maps import write_map, write_probability
from raster_files import write_tiff

from noise2map_jax.class_maps.class_map import class_names, open_class_map
from noise2map_jax.errors import UserError

MAP = np.array([[0, 1, 2, 255], [1, 1, 0, 255]], np.uint8)


def strips(path, probability="", classes=(), rows=1):
    with open_class_map(path, probability, classes) as source:
        return list(source.strips(rows))


def test_background_and_no_data_are_no_classes(tmp_path):
    path = write_map(tmp_path / "m.tif", MAP)
    read = np.concatenate([indices for indices, _ in strips(path)])
    np.testing.assert_array_equal(read, [[0, 1, 2, 0], [1, 1, 0, 0]])
    declared = write_map(tmp_path / "n.tif", MAP, nodata=2)  # 255 is no data all the same
    read = np.concatenate([indices for indices, _ in strips(declared)])
    np.testing.assert_array_equal(read, [[0, 1, 0, 0], [1, 1, 0, 0]])


def test_what_a_map_masks_is_no_class(tmp_path):
    path = write_map(tmp_path / "m.tif", np.ones((2, 2), np.uint8), nodata=None)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as target:
        target.write_mask(np.array([[255, 0], [255, 255]], np.uint8))
    (first, _), (second, _) = strips(path)
    np.testing.assert_array_equal(np.concatenate([first, second]), [[1, 0], [1, 1]])


@pytest.mark.parametrize("rows", [0, 1, 2, 5])
def test_strips_are_the_map_and_its_probability(tmp_path, rows):
    path = write_map(tmp_path / "m.tif", MAP)
    values = np.linspace(0, 1, 8, dtype=np.float32).reshape(2, 4)
    probability = write_probability(tmp_path / "p.tif", values, nodata=np.nan)
    read = strips(path, probability, rows=rows)
    assert [len(indices) for indices, _ in read] == ([1, 1] if rows == 1 else [2])
    np.testing.assert_array_equal(np.concatenate([p for _, p in read]), values)


def test_probabilities_as_whole_numbers_with_their_scale(tmp_path):
    path = write_map(tmp_path / "m.tif", MAP)
    stored = np.array([[0, 100, 200, 255], [50, 50, 50, 255]], np.uint8)
    probability = write_probability(tmp_path / "p.tif", stored, nodata=255)
    with pytest.raises(UserError, match=r"p\.tif' holds 100; expected probabilities from 0 to 1"):
        strips(path, probability, rows=2)
    with rasterio.open(probability, "r+") as target:
        target.scales, target.offsets = (0.004,), (0.1,)
    ((_, read),) = strips(path, probability, rows=2)
    np.testing.assert_allclose(read, [[0.1, 0.5, 0.9, np.nan], [0.3, 0.3, 0.3, np.nan]], atol=1e-6)


def test_names_of_classes_may_have_commas():
    assert class_names("0 = no change, 1 = roof, flat, 2 = 3 = x") == (
        "no change",
        "roof, flat",
        "3 = x",
    )
    assert class_names("") == ()
    for tag in ("building", "1 = building", "0 = a, 2 = b"):
        with pytest.raises(UserError, match="expected such as"):
            class_names(tag)


def test_names_that_are_given_go_before_those_in_the_map(tmp_path):
    path = write_map(tmp_path / "m.tif", MAP)
    with open_class_map(path) as source:
        assert source.classes == ("background", "building", "water")
    with open_class_map(path, classes=("a", "b", "c")) as source:
        assert source.classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda path: write_map(path, MAP, names=()), r"does not name its classes.*--classes="),
        (
            lambda path: write_map(path, MAP, names=("background", "building")),
            r"holds class 2, but names 2 classes \(background, building\)",
        ),
        (
            lambda path: write_map(path, MAP.astype(np.int16) - 300, nodata=None),
            r"holds class -300",
        ),
        (lambda path: write_map(path, MAP.astype(np.float32)), "holds float32.*whole numbers"),
        (lambda path: write_tiff(path, np.zeros((4, 4, 3), np.uint8)), "has 3 bands"),
        (lambda path: path.write_bytes(b"II*\0"), "cannot read"),
        (lambda path: None, "cannot read"),
        (
            lambda path: write_map(path, MAP, transform=rasterio.Affine(0, 0, 5, 0, 0, 5)),
            "degenerate",
        ),
    ],
)
def test_what_is_no_class_map_is_an_error_in_one_line(tmp_path, content, words):
    content(tmp_path / "m.tif")
    with pytest.raises(UserError, match=words) as error:
        strips(str(tmp_path / "m.tif"))
    assert "\n" not in str(error.value)
    assert "m.tif" in str(error.value)


def test_a_map_that_ends_early_is_an_error(tmp_path):
    noise = np.random.default_rng(0).integers(0, 3, (300, 300)).astype(np.uint8)
    path = write_map(tmp_path / "m.tif", noise)
    whole = (tmp_path / "m.tif").read_bytes()
    (tmp_path / "m.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cannot read '.*m\.tif': (?!.*See previous)"):
        strips(path)


def test_a_probability_on_another_grid_is_refused_with_the_difference(tmp_path):
    path = write_map(tmp_path / "m.tif", MAP)
    small = write_probability(tmp_path / "p.tif", np.zeros((2, 3), np.float32))
    with pytest.raises(UserError, match="different grids: 3 x 2 pixels instead of 4 x 2"):
        strips(path, small)
    moved = write_probability(
        tmp_path / "q.tif",
        np.zeros((2, 4), np.float32),
        transform=rasterio.Affine(0.5, 0, 101, 0, -0.5, 100),
    )
    with pytest.raises(UserError, match=r"different grids: first pixel \+2\.00 columns"):
        strips(path, moved)


def test_reading_leaves_the_cache_of_gdal_as_it_was(tmp_path):
    from rasterio.env import get_gdal_config

    before = get_gdal_config("GDAL_CACHEMAX")
    strips(write_map(tmp_path / "m.tif", MAP))
    assert get_gdal_config("GDAL_CACHEMAX") == before
