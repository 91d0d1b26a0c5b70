"""`data_prep warp` writes files that data_prep then takes, and the refusal that names it works."""

import re
import shlex

import numpy as np
import pytest
import rasterio
from folder_builds import square
from PIL import Image
from raster_files import write_tiff
from rasterio import Affine
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from data_prep.__main__ import main
from data_prep.imagery.files import read_grid
from data_prep.imagery.grid import same_grid
from data_prep.imagery.image_file import read_image

PLACE = {"crs": "EPSG:32616", "transform": from_origin(5e5, 4e6, 0.5, 0.5)}
NEAR = {"crs": "EPSG:32616", "transform": from_origin(5e5 + 1.2, 4e6 - 0.7, 0.6, 0.6)}


def noise(height, width, bands, dtype=np.uint8):
    return np.random.default_rng(0).integers(1, 200, (height, width, bands)).astype(dtype)


def warp(tmp_path, *options):
    arguments = [f"--{name}={tmp_path / name}.tif" for name in ("image", "onto", "output")]
    return main(["warp", *arguments, *options])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_bands_types_and_no_data_are_kept(tmp_path, dtype):
    write_tiff(tmp_path / "onto.tif", noise(700, 600, 1), **PLACE)
    pixels = noise(500, 560, 4, dtype)
    pixels[100:200, 100:200] = 9
    colours = [ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined]
    write_tiff(tmp_path / "image.tif", pixels, colours, nodata=9, **NEAR)
    assert warp(tmp_path) == 0
    assert same_grid(read_grid(tmp_path / "output.tif"), read_grid(tmp_path / "onto.tif"))
    with rasterio.open(tmp_path / "output.tif") as file:
        assert (file.height, file.width, file.count) == (700, 600, 4)
        assert (file.nodata, file.dtypes[0]) == (9, np.dtype(dtype).name)
        assert file.colorinterp[:3] == tuple(colours[:3])
        assert (file.transform, file.crs) == (PLACE["transform"], "EPSG:32616")
    raster = read_image(tmp_path / "output.tif")
    assert not raster.valid[:1].any()
    assert not raster.valid[130:240, 130:240].any()
    assert raster.valid[10:110, 10:110].all()
    assert not [*tmp_path.glob("*.part")]


def test_without_a_no_data_value_there_is_a_mask(tmp_path):
    write_tiff(tmp_path / "onto.tif", noise(60, 60, 1), **PLACE)
    pixels = noise(40, 40, 4)
    pixels[..., 3] = 255
    pixels[10:20, 10:20, 3] = 0
    colours = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
    write_tiff(tmp_path / "image.tif", pixels, colours, **NEAR)
    assert warp(tmp_path) == 0
    raster = read_image(tmp_path / "output.tif")
    assert raster.pixels.shape == (60, 60, 3)
    assert not raster.valid[:1].any()
    assert not raster.valid[14:24, 15:25].any()
    assert raster.valid[30:45, 30:45].all()


def test_an_interpolated_pixel_is_not_lost_to_the_no_data_value(tmp_path):
    pixels = np.zeros((40, 40, 1), np.uint8)
    pixels[:, ::2] = 20
    pixels[:, 1::2] = 10
    write_tiff(tmp_path / "onto.tif", noise(30, 30, 1), **PLACE)
    half = {**PLACE, "transform": from_origin(5e5 - 0.75, 4e6 + 0.5, 0.5, 0.5)}
    write_tiff(tmp_path / "image.tif", pixels, nodata=15, **half)
    assert warp(tmp_path) == 0
    raster = read_image(tmp_path / "output.tif")
    assert raster.valid is None
    assert set(np.unique(raster.pixels)) == {14}


def test_a_palette_becomes_colours(tmp_path):
    write_tiff(tmp_path / "onto.tif", noise(20, 20, 1), **PLACE)
    colours = {0: (0, 0, 0, 255), 1: (250, 0, 0, 255), 2: (0, 250, 0, 255), 3: (240, 0, 0, 255)}
    indices = np.where(np.arange(30) % 2, 1, 3) * np.ones((30, 1), int)
    write_tiff(
        tmp_path / "image.tif",
        indices.astype(np.uint8)[..., None],
        [ColorInterp.palette],
        colours,
        crs="EPSG:32616",
        transform=from_origin(5e5 - 2.2, 4e6 + 2, 0.5, 0.5),
    )
    assert warp(tmp_path) == 0
    pixels = read_image(tmp_path / "output.tif").pixels
    assert pixels.shape == (20, 20, 3)
    assert (pixels[..., 0] >= 235).all()
    assert not pixels[..., 1].any()  # Index 2, between 1 and 3, is green.


