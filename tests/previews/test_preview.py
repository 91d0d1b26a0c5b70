"""Previews of maps, looked at pixel by pixel."""

import warnings

import numpy as np
import pytest
import rasterio
from class_maps import write_map
from PIL import Image
from raster_files import write_tiff
from rasterio import Affine
from rasterio.errors import NotGeoreferencedWarning
from rasterio.shutil import copy

from data_prep.drawing.scenes import segmentation_scene
from data_prep.imagery.band_choice import BandChoice
from noise2map_jax.errors import UserError
from noise2map_jax.previews import image_view, preview
from noise2map_jax.previews.preview import check_preview, write_preview

NAMES = ("background", "building")
HEIGHT, WIDTH = 70, 90
ZOOM = 6  # 1560 / 3 / 90, rounded
GREY = 128


@pytest.fixture
def scene(tmp_path):
    """An image, its map and their pixels."""
    pixels, mask = segmentation_scene(np.random.default_rng(5), 90)
    pixels, mask = pixels[:HEIGHT], mask[:HEIGHT, :, 0].astype(np.uint8)
    mask[:10, :10] = 255
    image = str(write_tiff(tmp_path / "scene.tif", pixels))
    return image, write_map(tmp_path / "map.tif", mask, NAMES), pixels, mask


def panels(path, number=3, size=(HEIGHT, WIDTH), zoom=ZOOM, columns=3):
    """Cut the panels out of a preview, one value a pixel of the scene."""
    sheet = np.asarray(Image.open(path))
    tall, wide = size[0] * zoom, size[1] * zoom
    found = []
    for k in range(number):
        row, column = divmod(k, columns)
        top = 20 + 58 + 22 + row * (tall + 22 + 14)
        left = 20 + column * (wide + 14)
        found.append(sheet[top : top + tall, left : left + wide])
    return found


def write_pair(folder, pixels, second, **place):
    first = str(write_tiff(folder / "a.tif", pixels))
    return [first, str(write_tiff(folder / "b.tif", second, **place))]


def test_the_image_the_map_and_its_outlines_are_shown(scene, tmp_path):
    image, class_map, pixels, mask = scene
    write_preview(class_map, [image], str(tmp_path / "p.png"))
    shown, mapped, outlined = panels(tmp_path / "p.png")
    np.testing.assert_array_equal(shown[3::ZOOM, 3::ZOOM], pixels)
    expected = np.where(mask == 255, GREY, mask * 255)
    np.testing.assert_array_equal(mapped[2::ZOOM, 2::ZOOM], expected[..., None].repeat(3, -1))
    changed = (outlined != shown).any(-1)
    assert changed.any()
    inside = (mask == 1).repeat(ZOOM, 0).repeat(ZOOM, 1)
    assert (outlined[changed & inside] == 255).all()
    assert (outlined[changed & ~inside] == 0).all()
    assert not list(tmp_path.glob("*.part"))


def test_two_dates_are_brought_onto_one_grid(scene, tmp_path):
    _, class_map, pixels, _ = scene
    moved = np.roll(pixels, (4, -7), (0, 1))  # and said to lie four rows up and seven columns right
    place = {"transform": Affine(0.5, 0, 100 + 3.5, 0, -0.5, 100 + 2)}
    images = write_pair(tmp_path, pixels, moved, **place)
    write_preview(class_map, images, str(tmp_path / "p.png"))
    before, after, *_ = panels(tmp_path / "p.png", 4, columns=2, zoom=7)
    np.testing.assert_array_equal(before[3::7, 3::7], pixels)
    inside = after[3::7, 3::7]
    np.testing.assert_array_equal(inside[:-4, 7:], pixels[:-4, 7:])
    assert (inside[-4:] == GREY).all()
    assert (inside[:, :7] == GREY).all()


def test_a_shift_between_the_dates_is_taken_out_as_for_the_map(tmp_path):
    pytest.importorskip("skimage", reason="of the extra gis")
    pixels, mask = segmentation_scene(np.random.default_rng(5), 768)
    images = write_pair(tmp_path, pixels, np.roll(pixels, (9, -6), (0, 1)))
    class_map = write_map(tmp_path / "map.tif", mask[..., 0].astype(np.uint8), NAMES)
    apart = []
    for register in ("", "apply"):
        write_preview(class_map, images, str(tmp_path / "p.png"), register=register)
        before, after, *_ = panels(tmp_path / "p.png", 4, (768, 768), 1, 2)
        inside = slice(20, -20)
        apart.append(np.abs(before.astype(int) - after)[inside, inside].mean())
    assert apart[0] > 20
    assert apart[1] < 4


