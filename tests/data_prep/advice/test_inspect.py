"""`data_prep inspect`: what a folder holds, and commands that work as they stand."""

import shlex

import jax
import numpy as np
import programs
import pytest
import rasterio
from folder_builds import picture, save, square
from PIL import Image
from rasterio.control import GroundControlPoint

from data_prep.__main__ import main
from data_prep.miniatures import whu
from noise2map_jax.experiment.components import abstract_params, evaluated_sizes
from noise2map_jax.experiment.experiment import create_experiment
from noise2map_jax.weights.initialization import initialize

DATA = programs.SHARED / "data"
# ml_collections loads config files so.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

ONE_PROCESS = "--num_workers=1"  # starting more takes longer than these builds


def inspect(source, capsys):
    """Return what is printed, and the arguments of the commands that build a dataset and train."""
    assert main(["inspect", str(source), ONE_PROCESS]) == 0
    text = capsys.readouterr().out
    commands = [line for line in text.splitlines() if line.startswith(("build it:", "train:"))]
    build, train = (
        [shlex.split(line.split(f"{program} ", 1)[1]) for line in commands if program in line]
        for program in ("data_prep", "noise2map_jax.main")
    )
    return text, list(zip(build, train, strict=True))


@pytest.fixture
def follow(parse, tmp_path, monkeypatch):
    """Build a dataset as told, and begin the training that is told: `follow(build, train)`."""

    def call(build, train):
        monkeypatch.chdir(tmp_path)
        assert main([*build, ONE_PROCESS]) == 0, build
        experiment = create_experiment(parse(*train).config)
        config = experiment.config
        params = abstract_params(experiment.model, evaluated_sizes(config))
        if config.init_from:
            zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), params)
            assert initialize(experiment, zeros).warnings == (), train
        return config

    return call


def pairs(folder):
    for i in range(8):
        for role in "AB":
            save(folder / f"{role}/{i}.png", picture(i, 80, 96))
        save(folder / f"label/{i}.png", square(80, 96))


def wide_images(folder):
    for split, number in (("train", 4), ("val", 1), ("test", 1)):
        for i in range(number):
            save(folder / split / f"images/{split}{i}.tif", picture(i, 300, 300, 4, np.uint16))
            save(folder / split / f"masks/{split}{i}.png", square(300, 300))


def images_alone(folder):
    for i in range(5):
        save(folder / f"{i}.jpg", picture(i, 64, 64))


def some_that_cannot_be_used(folder):
    pairs(folder)
    (folder / "A/3.png").write_bytes(b"")
    Image.fromarray(picture(4, 80, 96)).save(folder / "B/4.png", format="BMP")


def suffixes_that_are_not_known(folder):
    for i in range(6):
        save(folder / f"images/a{i}.png", picture(i, 64, 64))
        save(folder / f"masks/a{i}_bldg.png", square(64, 64))


def masks_of_16_bits(folder):
    for i in range(6):
        save(folder / f"images/{i}.png", picture(i, 64, 64))
        save(folder / f"masks/{i}.tif", square(64, 64).astype(np.uint16))


def two_kinds_of_masks(folder):
    for i in range(6):
        save(folder / f"images/{i}.png", picture(i, 64, 64))
        save(folder / f"masks/{i}.png", square(64, 64, 255 if i % 2 else 1))


def half_in_grey(folder):
    for i in range(6):
        save(folder / f"images/{i}.png", picture(i, 64, 64)[..., slice(3) if i % 2 else 0])
        save(folder / f"masks/{i}.png", square(64, 64))


def names_in_another_language(folder):
    for i in range(6):
        save(folder / f"画像/{i}.png", picture(i, 64, 64))
        save(folder / f"マスク/{i}.png", square(64, 64))


def masks_of_0_and_100(folder):
    for i in range(6):
        save(folder / f"images/{i}.png", picture(i, 64, 64))
        save(folder / f"masks/{i}.png", square(64, 64, 100))


def a_link_to_nothing(folder):
    pairs(folder)
    (folder / "A/9.png").symlink_to(folder / "nothing.png")


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (suffixes_that_are_not_known, ["'--roles=mask=*_bldg'", "the options follow what"]),
        (masks_of_16_bits, ["task ss: 6 scenes"]),
        (two_kinds_of_masks, ["--mask_encoding=nonzero takes both as foreground"]),
        (half_in_grey, ["task ss: 6 scenes", "--bands=1 reads the same of all"]),
        (names_in_another_language, ["--roles=image=画像,mask=マスク"]),
        (masks_of_0_and_100, ["--mask_encoding=nonzero takes all but 0 as foreground"]),
        (a_link_to_nothing, ["task cd: 8 scenes", "left out: 1 file(s), such as A/9.png"]),
        (pairs, ["label   8 .png", "96 x 80", "3 x uint8", "task cd: 8 scenes"]),
        (wide_images, ["4 x uint16", "EPSG:32616, 0.5 metre", "--dtype=uint16", "num_bands=4"]),
        (images_alone, ["task denoise: 5 scenes", "--tile_size=64"]),
        (
            some_that_cannot_be_used,
            [
                "not read as an image: A/3.png: is empty",
                "left out: 1 file(s), such as A/3.png: is empty",
                "left out: 1 file(s), such as B/4.png: is BMP",
                "--on_error=skip",
            ],
        ),
    ],
)
def test_what_it_says_is_so_and_what_it_advises_works(write, words, tmp_path, capsys, follow):
    write(tmp_path / "mine")
    text, commands = inspect(tmp_path / "mine", capsys)
    assert [word for word in words if word not in text] == []
    assert len(commands) == 1
    config = follow(*commands[0])
    assert (tmp_path / "data/mine/1.0.0/manifest.json").is_file()
    if config.init_parts == "backbone":  # A share of it was never measured.
        assert config.train.initial_share == 0
    # Drawn scenes, with which the recipes begin, have labels.
    assert bool(config.init_from) == ("task denoise" not in text)