def test_a_mask_keeps_its_values(tmp_path):
    write_tiff(tmp_path / "onto.tif", noise(60, 60, 1), **PLACE)
    mask = np.where(noise(40, 40, 1) > 100, 255, 0).astype(np.uint8)
    mask[0, 0] = 254
    write_tiff(tmp_path / "image.tif", mask, **NEAR)
    assert warp(tmp_path, "--mask") == 0
    with rasterio.open(tmp_path / "output.tif") as file:
        values = file.read(1)
        assert file.nodata == 253
    assert set(np.unique(values)) == {0, 253, 254, 255}
    assert (values[:1] == 253).all()
    assert values[1, 2] == 254


@pytest.mark.parametrize(
    ("image", "onto", "options", "words"),
    [
        ({"crs": "EPSG:32617", "transform": PLACE["transform"]}, PLACE, [], "no ground in common"),
        ({"transform": Affine.identity(), "crs": None}, PLACE, [], "does not say where it lies"),
        (PLACE, {"transform": Affine.identity(), "crs": None}, [], "which does not say where it"),
        (PLACE, NEAR, ["--mask", "--nodata=3"], "leave --bands, --alpha and --nodata out"),
        (PLACE, NEAR, ["--mask"], "only if it has one band of 8 bits"),
        (PLACE, NEAR, ["--bands=9"], "asks for band 9"),
    ],
)
@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_cannot_be_warped_is_one_line(tmp_path, capsys, image, onto, options, words):
    write_tiff(tmp_path / "image.tif", noise(20, 20, 3), **image)
    write_tiff(tmp_path / "onto.tif", noise(20, 20, 3), **onto)
    assert warp(tmp_path, *options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.tif", "onto.tif"]


def test_files_are_not_overwritten(tmp_path, capsys):
    write_tiff(tmp_path / "image.tif", noise(20, 20, 3), **NEAR)
    write_tiff(tmp_path / "onto.tif", noise(20, 20, 3), **PLACE)
    before = (tmp_path / "image.tif").read_bytes()
    paths = [f"--image={tmp_path}/image.tif", f"--onto={tmp_path}/onto.tif"]
    assert main(["warp", *paths, f"--output={tmp_path}/image.tif"]) == 2
    assert "exists; choose another name" in capsys.readouterr().err
    assert (tmp_path / "image.tif").read_bytes() == before
    assert main(["warp", *paths, f"--output={tmp_path}/none/a.tif"]) == 2
    assert main(["warp", *paths[1:], f"--output={tmp_path}/a.tif", "--image=none.tif"]) == 2


def test_the_refusal_of_a_folder_names_the_command_that_mends_it(tmp_path, capsys, monkeypatch):
    source = tmp_path / "a folder"
    for i in range(4):
        for role in ("A", "B"):
            (source / role).mkdir(parents=True, exist_ok=True)
            place = NEAR if (i, role) == (2, "B") else PLACE
            write_tiff(source / role / f"{i}.tif", noise(64, 64, 3) + np.uint8(i), **place)
        (source / "label").mkdir(exist_ok=True)
        Image.fromarray(square()).resize((64, 64), 0).save(source / "label" / f"{i}.png")
    build = [
        "folder",
        f"--source={source}",
        f"--data_dir={tmp_path / 'shards'}",
        "--name=pairs",
        "--splits=1,0,0",
    ]
    assert main([*build, "--num_workers=1"]) == 2
    refusal = capsys.readouterr().err
    command = re.search(r"python -m data_prep (warp .* --output=WARPED.tif)", refusal).group(1)
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(command)) == 0
    (tmp_path / "WARPED.tif").replace(source / "B/2.tif")
    assert main([*build, "--num_workers=1"]) == 0