def test_sixteen_bits_are_stretched_and_bands_chosen(scene, tmp_path):
    _, class_map, pixels, _ = scene
    deep = pixels[..., [1, 0, 1, 2]].astype(np.uint16) * 4 + 300
    deep[:5] = 65535  # no data, which must not darken the rest
    image = str(write_tiff(tmp_path / "deep.tif", deep, nodata=65535))
    choice = BandChoice((2, 3, 4), alpha="band")
    write_preview(class_map, [image], str(tmp_path / "p.png"), choice=choice)
    shown = panels(tmp_path / "p.png")[0][3::ZOOM, 3::ZOOM]
    assert (shown[:5] == GREY).all()
    low, high = np.percentile(pixels[5:], (2, 98), axis=(0, 1))
    expected = 255 * np.clip((pixels[5:] - low) / (high - low), 0, 1)
    np.testing.assert_allclose(shown[5:], expected, atol=1)


def test_a_large_scene_is_averaged_and_overviews_are_used(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2080, 2080, 3)).astype(np.uint8)
    mask = np.zeros((2080, 2080), np.uint8)
    mask[1000, 1000] = 1  # one pixel of a cell of sixteen
    mask[400:800, 400:800] = 1
    image = write_tiff(tmp_path / "scene.tif", pixels, tiled=True, blockxsize=256, blockysize=256)
    class_map = write_map(tmp_path / "map.tif", mask, NAMES)
    write_preview(class_map, [str(image)], str(tmp_path / "p.png"))
    shown, mapped, _ = panels(tmp_path / "p.png", size=(520, 520), zoom=1)
    expected = pixels.reshape(520, 4, 520, 4, 3).mean((1, 3))
    np.testing.assert_allclose(shown, expected, atol=0.51)
    assert mapped[250, 250, 0] == round(255 / 16)
    assert (mapped[101:199, 101:199] == 255).all()

    with rasterio.open(image, "r+") as target:
        target.build_overviews([2, 4, 8], rasterio.enums.Resampling.average)
    opened = []
    open_image = image_view.scene.open_image

    def seen(path, choice, overview=None):
        opened.append(overview)
        return open_image(path, choice, overview=overview)

    monkeypatch.setattr(image_view.scene, "open_image", seen)
    write_preview(class_map, [str(image)], str(tmp_path / "q.png"))
    assert opened[0] == 1  # a quarter
    np.testing.assert_allclose(panels(tmp_path / "q.png", 1, (520, 520), 1)[0], expected, atol=1.01)


def test_a_map_with_overviews_keeps_small_buildings(tmp_path):
    mask = np.zeros((8320, 520), np.uint8)
    mask[4000:4005, 260:265] = 1
    image = write_tiff(tmp_path / "s.tif", np.zeros((8320, 520, 3), np.uint8))
    plain = write_map(tmp_path / "plain.tif", mask, NAMES)
    copy(plain, tmp_path / "map.tif", driver="COG", overview_resampling="mode")
    write_preview(str(tmp_path / "map.tif"), [str(image)], str(tmp_path / "p.png"))
    sheet = np.asarray(Image.open(tmp_path / "p.png")).astype(int)
    mapped = sheet[100 : 100 + 1050, 20 + 204 : 20 + 204 + 66]
    assert 12 < mapped[..., 0].sum() * (8320 / 1050) ** 2 / 255 < 50  # of 25 pixels, at 8 a cell


@pytest.mark.parametrize(
    ("height", "width", "pixels", "label"),
    [(HEIGHT, WIDTH, 120, "10 m"), (2080, 2080, 100, "200 m")],  # at 0.5 m; by 6, and of 4 pixels
)
def test_the_bar_has_the_scale_of_the_panels(tmp_path, monkeypatch, height, width, pixels, label):
    sheets = []
    monkeypatch.setattr(preview, "draw_sheet", lambda s: sheets.append(s) or Image.new("L", (1, 1)))
    image = write_tiff(tmp_path / "scene.tif", np.zeros((height, width, 3), np.uint8))
    class_map = write_map(tmp_path / "map.tif", np.zeros((height, width), np.uint8), NAMES)
    write_preview(class_map, [str(image)], str(tmp_path / "p.png"))
    (sheet,) = sheets
    assert sheet.bar.label == label
    assert sheet.bar.pixels == pytest.approx(pixels, rel=0.01)  # the scale of UTM is not quite 1
    np.testing.assert_allclose(sheet.north, (0, -1), atol=0.1)
    assert [name for _, name in sheet.legend] == list(NAMES)