@pytest.mark.parametrize(
    ("name", "below", "tasks"),
    [
        ("spacenet7", ".", ["ss", "cd"]),
        ("xview2", ".", ["ss", "cd"]),
        ("whu", whu.WHOLE, ["cd"]),
        ("aid", ".", ["denoise"]),
    ],
)
def test_the_layouts_of_owners_are_known(name, below, tasks, tmp_path, capsys, follow):
    assert main(["miniature", name, f"--output={tmp_path / 'mini'}", "--size=64"]) == 0
    text, commands = inspect(tmp_path / "mini" / below, capsys)
    assert [f"task {task}: " in text for task in tasks] == [True] * len(tasks)
    assert len(commands) == len(tasks)
    for build, train in commands:
        follow(build, train)


def test_a_folder_that_no_builder_reads_is_said_with_the_reason(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("nothing")
    assert main(["inspect", str(tmp_path)]) == 2
    seen = capsys.readouterr()
    assert "1 .txt" in seen.out
    assert "no builder reads" in seen.err
    assert "holds no PNG, JPEG or TIFF" in seen.err
    assert main(["inspect", str(tmp_path / "none")]) == 2
    assert "not found" in capsys.readouterr().err


def test_what_stands_in_the_way_after_following_advice_is_said_too(tmp_path, capsys):
    for i in range(4):
        save(tmp_path / f"mine/pre/{i}.png", picture(i, 64, 64))
        save(tmp_path / f"mine/post/{i}.png", picture(i + 9, 64, 64))
        save(tmp_path / f"mine/drawn/{i}.png", square(32, 64))
    assert main(["inspect", str(tmp_path / "mine"), ONE_PROCESS]) == 2
    text = capsys.readouterr().err
    assert "nearest: pre and post are a pair without a label: --roles=mask=drawn" in text
    assert "--roles=mask=drawn: 4 of 12 files cannot be used" in text
    assert "has 64 x 32 pixels, but pre/0.png has 64 x 64" in text


def test_control_points_and_a_missing_georeference_are_told(tmp_path, capsys):
    images_alone(tmp_path / "mine")
    points = [GroundControlPoint(r, c, 5e5 + c, 5e6 - r) for r in (0, 64) for c in (0, 64)]
    profile = {"driver": "GTiff", "height": 64, "width": 64, "count": 3, "dtype": "uint8"}
    with rasterio.open(
        tmp_path / "mine/g.tif", "w", **profile, gcps=points, crs="EPSG:32633"
    ) as target:
        target.write(np.moveaxis(picture(9, 64, 64), -1, 0))
    text, _ = inspect(tmp_path / "mine", capsys)
    assert "EPSG:32633, 1 metre, by control points" in text
    assert "no georeference" in text


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no real imagery at {DATA}")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("levir_cd", marks=pytest.mark.long),
        pytest.param("buildings_by_place", marks=pytest.mark.long),
        "fixtures/dsifn_cd",
        "fixtures/levir_geotiff_pairs",
        "fixtures/spacenet7_crops",
        "fixtures/spacenet_uint16_rgb",
        "fixtures/spacenet_geotiff_geojson",
        "fixtures/naip_geotiff",
    ],
)
def test_the_advice_for_real_imagery_works(name, capsys, follow):
    _, commands = inspect(DATA / name, capsys)
    assert commands
    for build, train in commands:
        follow(build, train)


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no real imagery at {DATA}")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "joplin_geotiff_pair",
            "first pixel +0.79 columns and +0.40 rows away (python -m data_prep warp --image=",
        ),
        ("xbd_samples", "2 of 5 files hold few values, as masks do (hurricane-florence_00000115"),
        ("oam_banepa_geojson", "holds no PNG, JPEG or TIFF (found .geojson)"),
    ],
)
def test_what_stands_in_the_way_of_real_imagery_is_said(name, words, capsys):
    assert main(["inspect", str(DATA / "fixtures" / name), ONE_PROCESS]) == 2
    assert words in capsys.readouterr().err


def test_classes_are_not_taken_for_one_foreground(tmp_path, capsys):
    for i in range(6):
        save(tmp_path / f"s/images/{i}.png", picture(i, 64, 64))
        save(tmp_path / f"s/masks/{i}.png", square(64, 64, 1) + 1)
    assert main(["inspect", str(tmp_path / "s"), ONE_PROCESS]) == 2
    assert "holds value(s) 2; a mask of 2 classes" in capsys.readouterr().err


def test_several_datasets_in_one_folder_are_looked_at_each_alone(tmp_path, capsys):
    for name in ("north", "south"):
        pairs(tmp_path / "all" / name)
    for i in range(4):
        save(tmp_path / f"all/other/images/{i}.png", picture(i, 64, 64))
        save(tmp_path / f"all/other/masks/{i}.png", square(64, 64))
    assert main(["inspect", str(tmp_path / "all"), ONE_PROCESS]) == 2
    command = capsys.readouterr().err.split("look at each: python -m data_prep ")[1]
    assert main([*shlex.split(command), ONE_PROCESS]) == 0
