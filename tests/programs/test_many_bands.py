"""Five bands of sixteen bits and four classes, from GeoTIFFs to a map and to weights."""

import json

import numpy as np
import programs
import pytest
import rasterio
import warm_start
from PIL import Image
from safetensors.numpy import load_file

from noise2map_jax.pictures.class_colours import class_colours

CLASSES = ("water", "field", "forest", "town")
LEVELS = np.array([[300, 4000, 90, 20, 9000], [900, 2000, 500, 60, 100]])  # of a class, per band


def write_scene(folder, name, rng):
    """Class k is bright in band k; every band has a range of its own."""
    mask = np.kron(rng.integers(0, 4, (4, 4)), np.ones((8, 8), int)).astype(np.uint8)
    low, high = LEVELS
    image = np.stack([np.where(mask == k % 4, high[k], low[k]) for k in range(5)]) + rng.integers(
        0, 20, (5, 32, 32)
    )
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "masks").mkdir(exist_ok=True)
    profile = {"driver": "GTiff", "height": 32, "width": 32, "count": 5, "dtype": "uint16"}
    transform = rasterio.transform.from_origin(500_000, 4_000_000, 10, 10)
    path = folder / "images" / f"{name}.tif"
    with rasterio.open(path, "w", crs="EPSG:32616", transform=transform, **profile) as out:
        out.write(image.astype(np.uint16))
    Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
    return path, mask


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("source"), np.random.default_rng(0)
    for split, num in (("train", 16), ("val", 4), ("test", 4)):
        for i in range(num):
            write_scene(folder / split, f"{split}{i}", rng)
    return folder


@pytest.fixture(scope="module")
def trained(source, cache, tmp_path_factory):
    """A run, the options that it was trained with, and what it printed."""
    data, workdir = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("run") / "run"
    programs.data_prep(
        "folder",
        f"--source={source}",
        "--name=bands",
        f"--data_dir={data}",
        "--tile_size=32",
        "--dtype=uint16",
        "--mask_encoding=index",
        f"--classes={','.join(CLASSES)}",
    )
    options = (
        "--config=tests/helpers/thin_config.py",
        f"--workdir={workdir}",
        f"--config.data.data_dir={data}",
        "--config.data.dataset=bands",
        "--config.data.num_bands=5",
        "--config.data.dtype=uint16",
        f"--config.data.classes={CLASSES!r}",
        "--config.data.scaling=manifest",
        "--config.train.class_weights_from=data",
        "--config.train.num_steps=60",
        "--config.train.eval_every_steps=30",
    )
    programs.run(options, programs.environment(cache))
    done = programs.run((*options, "--mode=eval"), programs.environment(cache))
    return workdir, options, done


def test_four_classes_are_told_apart(trained):
    workdir, _, done = trained
    scores = json.loads((workdir / "report" / "scores_test.json").read_text())["scores"][
        "all tiles"
    ]
    assert scores["accuracy"] > 0.9  # the class says which band is bright
    assert all(name in done.stdout for name in CLASSES)
    with Image.open(workdir / "report" / "predictions.png") as picture:
        found = {tuple(c) for _, c in picture.getcolors(1 << 24)}
    assert set(class_colours(4)) <= found


def test_each_band_is_scaled_by_the_manifest(trained):
    workdir, _, _ = trained
    ranges = json.loads((workdir / "config.json").read_text())["data"]["band_ranges"]
    low, high = np.array(ranges).T
    assert np.all(np.abs(low - LEVELS.min(axis=0)) < 25)
    assert np.all(np.abs(high - LEVELS.max(axis=0)) < 25)
    scores = json.loads((workdir / "report" / "scores_test.json").read_text())
    assert scores["differs_from_training"] == {}


def test_a_map_has_a_colour_a_class(trained, source, cache, tmp_path):
    workdir, _, _ = trained
    image = source / "test" / "images" / "test0.tif"
    arguments = (
        *(f"--workdir={workdir}", f"--image={image}", f"--output={tmp_path / 'map.tif'}"),
        *("--timesteps=600,999", f"--uncertainty={tmp_path / 'uncertainty.tif'}"),
    )
    programs.run(arguments, programs.environment(cache), program=warm_start.PREDICT)
    truth = np.asarray(Image.open(source / "test" / "masks" / "test0.png"))
    with rasterio.open(tmp_path / "map.tif") as output:
        assert (output.read(1) == truth).mean() > 0.9
        assert [output.colormap(1)[k][:3] for k in range(4)] == class_colours(4)
    with rasterio.open(tmp_path / "uncertainty.tif") as output:
        uncertainty = output.read(1)
    assert uncertainty.dtype == np.float32
    assert 0 < uncertainty.max() <= 0.5


def test_weights_of_five_bands_are_exported(trained, tmp_path):
    workdir, _, _ = trained
    from noise2map_jax.weights.export import export

    export(workdir, tmp_path / "out")
    tensors = load_file(tmp_path / "out" / "noise2map_ss.safetensors")
    assert tensors["input_conv.weight"].shape == (3, 5, 3, 3)
    assert tensors["output_conv.weight"].shape == (4, 3, 3, 3)


@pytest.mark.parametrize("how", ["inflate", pytest.param("average", marks=pytest.mark.long)])
def test_a_network_of_three_bands_serves_five(trained, cache, thin_data, tmp_path, how):
    _, options, _ = trained
    three = (
        "--config=tests/helpers/thin_config.py",
        f"--workdir={tmp_path / 'three'}",
        f"--config.data.data_dir={thin_data}",
        "--config.train.num_steps=1",
    )
    programs.run(three, programs.environment(cache))
    five = (
        *options,
        f"--workdir={tmp_path / 'five'}",
        "--config.train.num_steps=1",
        f"--config.init_from={tmp_path / 'three'}",
    )
    done = programs.run((*five, f"--config.init_input={how}"), programs.environment(cache))
    assert "fitted to other channels: ss_input_conv/kernel" in done.stdout
    refused = ("--config.init_parts=all", f"--workdir={tmp_path / 'refused'}")
    done = programs.run((*five, *refused), programs.environment(cache), expect=2)
    assert "ss_input_conv/kernel is (3, 3, 3, 3), expected (3, 3, 5, 3)" in done.stderr
    assert "init_input=inflate" in done.stderr