@pytest.mark.parametrize("size", [(3, 5), (1, 1), (1, 3000), (2000, 2)])
@pytest.mark.parametrize("dates", [1, 2])
def test_scenes_of_any_shape_are_drawn(tmp_path, size, dates):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 1)).astype(np.uint8)
    for name in "ab"[:dates]:
        write_tiff(tmp_path / f"{name}.tif", pixels)
    class_map = write_map(tmp_path / "map.tif", (pixels[..., 0] > 99).astype(np.uint8), NAMES)
    images = [str(tmp_path / f"{name}.tif") for name in "ab"[:dates]]
    write_preview(class_map, images, str(tmp_path / "p.png"))
    with Image.open(tmp_path / "p.png") as picture:
        assert max(picture.size) < 3000
        assert min(picture.size) > 200


def test_a_map_without_colours_or_a_crs_is_shown(tmp_path):
    image = tmp_path / "scene.png"
    Image.new("RGB", (40, 30), (10, 200, 30)).save(image)
    mask = np.full((30, 40), 255, np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        class_map = write_map(tmp_path / "map.tif", mask, crs=None, transform=None)
    write_preview(class_map, [str(image)], str(tmp_path / "p.png"))
    _, mapped, outlined = panels(tmp_path / "p.png", size=(30, 40), zoom=13)
    assert (mapped == GREY).all()
    assert (outlined == (10, 200, 30)).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"output": "p.jpg"}, ["'p.jpg'", "OUT.png"]),
        ({"output": "no/p.png"}, ["no folder"]),
        ({"output": "scene.png"}, ["'scene.png' would overwrite 'scene.png'"]),
        ({"images": []}, ["one image or two, but 0"]),
        ({"images": ["small.tif"]}, ["'small.tif' has 20 x 30 pixels", "has 70 x 90"]),
        ({"images": ["none.tif"]}, ["no image 'none.tif'"]),
        ({"images": ["text.tif"]}, ["image 'text.tif' cannot be read"]),
        ({"class_map": "none.tif"}, ["cannot read 'none.tif'"]),
        ({"class_map": "scene.tif"}, ["3 band(s) of uint8"]),
        ({"class_map": "nameless.tif"}, ["'nameless.tif' does not name its classes"]),
        ({"class_map": "wrong.tif"}, ["'wrong.tif' holds class 7, but names 2"]),
    ],
)
def test_mistakes_are_one_line(scene, tmp_path, monkeypatch, change, words):
    monkeypatch.chdir(tmp_path)
    mask = scene[-1]
    write_tiff(tmp_path / "small.tif", np.zeros((20, 30, 3), np.uint8))
    (tmp_path / "text.tif").write_text("no picture")
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "scene.png")
    write_map(tmp_path / "nameless.tif", mask, ())
    write_map(tmp_path / "wrong.tif", np.where(mask == 1, 7, mask).astype(np.uint8), NAMES)
    arguments = {"class_map": "map.tif", "images": ["scene.tif"], "output": "p.png"} | change
    if arguments["output"] == "scene.png":
        arguments["images"] = ["scene.png"]
    before = set(tmp_path.iterdir())
    with pytest.raises(UserError) as error:
        write_preview(**arguments)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)
    assert set(tmp_path.iterdir()) == before


def test_a_preview_that_breaks_off_leaves_nothing(scene, tmp_path, monkeypatch):
    image, class_map, *_ = scene

    class Full:
        def save(self, path, format):
            path.write_text("half")
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(preview, "draw_sheet", lambda sheet: Full())
    with pytest.raises(UserError, match="No space left"):
        write_preview(class_map, [image], str(tmp_path / "p.png"))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("p.png")]


def test_it_is_checked_before_a_scene_is_mapped(tmp_path):
    check_preview(str(tmp_path / "P.PNG"), [])
    with pytest.raises(UserError, match="is a PNG"):
        check_preview(str(tmp_path / "map.tif"), [])
